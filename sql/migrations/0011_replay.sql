-- Replay: events that are still in the outbox are applied again, because somebody wants that.

alter table inbox.delivery
    add column generation integer not null default 0,
    drop constraint delivery_is_unique,
    add constraint delivery_is_unique unique (flow, message_id, generation),
    add constraint delivery_generation_counts check (generation >= 0);
comment on column inbox.delivery.generation is
    '0: as it came from the broker. Above: the replay that wants it applied again, with idempotency keys of its own.';

create table inbox.replay (
    id           integer     generated always as identity primary key,
    started_at   timestamptz not null default clock_timestamp(),
    ended_at     timestamptz,
    since        timestamptz,
    until        timestamptz,
    position     bigint      not null,
    upto         bigint      not null,
    looked_at    bigint      not null default 0,
    replayed     bigint      not null default 0,
    missing_only boolean     not null,
    state        text        not null default 'running',
    flow         text        not null,
    patterns     text[]      not null,
    key          text,
    who          text        not null,
    why          text        not null,
    constraint replay_state_is_known check (state in ('running', 'cancelled', 'done')),
    constraint replay_end_is_dated check ((state = 'running') = (ended_at is null))
);
comment on table inbox.replay is
    'Audit of "outbox replay", and how far each is: who wanted what applied again by which flow, and why.';
comment on column inbox.replay.position is 'Everything up to this id has been looked at; moves with the deliveries, in one transaction.';
comment on column inbox.replay.patterns is 'Regular expressions, of which an event''s type, with a dot before it, matches one.';
create unique index replay_running on inbox.replay (flow) where state = 'running';
grant select on inbox.replay to outbox_adapter;

drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[], boolean, text);
drop function if exists inbox.fetch(text, text, bigint[], smallint[], integer, boolean);
