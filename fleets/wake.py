"""The only way to queue work: it cannot hang and it cannot raise.

Rows are the truth and ticks find them anyway, so a broker that is down costs half a
second, never a promise. How long a socket may take is set with the Celery app.
"""

from __future__ import annotations

import structlog
from celery import Task
from kombu.pools import producers

log = structlog.get_logger(__name__)

EXPIRES_SECONDS = 60  # real; ticks have looked a dozen times by then

# `retry=False` speaks of publishing alone: kombu tries to connect for six seconds more.
AT_ONCE = {"max_retries": 0, "interval_start": 0, "interval_step": 0}
POOL_SECONDS = 0.5


def wake(task: Task, *args: object) -> None:
    """Queue a task soon, or log that it could not be; a tick makes up for it.

    Call it after the commit of what the task is to find.
    """
    try:
        connection = task.app.connection_for_write(transport_options=AT_ONCE)
        pool = producers[connection]  # one for all connections that are alike
        with pool.acquire(block=True, timeout=POOL_SECONDS) as producer:
            task.apply_async(
                args=args,
                producer=producer,
                retry=False,
                expires=EXPIRES_SECONDS,
                ignore_result=True,
            )
    except Exception as error:  # noqa: BLE001 - brokers fail in many families
        log.warning("wake_failed", task=task.name, error=type(error).__name__)
