"""Rehearsal: an evening as it would go, by the same `decide`, without rows.

sessions   charging sessions by evening
evening    the cars of one evening, or of many laid over each other, on a 5-minute grid
forecast   what the evening before the event lets us expect
frontier   the lowest cap, and what each cap costs in hours and late cars
bound      the peak that no restore can stay below (field.md D2)
play       the event and its restore, decided step by step
figures    what came of it

Pure: files are read, nothing is written. See ../planner.md.
"""
