"""The app that wires the others."""

from __future__ import annotations

from django.apps import AppConfig


class GridbalanceConfig(AppConfig):
    name = "gridbalance"

    def ready(self) -> None:
        """Make the queue known to every process that may wake a task.

        Without it, shared tasks of the web process would knock at a broker on the
        standard AMQP port, and nothing but the next tick would ever wake a worker.
        """
        from gridbalance import celery  # noqa: F401
