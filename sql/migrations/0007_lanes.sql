-- Relay lanes: the keys of a stream are spread over several cursors, each with a leader of its own.

-- Their parameters change, or they are replaced by another.
drop function if exists outbox.read_page(
    pg_snapshot, pg_snapshot, xid8[], bigint, bigint, bigint, integer, bigint, integer, bigint
);
drop function if exists inbox.lane_of(text, bigint, integer);

alter table outbox.cursor
    add column lane          integer     not null default 0,
    add column lanes         integer     not null default 1,
    add column opens_at      timestamptz not null default '-infinity',
    add column former_leads  integer[]   not null default '{}',
    add constraint cursor_lane_is_one_of_its_lanes
        check (lanes between 1 and 64 and lane >= 0 and lane < lanes),
    add constraint cursor_is_named_after_its_lane
        check (lanes = 1 and stream !~ ':' or lanes > 1 and stream ~ format(':%s/%s$', lane, lanes));
comment on column outbox.cursor.lane is
    'Which of the lanes: this cursor speaks of the events that outbox.lane_of() puts there.';
comment on column outbox.cursor.lanes is
    'Over how many cursors the keys are spread; the same in every row. Changed by "outbox lanes set" only.';
comment on column outbox.cursor.opens_at is
    'Before this moment nobody leads the lane while one of former_leads is held: whoever led before the number of lanes was changed may not have noticed yet.';
comment on column outbox.cursor.former_leads is
    'The advisory locks of those who led when the number of lanes was changed.';

create table outbox.relay (
    name       text        primary key,
    lock_key   integer     not null,
    held       integer     not null,
    is_open    boolean     not null,
    seen_at    timestamptz not null default clock_timestamp(),
    seen_until timestamptz not null
) with (fillfactor = 50);
comment on table outbox.relay is
    'The processes that share the lanes. A row whose session lock is free, or that is past seen_until, counts as gone.';
comment on column outbox.relay.lock_key is
    'The second number of the advisory lock that the process holds while it lives.';
comment on column outbox.relay.held is
    'How many lanes it leads, or is about to.';
comment on column outbox.relay.is_open is
    'Whether it takes more. Not for a while after it could not lead a lane.';

grant select, insert, update, delete on outbox.relay to outbox_relay;

create table outbox.lanes_set (
    id             bigint      generated always as identity primary key,
    set_at         timestamptz not null default clock_timestamp(),
    epoch          bigint      not null,
    lanes_before   integer     not null,
    lanes_after    integer     not null,
    stream         text        not null,
    set_by         text        not null default session_user,
    cursors_before jsonb       not null
);
comment on table outbox.lanes_set is
    'Audit of "outbox lanes set": who changed the number of lanes, when, and where every cursor was. Append-only.';

grant select on outbox.lanes_set to outbox_relay;
