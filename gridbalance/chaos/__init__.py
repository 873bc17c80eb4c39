"""Evenings under fire: seeded faults against real processes, judged from outside.

One *round* is one evening with its faults. `plan` draws it from a seed and is pure;
`harm` makes each fault real; `round` lets the evening pass and judges it; `run` repeats
that, counts, and shrinks what failed to a command that shows it again.
"""
