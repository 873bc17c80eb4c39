"""The bench of decisions, over small fleets: its own checks are part of it."""

from __future__ import annotations

from math import log

import pytest

from gridbalance.bench import decide


def test_it_asks_four_questions_of_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "SIZES", (50, 500))

    figures = decide.measure()

    asked = ["start", "target", "quiet", "restore"]
    times = [figures[f"{what}_{n}_s"] for what in asked for n in (50, 500)]
    assert all(seconds > 0 for seconds in times)
    assert figures["growth"] == pytest.approx(
        max(
            figures[f"{what}_500_s"]
            / figures[f"{what}_50_s"]
            / (500 * log(500) / (50 * log(50)))
            for what in asked
        ),
        rel=0.01,
    )
