"""An event's load over time as shapes for an SVG. Pure.

Shapes live in a box of 1000 by 1000 that the page stretches; texts stand at percents
of it, so they keep their size on a phone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

BOX = 1000.0
# Head room above the highest value, so that no line runs along the frame.
HEAD_ROOM = 1.12
LEVELS = 4
TIMES = 6
TIME_STEPS = tuple(
    timedelta(minutes=minutes) for minutes in (5, 10, 15, 30, 60, 120, 240, 480, 1440)
)
# A pause of more than this many usual steps is a gap: nothing was known then.
GAP_STEPS = 4
LABELS_TURN_AT_PERCENT = 60.0
LABELS_APART_PERCENT = 11.0  # on a phone
LABEL_MARGIN_PERCENT = 4.0  # closer to an edge a label would be cut


@dataclass(frozen=True)
class Sample:
    """What an event looked like at one tick, in kW."""

    at: datetime
    confirmed_kw: float
    unconfirmed_kw: float
    blind_kw: float
    target_kw: float | None
    shed_kw: float | None = None  # estimated, with its interval
    shed_low_kw: float | None = None
    shed_high_kw: float | None = None
    cautions: Sequence[str] = ()


@dataclass(frozen=True)
class Mark:
    """A text at a place of an axis, in percent of the box."""

    percent: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything the template draws; paths are empty when there is nothing to see."""

    confirmed: str
    unconfirmed: str
    blind: str
    target: str
    levels: tuple[Mark, ...]  # from the top
    times: tuple[Mark, ...]  # from the left
    now: Mark
    label_anchor: str  # of the newest value: on the side that has room
    label_shift: int
    label_drop: int
    newest: tuple[float, float] | None  # the newest confirmed value, in percent
    summary: str


@dataclass(frozen=True)
class _Frame:
    begin: datetime
    end: datetime
    top_kw: float

    def x(self, at: datetime) -> float:
        return round((at - self.begin) / (self.end - self.begin) * BOX, 1)

    def y(self, kw: float) -> float:
        return round(BOX - min(kw / self.top_kw, 1.0) * BOX, 1)

    def percents(self, at: datetime, kw: float) -> tuple[float, float]:
        return round(self.x(at) / BOX * 100, 1), round(self.y(kw) / BOX * 100, 1)

    def point(self, at: datetime, kw: float) -> str:
        return f"{self.x(at):g} {self.y(kw):g}"


def draw(
    samples: Sequence[Sample],
    *,
    starts_at: datetime,
    ends_at: datetime,
    target_kw: float | None,
    now: datetime,
    zone: ZoneInfo,
) -> Chart:
    """Return the shapes of one event; `samples` in the order of time."""
    frame, levels = _frame(samples, starts_at, ends_at, target_kw, now)
    runs = list(_runs(samples))
    newest = samples[-1] if samples else None
    here = Mark(round(frame.x(now) / BOX * 100, 1), f"{now.astimezone(zone):%H:%M}")
    left_of_it = here.percent > LABELS_TURN_AT_PERCENT
    return Chart(
        confirmed=" ".join(
            _line([frame.point(s.at, s.confirmed_kw) for s in run]) for run in runs
        ),
        unconfirmed=" ".join(
            _area(
                [frame.point(s.at, s.confirmed_kw + s.unconfirmed_kw) for s in run],
                [frame.point(s.at, s.confirmed_kw) for s in run],
            )
            for run in runs
        ),
        blind=" ".join(
            _area(
                [frame.point(s.at, _everything(s)) for s in run],
                [frame.point(s.at, s.confirmed_kw + s.unconfirmed_kw) for s in run],
            )
            for run in runs
        ),
        target=_target(frame, samples, starts_at, ends_at, target_kw),
        levels=levels,
        times=tuple(
            mark
            for mark in _times(frame, zone)
            if abs(mark.percent - here.percent) > LABELS_APART_PERCENT
        ),
        now=here,
        label_anchor="end" if left_of_it else "start",
        label_shift=-7 if left_of_it else 7,
        label_drop=-9 if newest and newest.confirmed_kw < frame.top_kw / 6 else 17,
        newest=frame.percents(newest.at, newest.confirmed_kw) if newest else None,
        summary=_summary(newest, target_kw),
    )


