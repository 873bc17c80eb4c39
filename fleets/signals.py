"""What `fleets` tells whoever listens. All but the last once rows are committed."""

from __future__ import annotations

from django.dispatch import Signal

# vehicle_ids: list[int], cars of which a reading was recorded.
readings_recorded = Signal()

# enrolment_ids: list[int], enrolments whose customers took their consent back.
consent_ended = Signal()

# program: Program, one made in the back office; sent in the transaction that makes it.
program_made = Signal()
