"""What the queue wakes. Every task may run at any time, twice, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from celery import shared_task

from dispatch import control, fanout, line, live, retention, windows
from dispatch.forecast import issuing, samples
from dispatch.models import IdempotencyKey
from dispatch.safekeeping import guard
from fleets import clock
from fleets.providers import smartcar
from fleets.wake import wake

KEYS_KEPT = timedelta(days=30)  # a grid system that repeats itself does so within hours


@dataclass
class _Turns:
    """What this process knows of its turns."""

    begun_at: float = 0.0  # the newest, on the machine's clock


_turns = _Turns()


@shared_task
def tick(asked_at: float | None = None) -> None:
    """Take one turn of the loop, let it be sent, and show what came of it.

    A system that comes back learns first what was given back without it.

    `asked_at`, in seconds of the machine's clock, says when readings asked for it. A
    turn that this process has begun since then has seen them. Without this, a storm of
    readings queues more turns than it takes seconds to take them in.
    """
    if asked_at is not None and _turns.begun_at > asked_at:
        return
    _turns.begun_at = clock.real_now().timestamp()
    fanout.bury_dead_senders(now=clock.now())
    guard.watch(now=clock.now(), real_now=clock.real_now())
    if not _may_act():
        return
    control.turn(now=clock.now())
    wake(send)
    live.publish(clock.now())
    if guard.is_due(real_now=clock.real_now()):
        wake(keep_safe)


@shared_task
def send() -> None:
    """Send what is due, unless somebody may be giving back in our place."""
    if not _may_act():
        return
    fanout.run(line.of_this_process(smartcar.shared()))


@shared_task
def keep_safe() -> None:
    """Look whether somebody gives back without us, and keep a copy of what is owed."""
    if guard.is_configured():
        guard.look(now=clock.now(), real_now=clock.real_now())
        guard.keep(now=clock.now(), real_now=clock.real_now())


@shared_task
def look_ahead() -> None:
    """Keep what each quarter hour looks like, forecast as hours begin, and score."""
    now = clock.now()
    samples.look(now=now)
    issuing.issue(now=now)
    issuing.score(now=now)


@shared_task
def keep_house() -> None:
    """Make partitions ahead of the clock, and drop what nobody will ask for again."""
    now = clock.now()
    IdempotencyKey.objects.filter(created_at__lt=now - KEYS_KEPT).delete()
    retention.make_ahead(now)
    retention.drop_old(now)
    retention.delete_old(now)


@shared_task
def make_events() -> None:
    """Let recurring windows make the events that are near."""
    windows.make_events(clock.now())


def _may_act() -> bool:
    """Say whether nobody gives back in our place; look for it if that is not known."""
    real_now = clock.real_now()
    return guard.may_act(real_now=real_now) or guard.look(
        now=clock.now(), real_now=real_now
    )