def _frame(
    samples: Sequence[Sample],
    starts_at: datetime,
    ends_at: datetime,
    target_kw: float | None,
    now: datetime,
) -> tuple[_Frame, tuple[Mark, ...]]:
    """Choose what the axes span: zero to a round number, the whole event, and now."""
    highest = max([_everything(s) for s in samples] + [target_kw or 0.0, 1.0])
    step = _round_step(highest * HEAD_ROOM / LEVELS)
    top = highest * HEAD_ROOM
    begin = min([starts_at, now, *(s.at for s in samples[:1])])
    end = max(ends_at, now + (now - begin) * 0.08, begin + timedelta(minutes=1))
    frame = _Frame(begin, end, top)
    count = int(top / step)
    return frame, tuple(
        Mark(round(frame.y(i * step) / BOX * 100, 1), f"{i * step:,g}")
        for i in range(count + 1)
    )


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is not less."""
    power = 0.1
    while True:
        for factor in (1.0, 2.0, 2.5, 5.0):
            if power * factor >= least:
                return power * factor
        power *= 10.0


def _runs(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Yield stretches without a gap: a line across a gap would be invented."""
    if not samples:
        return
    steps = [(b.at - a.at).total_seconds() for a, b in pairwise(samples)]
    longest = median(steps) * GAP_STEPS if steps else 0.0
    run = [samples[0]]
    for sample, step in zip(samples[1:], steps, strict=True):
        if step > longest:
            yield run
            run = []
        run.append(sample)
    yield run


def _times(frame: _Frame, zone: ZoneInfo) -> Iterator[Mark]:
    """Yield clock times at round steps of the zone's own clock."""
    length = frame.end - frame.begin
    step = next((s for s in TIME_STEPS if length / s <= TIMES), TIME_STEPS[-1])
    midnight = frame.begin.astimezone(zone).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    # Counted in UTC from local midnight: across a clock change the labels stay true.
    moment = midnight.astimezone(frame.begin.tzinfo)
    moment += step * -(-(frame.begin - moment) // step)
    while moment <= frame.end:
        percent = round(frame.x(moment) / BOX * 100, 1)
        if LABEL_MARGIN_PERCENT < percent < 100 - LABEL_MARGIN_PERCENT:
            yield Mark(percent, f"{moment.astimezone(zone):%H:%M}")
        moment += step


def _target(
    frame: _Frame,
    samples: Sequence[Sample],
    starts_at: datetime,
    ends_at: datetime,
    target_kw: float | None,
) -> str:
    """Draw the target over the event's window, with the steps of its amendments."""
    if target_kw is None:
        return ""
    steps = [(s.at, s.target_kw) for s in samples if s.target_kw and s.at <= ends_at]
    first = steps[0][1] if steps else target_kw
    path = [f"M{frame.point(starts_at, first)}"]
    present = first
    for at, kw in [*steps, (ends_at, target_kw)]:
        if kw != present:
            path.append(f"H{frame.x(at):g}V{frame.y(kw):g}")
            present = kw
    return "".join([*path, f"H{frame.x(ends_at):g}"])


def _everything(sample: Sample) -> float:
    return sample.confirmed_kw + sample.unconfirmed_kw + sample.blind_kw


def _line(points: Sequence[str]) -> str:
    return "M" + "L".join(points)


def _area(upper: Sequence[str], lower: Sequence[str]) -> str:
    return "M" + "L".join([*upper, *reversed(lower)]) + "Z"


def _summary(newest: Sample | None, target_kw: float | None) -> str:
    target = "no target" if target_kw is None else f"target {target_kw:.1f} kW"
    if newest is None:
        return f"No figures yet, {target}."
    return (
        f"Confirmed {newest.confirmed_kw:.1f} kW, unconfirmed "
        f"{newest.unconfirmed_kw:.1f} kW, blind {newest.blind_kw:.1f} kW, {target}."
    )
