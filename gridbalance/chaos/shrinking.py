"""Make a failing plan small: which of its faults does it take? Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def shrink(
    numbers: Sequence[int], *, fails: Callable[[list[int]], bool], tries: int
) -> list[int]:
    """Return fewer numbers with which it still fails, after so many tries at most.

    Halves are left out first, then quarters, down to single ones. Real processes do not
    repeat themselves exactly: a part that passes once is kept, so what is returned has
    been seen to fail, but may not be the smallest.
    """
    left = list(numbers)
    size = (len(left) + 1) // 2
    while size >= 1 and left:
        start = 0
        while start < len(left):
            if tries <= 0:
                return left
            without = left[:start] + left[start + size :]
            tries -= 1
            if fails(without):
                left = without
            else:
                start += size
        size = size // 2
    return left
