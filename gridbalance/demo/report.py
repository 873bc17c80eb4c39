"""What came of the evening: figures from our rows and from the cars' own truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import fmean, median, quantiles

from django.db.models import Sum
from rich.table import Table

from dispatch.models import Command, GridEvent, Hold, LoadSample, Participation
from fleets.models import Enrolment
from gridbalance import checker
from gridbalance.checker import Breach, Evidence
from gridbalance.demo.truth import Call, Load, Truth


@dataclass(frozen=True)
class Report:
    """The evening in figures; kW are means over the event, seconds are simulated."""

    vehicles: int  # enrolled
    touched: int  # a stop, or a lower limit, was sent
    held_by_limit: int  # of those that a reading showed
    held_confirmed: int  # a reading showed that it stopped
    restored: int
    released: int  # the customer's own act, or nothing was taken
    unresolved: int
    spared: int
    caught_after_plug_in: int  # held, and plugged in after the event began
    commands_sent: int
    commands_failed: int
    target_kw: float | None
    confirmed_kw_mean: float  # stopped, measured
    shed_kw_mean: float  # by the simulator's second fleet, which nobody commanded
    rebound_ratio: float  # highest load after the event, by the highest without us
    catch_seconds_p50: float | None  # from plug-in to the stop that worked
    restore_seconds_p95: float | None  # from the event's end to charging again
    late: int  # started after their latest start
    promises_broken: int

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON, rounded to what means something."""
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    def table(self) -> Table:
        """Return it for people."""
        table = Table(title="What happened", show_header=False, title_justify="left")
        table.add_column(justify="left")
        table.add_column(justify="right")
        for name, value in self.as_dict().items():
            words = name.replace("_", " ").replace(" kw", " kW")
            table.add_row(words, "-" if value is None else f"{value:,}")
        return table


def write(
    event: GridEvent, truth: Truth, *, speed: float
) -> tuple[Report, list[Breach]]:
    """Compare rows and truth, and count."""
    evidence = checker.collect(truth, speed=speed)
    broken = checker.breaches(evidence)
    event.refresh_from_db()
    holds = [hold for hold in evidence.holds if hold.event_id == event.pk]
    touched = {command.vehicle_id for command in evidence.commands if command.sent_at}
    sent = Command.objects.aggregate(total=Sum("attempt"))["total"] or 0
    caught = [
        hold
        for hold in holds
        if hold.held_at and hold.plugged_in_at and hold.plugged_in_at > event.starts_at
    ]
    restored = [hold for hold in holds if hold.status == "restored"]
    samples = LoadSample.objects.filter(
        event=event, at__gte=event.starts_at, at__lt=event.ends_at
    )
    load = truth.load()
    report = Report(
        vehicles=Enrolment.objects.active().filter(program=event.program).count(),
        touched=len(touched),
        held_by_limit=sum(
            1 for hold in holds if hold.held_at and hold.our_limit_percent is not None
        ),
        held_confirmed=sum(1 for hold in holds if hold.held_at),
        restored=len(restored),
        released=sum(1 for hold in holds if hold.status == "released"),
        unresolved=Hold.objects.open().count(),
        spared=Participation.objects.filter(event=event, hold=None).count(),
        caught_after_plug_in=len(caught),
        commands_sent=sent,
        commands_failed=Command.objects.filter(status="failed").count(),
        target_kw=event.target_kw,
        confirmed_kw_mean=_mean(list(samples.values_list("confirmed_kw", flat=True))),
        shed_kw_mean=_shed(load, event),
        rebound_ratio=_rebound(load, event),
        catch_seconds_p50=_catch(evidence, caught),
        restore_seconds_p95=_restore(event, restored),
        late=_late(evidence, holds),
        promises_broken=len(broken),
    )
    return report, broken


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _shed(load: Sequence[Load], event: GridEvent) -> float:
    return _mean(
        [
            row.shadow_kw - row.kw
            for row in load
            if event.starts_at <= row.at < event.ends_at
        ]
    )


def _rebound(load: Sequence[Load], event: GridEvent) -> float:
    """Return the highest load after the event by the normal evening's highest."""
    after = [row.kw for row in load if row.at >= event.ends_at]
    normal = [row.shadow_kw for row in load]
    return max(after, default=0.0) / max(max(normal, default=0.0), 1e-9)


def _catch(evidence: Evidence, caught: Sequence[Hold]) -> float | None:
    takes = evidence.takes()
    waits = []
    for hold in caught:
        acted = _first_acted(takes[hold.vehicle.external_id], after=hold.opened_at)
        if acted is not None and hold.plugged_in_at is not None:
            waits.append((acted - hold.plugged_in_at).total_seconds())
    return median(waits) if waits else None


def _restore(event: GridEvent, restored: Sequence[Hold]) -> float | None:
    waits = [
        (hold.closed_at - max(event.ends_at, hold.opened_at)).total_seconds()
        for hold in restored
        if hold.closed_at is not None
    ]
    return quantiles(waits, n=20)[-1] if len(waits) > 1 else None


def _late(evidence: Evidence, holds: Sequence[Hold]) -> int:
    gives = evidence.gives()
    late = 0
    for hold in holds:
        acted = _first_acted(gives[hold.vehicle.external_id], after=hold.opened_at)
        if acted and hold.latest_start_at and acted > hold.latest_start_at:
            late += 1
    return late


def _first_acted(calls: Sequence[Call], *, after: datetime) -> datetime | None:
    for call in calls:
        if call.acted_at is not None and call.acted_at >= after:
            return call.acted_at
    return None
