"""The one place where a picture becomes HTML for the wire."""

from __future__ import annotations

from django.template.loader import render_to_string

from dispatch.live.shapes import Picture

# Each has a template in `templates/dispatch/parts/` and a place in `live.html`.
PARTS = (
    "moment", "strips", "figures", "alarms", "charts", "states", "commands", "cars",
)  # fmt: skip


def render(picture: Picture) -> str:
    """Return all parts at once: one event a tick, so no two numbers disagree."""
    return render_to_string(
        "dispatch/update.html", {"picture": picture, "parts": PARTS}
    )
