"""The evening as it goes by, in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dispatch.lifecycle import OPEN_HOLD, EventStatus
from dispatch.models import GridEvent, Hold, LoadSample


@dataclass(frozen=True)
class Bars:
    """Three bars: the event's time, kW against the target, cars given back."""

    progress: Progress
    time: TaskID
    held: TaskID
    given_back: TaskID

    @classmethod
    def on(cls, console: Console) -> Bars:
        """Return bars that are drawn on a console, or quiet lines without one."""
        progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[words]}"),
            console=console,
            transient=False,
        )
        return cls(
            progress,
            progress.add_task("Event", words="", total=1.0),
            progress.add_task("Confirmed", words="", total=1.0),
            progress.add_task("Given back", words="", total=1.0),
        )

    def show(self, event: GridEvent, *, now: datetime) -> None:
        """Draw how far the evening has come."""
        event.refresh_from_db()
        length = (event.ends_at - event.starts_at).total_seconds()
        passed = (now - event.starts_at).total_seconds()
        self.progress.update(
            self.time,
            completed=min(max(passed / length, 0.0), 1.0),
            words=f"{now:%H:%M}, {event.status}, until {event.ends_at:%H:%M} UTC",
        )
        self._show_kw(event)
        holds = Hold.objects.filter(event=event)
        total, still = holds.count(), holds.filter(status__in=OPEN_HOLD).count()
        self.progress.update(
            self.given_back,
            completed=(total - still) / total if total else 0.0,
            words=f"{total - still} of {total} cars",
        )

    def _show_kw(self, event: GridEvent) -> None:
        """Show kW against the target; when giving back, the best figure stays."""
        if event.status != EventStatus.ACTIVE:
            return
        sample = LoadSample.objects.filter(event=event).order_by("-at").first()
        if sample is None:
            return
        target = event.target_kw or sample.confirmed_kw + sample.unconfirmed_kw
        self.progress.update(
            self.held,
            completed=min(sample.confirmed_kw / max(target, 1e-9), 1.0),
            words=(
                f"{sample.confirmed_kw:.0f} kW of {target:.0f} kW confirmed, "
                f"{sample.unconfirmed_kw:.0f} unconfirmed, {sample.blind_kw:.0f} blind"
            ),
        )
