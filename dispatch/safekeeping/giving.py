"""Give back from a sheet: no database, no queue, one process.

Each slice picks what the provider's rate, the ramp and each car allow, least slack
first; announces it in the journal, on disk and in the second place; and only then lets
the calls go. A kill at any moment leaves at worst calls that were announced and not
answered: whoever goes on reads those cars first.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings

from dispatch.lifecycle import CommandStatus
from dispatch.safekeeping import journal as journals
from dispatch.safekeeping import report, steps
from dispatch.safekeeping.allowance import Allowance
from dispatch.safekeeping.journal import End, Journal, Progress
from dispatch.safekeeping.lanes import Lanes
from dispatch.safekeeping.report import Found
from dispatch.safekeeping.sheet import Give, Owed, Sheet
from dispatch.safekeeping.steps import Call, Conclusion
from dispatch.safekeeping.takeover import Fence
from fleets import clock
from fleets.providers.base import (
    OutcomeUnknown,
    Provider,
    ProviderError,
    Receipt,
    Report,
    TokenStale,
    TryLater,
    VehicleKey,
)

log = structlog.get_logger(__name__)

# How long the loop runs before the journal and the clock are looked at again (real).
SLICE_SECONDS = 0.1
# Calls answered while others are being noted share the next line-up.
GATHER_SECONDS = 0.005
# The wait after a Retry-After that the provider forgot to send.
PAUSE_SECONDS = 60.0
# Until the token is asked for again.
NO_TOKEN_SECONDS = 30.0
# Between two lines that tell a person how far it has come (real).
SAY_EVERY_SECONDS = 10.0


@dataclass
class Giving:
    """One run over one sheet."""

    sheet: Sheet
    journal: Journal
    provider: Provider
    loop: asyncio.AbstractEventLoop
    allowance: Allowance
    patience: timedelta
    fence: Fence | None = None
    say: Callable[[str], None] = lambda line: None
    cars: dict[int, Owed] = field(init=False)
    progress: dict[int, Progress] = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        """Go on where the journal ends."""
        self.cars = {car.hold_id: car for car in self.sheet.owed}
        self.progress = journals.told(
            self.journal.lines,
            longest_answer=timedelta(seconds=settings.LONGEST_ANSWER_SECONDS),
            before={pk: steps.beginning(car) for pk, car in self.cars.items()},
        )
        self._lanes = Lanes()
        self._in_flight: dict[asyncio.Task[_Answer], int] = {}
        self._no_token_until: datetime | None = None
        self._said_at = 0.0

    def run(self) -> Found:
        """Give back until every car has its end, or somebody wants us to end."""
        began_at = clock.now()
        self._note(
            "began", cars=len(self.cars), sheet=self.sheet.head.written_at.isoformat()
        )
        self._force()
        for hold_id in self.cars:
            self._line_up(hold_id, now=began_at)
        recalled = False
        while self._is_open() and not recalled:
            recalled = self._must_end()
            if not recalled:
                self._send(clock.now())
            self._take_in(self._wait())
            self._tell()
        while self._in_flight:  # recalled: what is on the wire is waited for
            self._take_in(self._wait())
            self._must_end()
        return self._finish(began_at, recalled=recalled)

    # --- Out --

    def _send(self, now: datetime) -> None:
        """Announce and make whatever calls may leave now."""
        self._wake(now)
        if self._no_token_until is not None and now < self._no_token_until:
            return
        if not self._lanes.anybody_ready or not self.allowance.may_call(now):
            return
        try:
            self.provider.fresh_token(now)
        except ProviderError as error:
            self._without_token(error, now)
            return
        batch = self._pick(now)
        for car, call in batch:
            if call is Call.GIVE:
                self._follow("send", car.hold_id, now=now)
        self._force()
        for car, call in batch:
            task = self.loop.create_task(self._call(car, call))
            self._in_flight[task] = car.hold_id
        self.calls += len(batch)

    def _pick(self, now: datetime) -> list[tuple[Owed, Call]]:
        """Take the cars whose turn it is, and spend their calls."""
        batch: list[tuple[Owed, Call]] = []
        room = settings.FANOUT_IN_FLIGHT - len(self._in_flight)
        while len(batch) < room and self.allowance.may_call(now):
            hold_id = self._lanes.next(partial(self._may_go, now))
            if hold_id is None:
                break
            car = self.cars[hold_id]
            if self.allowance.month_is_spent(car):
                self._close(
                    hold_id,
                    Conclusion(End.NOT_REACHED, reason="no calls left this month"),
                    now=now,
                )
                continue
            until = self.allowance.car_waits_until(car, now)
            if until is not None:
                self._lanes.wait(hold_id, until=until)
                continue
            call = steps.next_call(car, self.progress[hold_id])
            self.allowance.spend(car, now, starts=call is Call.GIVE)
            batch.append((car, call))
        return batch

    def _may_go(self, now: datetime, latest_start: datetime, hold_id: int) -> bool:
        """Say whether the ramps let a car go.

        A limit is looked at only when its write may follow: what a look shows ages.
        """
        car, progress = self.cars[hold_id], self.progress[hold_id]
        is_look = car.give is Give.LIMIT and not progress.gave
        only_reads = steps.next_call(car, progress) is Call.READ and not is_look
        return only_reads or self.allowance.ramp_allows(
            car, now, is_late=latest_start <= now
        )

    async def _call(self, car: Owed, call: Call) -> _Answer:
        """Make one call; whatever happens becomes an answer."""
        key = VehicleKey(car.vehicle_id, car.user_id)
        result: Receipt | Report | ProviderError
        try:
            if call is Call.READ:
                result = await self.provider.read(key)
            elif car.give is Give.START:
                result = await self.provider.start_charging(key)
            else:
                assert car.percent is not None, "a limit is owed by its percent"
                result = await self.provider.set_charge_limit(key, car.percent)
        except ProviderError as error:
            result = error
        except Exception as error:
            log.exception("call_broke", hold_id=car.hold_id)
            result = OutcomeUnknown(type(error).__name__)
        return _Answer(car, call, result)

    # --- In --

    def _wait(self) -> list[_Answer]:
        """Let calls go on until some have ended, for a moment at most."""
        if not self._in_flight:
            time.sleep(SLICE_SECONDS)
            return []

        async def some() -> None:
            done, _ = await asyncio.wait(
                self._in_flight,
                timeout=SLICE_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                await asyncio.sleep(GATHER_SECONDS)

        self.loop.run_until_complete(some())
        done = [task for task in self._in_flight if task.done()]
        for task in done:
            del self._in_flight[task]
        return [task.result() for task in done]

    def _take_in(self, answers: Sequence[_Answer]) -> None:
        """Note what came of calls, and line the cars up for what follows."""
        now = clock.now()
        if any(isinstance(answer.result, TokenStale) for answer in answers):
            self._renew(now)
        for answer in answers:
            if isinstance(answer.result, TryLater):
                self._obey(answer.car, answer.result, now=now)
            if answer.call is Call.GIVE:
                self._take_answer(answer, now=now)
            elif isinstance(answer.result, Report):
                self._take_report(answer.car, answer.result, now=now)
            else:
                assert isinstance(answer.result, ProviderError)
                self._take_unread(answer.car, answer.result, now=now)
            self._line_up(answer.car.hold_id, now=now)
        self._force()

    def _take_answer(self, answer: _Answer, *, now: datetime) -> None:
        assert not isinstance(answer.result, Report)
        car = answer.car
        progress = self.progress[car.hold_id]
        decision = steps.judge_answer(car, progress, answer.result)
        self._follow(
            "answer",
            car.hold_id,
            now=now,
            status=str(decision.status),
            code=decision.code,
            request=decision.request_id,
            landed=decision.may_have_landed,
            wait=steps.wait_after(car, decision, now=now),
        )
        if steps.is_hopeless(progress, decision):
            found = Conclusion(End.NOT_REACHED, reason=decision.code)
            self._close(car.hold_id, found, now=now)
        elif decision.status == CommandStatus.QUEUED:
            self._conclude(car.hold_id, Conclusion(), now=now)

    def _take_report(self, car: Owed, said: Report, *, now: datetime) -> None:
        progress = self.progress[car.hold_id]
        found = steps.judge_reading(car, progress, said, now=now)
        self._follow(
            "report",
            car.hold_id,
            now=now,
            observed_at=said.observed_at.isoformat(),
            plugged_in=said.is_plugged_in,
            charging=said.is_charging,
            soc_percent=said.soc_percent,
            limit_percent=said.limit_percent,
            wait=found.wait_seconds,
        )
        if found.again:
            self._follow("again", car.hold_id, now=now, wait=found.wait_seconds)
        self._conclude(car.hold_id, found, now=now)

    def _take_unread(self, car: Owed, error: ProviderError, *, now: datetime) -> None:
        found = steps.judge_unread(self.progress[car.hold_id], error)
        wait = found.wait_seconds
        self._follow("unread", car.hold_id, now=now, code=error.code, wait=wait)
        self._conclude(car.hold_id, found, now=now)

    def _conclude(self, hold_id: int, found: Conclusion, *, now: datetime) -> None:
        progress = self.progress[hold_id]
        if found.end is None and progress.since is not None:
            if now - progress.since <= self.patience:
                return
            found = steps.out_of_patience(progress)
        if found.end is not None:
            self._close(hold_id, found, now=now)

    def _obey(self, car: Owed, error: TryLater, *, now: datetime) -> None:
        """Wait as the provider said, for whoever it said it to."""
        if error.wait_seconds is not None:
            seconds = error.wait_seconds or PAUSE_SECONDS
            until = now + timedelta(seconds=seconds)
            self.allowance.pause(error.scope, car, until=until, now=now)

    def _renew(self, now: datetime) -> None:
        try:
            self.provider.renew_token(now)
        except ProviderError as error:
            self._without_token(error, now)

    def _without_token(self, error: ProviderError, now: datetime) -> None:
        self._no_token_until = now + timedelta(seconds=NO_TOKEN_SECONDS)
        self.say(f"The provider gives no token: {error.code}")

    # --- Lines and lanes --

    def _line_up(self, hold_id: int, *, now: datetime) -> None:
        """Let an open car wait for its time, or for its turn."""
        progress = self.progress[hold_id]
        if progress.end is None:
            self._lanes.wait(hold_id, until=progress.due_at or now)

    def _wake(self, now: datetime) -> None:
        for hold_id in self._lanes.woken(now):
            self._lanes.line_up(self.cars[hold_id], self.progress[hold_id])

    def _follow(self, did: str, hold_id: int, *, now: datetime, **what: object) -> None:
        line = self._note(did, at=now, hold=hold_id, **what)
        journals.follow(self.progress[hold_id], line)

    def _close(self, hold_id: int, found: Conclusion, *, now: datetime) -> None:
        assert found.end is not None
        self._follow("close", hold_id, now=now, end=str(found.end), reason=found.reason)

    def _note(
        self, did: str, *, at: datetime | None = None, **what: object
    ) -> journals.Line:
        return self.journal.add(did, at=at or clock.now(), **what)

    def _force(self) -> None:
        """Make what was noted durable: here, and where the main system looks."""
        written = self.journal.flush()
        if self.fence is not None:
            self.fence.hand_in(written)

    def _must_end(self) -> bool:
        if self.fence is None:
            return False
        return self.fence.must_end(real_now=clock.real_now())

    # --- Ends --

    def _is_open(self) -> bool:
        return bool(self._lanes or self._in_flight)

    def _tell(self) -> None:
        if time.monotonic() - self._said_at > SAY_EVERY_SECONDS:
            self._said_at = time.monotonic()
            ends = Counter(
                str(self.progress[pk].end or report.OPEN) for pk in self.cars
            )
            told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
            self.say(f"{clock.now():%H:%M:%S} {self.calls} calls: {told}")

    def _finish(self, began_at: datetime, *, recalled: bool) -> Found:
        found = report.of(
            self.sheet,
            self.progress,
            began_at=began_at,
            ended_at=clock.now(),
            calls=self.calls,
            recalled=recalled,
        )
        self._note("ended", ends=found.ends, recalled=recalled, calls=found.calls)
        self._force()
        return found


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one call ended in."""

    car: Owed
    call: Call
    result: Receipt | Report | ProviderError
