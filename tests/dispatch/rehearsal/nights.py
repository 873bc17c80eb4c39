"""Small evenings for the tests of a rehearsal: the cast, by hours of the clock."""

from __future__ import annotations

import numpy as np

from dispatch.rehearsal.evening import Evening


def step(hour: float) -> int:
    """Return the step at an hour of the evening; 31 is seven in the morning."""
    return round((hour - 12) * 12)


def night(
    *cars: tuple[float, float, float],
    kw: float = 6.0,
    enrolled: int = 0,
    catch_steps: int = 1,
) -> Evening:
    """Return cars that come, leave, and want so many hours of charging."""
    leaves = np.array([step(until) for _, until, _ in cars], dtype=np.int64)
    return Evening(
        arrives=np.array([step(since) for since, _, _ in cars], dtype=np.int64),
        leaves=leaves,
        energy_kwh=np.array([hours * kw for _, _, hours in cars], dtype=float),
        power_kw=np.full(len(cars), kw),
        user=np.array([f"car {n}" for n in range(len(cars))], dtype=str),
        believed_leaves=leaves.astype(float),
        catch_steps=np.full(len(cars), catch_steps),
        enrolled=enrolled or len(cars),
    )
