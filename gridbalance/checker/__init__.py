"""Are the promises kept? The simulator's truth against our rows, by other means.

It shares no code with the engine: it reads what was written down and what the cars and
the provider saw, and counts every contradiction to design section 2.
"""

from __future__ import annotations

from gridbalance.checker.evidence import Evidence, collect
from gridbalance.checker.promises import CHECKS, Breach, breaches

__all__ = ["CHECKS", "Breach", "Evidence", "breaches", "collect"]
