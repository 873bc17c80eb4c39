"""Measurements: both sides of a claim in one run, against the same other process."""
