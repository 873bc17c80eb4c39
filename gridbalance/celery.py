"""The Celery app and the whole periodic schedule.

Rows are the truth; the queue only wakes. Messages may be lost, doubled or late: every
task reads what is due from PostgreSQL and may run at any time without harm.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_shutting_down
from django.conf import settings
from kombu import Exchange, Queue

from dispatch import draining
from gridbalance import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbalance.settings")

app = Celery("gridbalance", amqp="gridbalance.broker:Amqp")

# The anonymous exchange routes by queue name and keeps no bindings in Redis: a FLUSHALL
# would take them along, and messages would vanish in silence until a restart.
NOWHERE = Exchange("", type="direct")

app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_transport="gridbalance.broker:Transport",
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        # Engine rule 13: a hung broker must not hang whoever wakes.
        "socket_timeout": settings.BROKER_TIMEOUT_SECONDS,
        "socket_connect_timeout": settings.BROKER_TIMEOUT_SECONDS,
        "health_check_interval": 10,
    },
    task_queues=[
        # Two kinds of worker, so that hanging calls never hold up a tick.
        Queue("control", NOWHERE, routing_key="control"),
        Queue("fanout", NOWHERE, routing_key="fanout"),
    ],
    task_default_queue="control",
    task_default_exchange="",
    task_default_routing_key="control",
    task_routes={"dispatch.tasks.send": {"queue": "fanout"}},
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,  # its replies would live in Redis for ever
    beat_max_loop_interval=1,
    timezone="UTC",
    enable_utc=True,
)
app.autodiscover_tasks(["fleets", "dispatch"])


@worker_shutting_down.connect
def _let_senders_end(**signal: Any) -> None:
    """Let runs of the fan-out end, which last for as long as anything is due."""
    draining.begin()


@task_prerun.connect
def _name_the_task(task_id: str, task: Any, **signal: Any) -> None:
    logs.begin_task(task_id, task.name)


@task_postrun.connect
def _forget_the_task(**signal: Any) -> None:
    logs.end_task()


_tick = settings.TICK_SECONDS
app.conf.beat_schedule = {
    # One turn of the loop for every running event; readings wake it earlier.
    "tick": {"task": "dispatch.tasks.tick", "schedule": _tick,
             "options": {"queue": "control", "expires": _tick}},
    # What the wakes of receivers and ticks lost: a sender that finds nothing ends.
    "send": {"task": "dispatch.tasks.send", "schedule": _tick,
             "options": {"queue": "fanout", "expires": _tick}},
    # Webhooks whose wake got lost.
    "take-in": {"task": "fleets.tasks.take_in", "schedule": _tick,
                "options": {"queue": "control", "expires": _tick}},
    # What is owed, into the second place; and whether somebody acted on it.
    "keep-safe": {"task": "dispatch.tasks.keep_safe", "schedule": 60,
                  "options": {"queue": "control", "expires": 60}},
    # Samples as quarter hours begin, forecasts as hours do; a minute late is in time.
    "look-ahead": {"task": "dispatch.tasks.look_ahead", "schedule": 60,
                   "options": {"queue": "control", "expires": 60}},
    # Partitions ahead of the clock, which may run fast; old ones go.
    "keep-house": {"task": "dispatch.tasks.keep_house", "schedule": 60,
                   "options": {"queue": "control", "expires": 60}},
    # Events of recurring windows, a week ahead; what a stop missed is made up for.
    "make-events": {"task": "dispatch.tasks.make_events", "schedule": 60,
                    "options": {"queue": "control", "expires": 60}},
    # When cars leave: once a day, by the clock that may run fast.
    "learn": {"task": "fleets.tasks.learn", "schedule": 600,
              "options": {"queue": "control", "expires": 600}},
    # Messages and departures whose time has passed.
    "prune": {"task": "fleets.tasks.prune", "schedule": 600,
              "options": {"queue": "control", "expires": 600}},
}  # fmt: skip
