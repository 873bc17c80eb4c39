"""The operator's live page: what it shows, and how it stays of this moment.

picture(now)   reads everything, as of one moment
publish(now)   at the end of every tick: draws it once for all who watch
pictures()     what one viewer's stream carries
"""

from __future__ import annotations

from datetime import datetime

import structlog

from dispatch.live import relay
from dispatch.live.render import PARTS, render
from dispatch.live.shapes import Actions, Picture
from dispatch.live.stream import pictures
from dispatch.live.survey import actions, picture

__all__ = [
    "PARTS",
    "Actions",
    "Picture",
    "actions",
    "picture",
    "pictures",
    "publish",
    "render",
]

log = structlog.get_logger(__name__)


def publish(now: datetime) -> None:
    """Show everybody who watches what is true now.

    A page must never hurt a tick: whatever fails here is logged and forgotten, and
    the streams draw for themselves what they miss.
    """
    try:
        if relay.is_watched():
            relay.send(render(picture(now)))
    except Exception as error:  # noqa: BLE001  (see above)
        log.warning("live_not_published", error=str(error))
