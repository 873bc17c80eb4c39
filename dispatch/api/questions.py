"""What `/metrics` tells: names, meanings, and the rows behind them.

One statement answers one question of the runbook, for one or several metrics. Each is
answered by a partial index, a small table or a bounded look: a scrape every few seconds
must cost nothing, whatever lies in the tables. Labels have few values by their nature:
statuses, makes, programs; never cars, people or events.

Counters are the numbers that PostgreSQL gave out for new rows. They belong to all
processes together and no restart sets them back; a number may be given out and not
used, so they are right in size, not to the last row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dispatch.lifecycle import OPEN_HOLD, RUNNING_EVENT, CommandStatus

# Trouble is told by the provider's code: the most frequent ones, the rest together.
MOST_CODES = 30
# The newest messages of the inbox, among which those put aside are counted.
NEWEST_MESSAGES = 10_000


@dataclass(frozen=True)
class Measure:
    """One statement: rows of label values, then of one number for each metric."""

    metrics: Mapping[str, str]  # meaning by name, which ends in _total for a counter
    statement: str
    labels: tuple[str, ...] = ()
    # Label values that are told as 0 when no row has them.
    always: Iterable[str] = field(default=())


MEASURES = (
    # --- What is owed --
    Measure(
        {"gridbalance_holds_open": "Cars that are owed something, by status"},
        "select status, count(*) from dispatch_hold"
        " where status in ({open}) group by 1",
        ("status",),
        [str(status) for status in OPEN_HOLD],
    ),
    Measure(
        {
            "gridbalance_holds_late": "Cars that should charge again by now",
            "gridbalance_holds_kw": "Power of all cars that are owed something",
        },
        "select count(*) filter (where latest_start_at < %(now)s),"
        " coalesce(sum(power_kw), 0) from dispatch_hold"
        " where status in ({open})",
    ),
    Measure(
        {
            "gridbalance_give_back_seconds": "How long it would take to give everything"
            " back from now, by what bounds it: the provider's calls, a program's ramp"
        },
        """
        with owed as (
            select g.program_id, h.power_kw from dispatch_hold h
            join dispatch_gridevent g on g.id = h.event_id
            where h.status in ({open})
        )
        select 'calls', greatest(0, (select count(*) from owed) - {tokens}) * 60
            / b.refill_per_minute
            + greatest(0, extract(epoch from b.blocked_until - %(now)s))
        from fleets_bucket b where b.name = 'application' and b.refill_per_minute > 0
        union all
        select 'ramp', coalesce(max(kw.owed * 60 / p.restore_ramp_kw_per_minute), 0)
        from (select program_id, sum(power_kw) as owed from owed group by 1) kw
        join fleets_program p on p.id = kw.program_id
        """,
        ("bound",),
    ),
    Measure(
        {"gridbalance_events": "Events that run or wait for approval, by status"},
        "select status, count(*) from dispatch_gridevent"
        " where status in ({running}) group by 1"
        " union all select status, count(*) from dispatch_gridevent"
        " where status = 'pending approval' and ends_at > %(now)s group by 1",
        ("status",),
        [*map(str, RUNNING_EVENT), "pending approval"],
    ),
    Measure(
        {
            "gridbalance_stopped_kw": "Measured: what cars drew before their stops that"
            " a reading shows stopped, by program, in its newest sample",
            "gridbalance_shed_kw": "An estimate: what those cars would be drawing now",
        },
        """
        select p.code, coalesce(sum(s.confirmed_kw), 0), coalesce(sum(s.shed_kw), 0)
        from dispatch_gridevent g
        join fleets_program p on p.id = g.program_id
        join lateral (
            select confirmed_kw, shed_kw from dispatch_loadsample
            where event_id = g.id order by at desc limit 1
        ) s on true
        where g.status in ({running}) group by 1
        """,
        ("program",),
    ),
    Measure(
        {"gridbalance_alarms_open": "Alarms that nobody has cleared, by severity"},
        "select severity, count(*) from dispatch_alarm where cleared_at is null"
        " group by 1",
        ("severity",),
        ("critical", "warning"),
    ),
    # --- Commands on their way: two statements, for each has its partial index --
    Measure(
        {"gridbalance_commands_open": "Commands on their way, by status"},
        "select status, count(*) from dispatch_command"
        " where status in ('queued', 'sending', 'unknown') group by 1"
        " union all select status, count(*) from dispatch_command"
        " where status in ('unknown', 'accepted') and status = 'accepted' group by 1",
        ("status",),
        [
            str(status)
            for status in (
                CommandStatus.QUEUED,
                CommandStatus.SENDING,
                CommandStatus.UNKNOWN,
                CommandStatus.ACCEPTED,
            )
        ],
    ),
    Measure(
        {
            "gridbalance_commands_due": "Commands that could leave now",
            "gridbalance_commands_due_seconds": "How long the oldest of them waits",
        },
        "select case when is_restore then 'restore' else 'hold' end, count(*),"
        " coalesce(max(extract(epoch from %(now)s - due_at)), 0)"
        " from dispatch_command where status = 'queued' and due_at <= %(now)s"
        " group by 1",
        ("direction",),
        ("hold", "restore"),
    ),
    Measure(
        {
            "gridbalance_commands_in_trouble": "Commands on their way that met a"
            " failure, by the provider's last word"
        },
        """
        with counted as (
            select case when is_restore then 'restore' else 'hold' end as direction,
                code, count(*) as n, row_number() over (order by count(*) desc) as place
            from dispatch_command
            where status in ('queued', 'sending', 'unknown') and code <> ''
            group by 1, 2
        )
        select direction, case when place <= {codes} then code else 'other' end,
            sum(n)
        from counted group by 1, 2
        """,
        ("direction", "code"),
    ),
    # --- The loop, and who sends --
    Measure(
        {
            "gridbalance_loop_turn_timestamp_seconds": "End of the loop's last turn",
            "gridbalance_loop_turn_seconds": "How long the loop's last turn took",
        },
        "select extract(epoch from real_at), took_ms / 1000 from dispatch_loopturn",
    ),
    Measure(
        {"gridbalance_senders_alive": "Sending processes with a fresh heartbeat"},
        "select count(*) from dispatch_sender where heartbeat_at >"
        " clock_timestamp() - make_interval(secs => %(dead)s)",
    ),
    # --- The provider --
    Measure(
        {
            "gridbalance_bucket_tokens": "Provider calls left now",
            "gridbalance_bucket_capacity": "Provider calls that may be left at most",
            "gridbalance_bucket_blocked_seconds": "How long the provider told us to"
            " wait from now",
        },
        "select b.name, {tokens}, b.capacity,"
        " greatest(0, coalesce(extract(epoch from b.blocked_until - %(now)s), 0))"
        " from fleets_bucket b",
        ("bucket",),
    ),
    Measure(
        {"gridbalance_provider_token_seconds": "How long the provider's token is good"},
        "select provider, extract(epoch from expires_at - %(now)s)"
        " from fleets_providertoken where expires_at is not null",
        ("provider",),
    ),
    # --- Readings and webhooks --
    Measure(
        {
            "gridbalance_held_cars": "Cars that are owed something, by make",
            "gridbalance_held_data_seconds": "Age of the middle one's newest data",
            "gridbalance_held_data_oldest_seconds": "Age of the oldest such data",
        },
        """
        select v.make, count(*),
            percentile_cont(0.5) within group (
                order by extract(epoch from %(now)s - v.observed_at)),
            max(extract(epoch from %(now)s - v.observed_at))
        from dispatch_hold h join fleets_vehicle v on v.id = h.vehicle_id
        where h.status in ({open}) group by 1
        """,
        ("make",),
    ),
    Measure(
        {
            "gridbalance_webhooks_waiting": "Messages that were not worked off yet",
            "gridbalance_webhooks_waiting_seconds": "How long the oldest waits",
        },
        """
        select count(*), coalesce(greatest(0, extract(epoch from %(now)s - (
            select received_at from fleets_webhookdelivery where processed_at is null
            order by id limit 1))), 0)
        from fleets_webhookdelivery where processed_at is null
        """,
    ),
    Measure(
        {
            "gridbalance_webhooks_put_aside": "Messages that nobody could read, among"
            f" the newest {NEWEST_MESSAGES:,}"
        },
        "select count(*) filter (where error <> '') from (select error from"
        " fleets_webhookdelivery order by id desc limit {newest}) newest",
    ),
    Measure(
        {
            "gridbalance_webhooks_total": "Messages that the provider delivered",
            "gridbalance_readings_total": "Readings that were taken in",
            "gridbalance_commands_total": "Commands that were decided",
            "gridbalance_changes_total": "Steps in lives of events, holds and commands",
        },
        """
        select
            pg_sequence_last_value(
                pg_get_serial_sequence('fleets_webhookdelivery', 'id')),
            pg_sequence_last_value('fleets_reading_id_seq'),
            pg_sequence_last_value(pg_get_serial_sequence('dispatch_command', 'id')),
            pg_sequence_last_value('dispatch_change_id_seq')
        """,
    ),
    # --- What became of those who were held --
    Measure(
        {
            "gridbalance_held_cars_left_total": "Cars that left home after a hold",
            "gridbalance_held_cars_late_total": "Of these, those with less than they"
            " would have had without us",
            "gridbalance_held_cars_short_kwh_total": "What those lacked",
        },
        "select make, coalesce(sum(number) filter (where name = 'left'), 0),"
        " coalesce(sum(number) filter (where name = 'late'), 0),"
        " coalesce(sum(total) filter (where name = 'late'), 0)"
        " from dispatch_tally where name in ('left', 'late') group by 1",
        ("make",),
    ),
    # --- What bounds us --
    Measure(
        {
            "gridbalance_holds_stopped": "Switches that stop new holds, by their scope",
        },
        "select case when program_id is not null then 'program' when feeder_id is not"
        " null then 'feeder' else 'everything' end, count(holds_stopped_at)"
        " from dispatch_envelope group by 1",
        ("scope",),
        ("everything", "program", "feeder"),
    ),
    Measure(
        {"gridbalance_area_hold_offs": "Areas that are kept free of holds, by kind"},
        "select kind, count(*) from dispatch_areaholdoff where starts_at <= %(now)s"
        " and (ends_at is null or ends_at > %(now)s) group by 1",
        ("kind",),
        ("evacuation", "storm", "outage"),
    ),
    Measure(
        {
            "gridbalance_envelope_used_ratio": "Largest share of an envelope's kW that"
            " is outstanding, as of the last claim"
        },
        """
        select case when e.program_id is not null then 'program'
            when e.feeder_id is not null then 'feeder' else 'everything' end,
            case when g.is_restore then 'restore' else 'hold' end,
            max(g.outstanding_kw / case when g.is_restore
                then coalesce(e.restoring_max_kw, e.max_kw) else e.max_kw end)
        from dispatch_envelopegauge g join dispatch_envelope e on e.id = g.envelope_id
        group by 1, 2
        """,
        ("scope", "direction"),
    ),
    # --- What is foretold: the last week's forecasts of programs, scored --
    Measure(
        {"gridbalance_forecast_issued_timestamp_seconds": "When the newest was issued"},
        "select extract(epoch from max(issued_at)) from dispatch_forecast",
    ),
    Measure(
        {
            "gridbalance_forecast_within_fifty_ratio": "How often the 50 % held",
            "gridbalance_forecast_within_ninety_ratio": "How often the 90 % held",
            "gridbalance_forecast_loss_ratio": "Pinball loss by that of a week before",
        },
        """
        select f.measure, sum(s.within_50)::float8 / nullif(sum(s.quarters), 0),
            sum(s.within_90)::float8 / nullif(sum(s.quarters), 0),
            sum(s.loss) / nullif(sum(s.persistence_loss), 0)
        from dispatch_forecast f join dispatch_forecastscore s on s.forecast_id = f.id
        where f.issued_at >= %(now)s - interval '7 days' and f.program_id is not null
        group by 1
        """,
        ("measure",),
    ),
    # --- What keeps it running --
    Measure(
        {
            "gridbalance_second_place_kept_timestamp_seconds": "When what is owed was"
            " last copied to the second place",
            "gridbalance_second_place_looked_timestamp_seconds": "When the second place"
            " was last looked at",
            "gridbalance_may_act": "0 while somebody else gives back in our place",
        },
        "select extract(epoch from kept_at), extract(epoch from looked_at),"
        " may_act::int from dispatch_secondplace",
    ),
    Measure(
        {
            "gridbalance_partitions_ahead_seconds": "How far partitions are made ahead"
            " of the clock"
        },
        # A piece is named after its first day: what it holds is ahead of that.
        """
        select p.relname, max(extract(epoch from
            to_date(right(c.relname, 8), 'YYYYMMDD')::timestamptz - %(now)s))
        from pg_inherits i
        join pg_class p on p.oid = i.inhparent join pg_class c on c.oid = i.inhrelid
        where p.relname in ('fleets_reading', 'dispatch_change') and p.relkind = 'p'
            and c.relname ~ '_[0-9]{{8}}$'
        group by 1
        """,
        ("table",),
    ),
    Measure(
        {"gridbalance_clock_speed": "1 in real time; 0 when the clock stands still"},
        "select coalesce((select case when paused then 0 else speed end"
        " from fleets_clock), 1)",
    ),
)
# Beside the age of held cars' data, from what is known of makes.
FRESHNESS = (
    "gridbalance_make_freshness_seconds",
    "How old a car's newest data may be by its maker's habits",
)
# How late cars that plug in during an event are judged, by make: a histogram.
CATCHES = (
    "gridbalance_catch_seconds",
    "From a plug-in during an event, by the car's own time, until it was judged",
)
CATCH_CLASSES = (
    "select make, bound, number, total from dispatch_tally where name = 'catch'"
    " order by make, bound"
)
UP = ("gridbalance_database_up", "1 when the database answered this scrape")
# What statements share.
PARTS = {
    # As SQL's own text, so that the planner sees what the partial index was made of.
    "open": ", ".join(f"'{status}'" for status in OPEN_HOLD),
    "running": ", ".join(f"'{status}'" for status in RUNNING_EVENT),
    # Refilled up to now, as the next claim will find it.
    "tokens": "least(b.capacity, b.tokens + b.refill_per_minute / 60.0"
    " * greatest(0, extract(epoch from %(now)s - b.refilled_at)))",
    "codes": MOST_CODES,
    "newest": NEWEST_MESSAGES,
}
