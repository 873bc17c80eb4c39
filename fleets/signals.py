"""What `fleets` tells whoever listens: once rows are committed, or else it says so."""

from __future__ import annotations

from django.dispatch import Signal

# vehicle_ids: list[int], cars of which a reading was recorded.
readings_recorded = Signal()

# enrolment_ids: list[int], enrolments whose customers took their consent back.
consent_ended = Signal()

# program: Program, one made in the back office; sent in the transaction that makes it.
program_made = Signal()

# enrolment: Enrolment, as it is now; was_wording, source, actor: str; was_consented_at:
# datetime | None; now: datetime. A consent to be managed overnight was given or taken
# back; sent in the transaction that writes it.
overnight_consent_changed = Signal()
