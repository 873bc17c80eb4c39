"""A program with months of quarter-hour samples."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest

from dispatch.forecast import quarters
from dispatch.models import QuarterSample
from fleets.models import Program
from tests.factories import NOW

Keep = Callable[..., None]


@pytest.fixture
def keep_samples(program: Program) -> Keep:
    """Return a maker of a program's samples: 100 cars, at home from 17 h on."""

    def make(
        days: float = 40, *, until: datetime = NOW, managed: bool = False, seed: int = 1
    ) -> None:
        rng = np.random.default_rng(seed)
        end = quarters.number(until)
        rows = []
        for quarter in range(end - int(days * quarters.A_DAY), end):
            hour = quarter % quarters.A_DAY / 4.0
            charging = int(rng.binomial(100, 0.3 if 17 <= hour < 22 else 0.02))
            rows.append(
                QuarterSample(
                    program=program,
                    at=quarters.moment(quarter),
                    cars=100,
                    known_cars=100,
                    plugged_in=charging + 20,
                    charging=charging,
                    load_kw=charging * 7.0,
                    sheddable_kw=charging * 6.0,
                    is_managed=managed,
                )
            )
        QuarterSample.objects.bulk_create(rows)

    return make
