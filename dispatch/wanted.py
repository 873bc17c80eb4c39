"""What makes a command pointless, as parts of statements.

The claim asks it, and whoever is about to send asks it again.
"""

from __future__ import annotations

from dispatch.planner import Reason

# These stand beside `c`, a command, `g`, its event, and `v`, its car. What is mostly
# empty is looked at once for all of them, before it is asked about each.

# A hold-off lasts in the car's area.
LASTING = "a.starts_at <= %(now)s and (a.ends_at is null or a.ends_at > %(now)s)"
AREA_OFF = f"""
exists (select from dispatch_areaholdoff a where {LASTING}) and exists (
    select from dispatch_areaholdoff a
    where {LASTING} and coalesce(a.program_id, g.program_id) = g.program_id
        and (a.is_everywhere or exists (
            select from dispatch_areaholdoff_feeders f
            where f.areaholdoff_id = a.id and f.feeder_id = v.feeder_id
        )) {{and_more}}
)
"""  # noqa: S608  (constant text)
# An outage: a start would be lost on a car without power.
DARK = AREA_OFF.format(and_more="and a.kind = 'outage'")
SWITCHED_OFF = """
exists (select from dispatch_envelope where holds_stopped_at is not null) and exists (
    select from dispatch_envelope s
    where s.holds_stopped_at is not null
        and coalesce(s.program_id, g.program_id) = g.program_id
        and (s.feeder_id is null or s.feeder_id = v.feeder_id)
)
"""
# The event is over, and gives back; the car waits for its turn, which is a consent of
# its own.
QUEUES = f"""
    g.status = 'restoring' and g.cancelled_at is null and coalesce((
        select q.reason = '{Reason.QUEUED}' from dispatch_hold q where q.id = c.hold_id
    ), false)
"""  # noqa: S608  (constant text)
# A command that takes is still wanted.
WANTED = f"""
    c.deadline_at > %(now)s and g.version = c.event_version
    and (g.status = 'active' and g.ends_at > %(now)s or {QUEUES})
    -- Each by one look into a unique index; as `exists` they are joined to all cars.
    and coalesce((
        select e.program_id = g.program_id
            and (g.status = 'active' or e.overnight_consented_at is not null)
        from fleets_enrolment e
        where e.vehicle_id = c.vehicle_id and e.status = 'active'
    ), false)
    and coalesce((
        select p.opted_out_at is null and p.status <> 'ended'
        from dispatch_participation p
        where p.event_id = c.event_id and p.vehicle_id = c.vehicle_id
    ), true)
    and not ({AREA_OFF.format(and_more="")})
    and not ({SWITCHED_OFF})
"""  # noqa: S608  (constant text)
STILL_WANTED = f"""
select c.id from dispatch_command c
join dispatch_gridevent g on g.id = c.event_id
join fleets_vehicle v on v.id = c.vehicle_id
where c.id = any(%(ids)s) and {WANTED}
"""  # noqa: S608  (constant text)
