-- The inbox: one row for each (flow, message), and everything that happened to it.

create schema inbox;
comment on schema inbox is 'Deliveries accepted from the broker, and how each of them was applied.';

create table inbox.lane (
    flow         text        not null,
    lane         smallint    not null,
    epoch        bigint      not null default 0,
    owner        text,
    leased_until timestamptz,
    primary key (flow, lane),
    constraint lane_lease_is_whole check ((owner is null) = (leased_until is null))
) with (fillfactor = 50);
comment on table inbox.lane is
    'A slice of a flow''s keys, leased to one process. Every function that changes deliveries locks the rows of the lanes it touches, in order of lane: that lock fences old owners and keeps accept and settle of one key apart.';
comment on column inbox.lane.epoch is
    'Raised with every change of owner; a settle that carries an older epoch is refused.';

create table inbox.consumer (
    flow       text        not null,
    owner      text        not null,
    seen_until timestamptz not null,
    primary key (flow, owner)
) with (fillfactor = 50);
comment on table inbox.consumer is 'Processes that share the lanes of a flow.';

create table inbox.delivery (
    id                bigint      generated always as identity primary key,
    sequence          bigint      not null,
    accepted_at       timestamptz not null default now(),
    due_at            timestamptz,
    began_at          timestamptz,
    first_sent_at     timestamptz,
    settled_at        timestamptz,
    dead_published_at timestamptz,
    lane_epoch        bigint,
    version           integer     not null,
    attempt           integer     not null default 0,
    failures          integer     not null default 0,
    copies            integer     not null default 1,
    lane              smallint    not null,
    state             text        not null,
    flow              text        not null,
    message_id        text        not null,
    type              text        not null,
    key               text,
    request_sha256    bytea,
    external_id       text,
    reason            text,
    reason_class      text,
    constraint delivery_is_unique unique (flow, message_id),
    foreign key (flow, lane) references inbox.lane (flow, lane),
    constraint delivery_state_is_known
        check (state in ('ready', 'applying', 'applied', 'retry', 'in_doubt', 'blocked', 'dead', 'skipped')),
    constraint delivery_applying_is_fenced
        check ((state = 'applying') = (lane_epoch is not null)),
    constraint delivery_applying_has_begun
        check (state <> 'applying' or (attempt > 0 and began_at is not null and first_sent_at is not null
                                       and request_sha256 is not null)),
    constraint delivery_runnable_is_due
        check (state not in ('ready', 'retry') or due_at is not null),
    constraint delivery_others_are_not_due
        check (state in ('ready', 'retry', 'in_doubt') or due_at is null),
    constraint delivery_in_doubt_was_sent
        check (state <> 'in_doubt' or first_sent_at is not null),
    constraint delivery_blocked_has_a_key
        check (state <> 'blocked' or key is not null),
    constraint delivery_end_is_dated
        check ((state in ('applied', 'skipped', 'dead')) = (settled_at is not null)),
    constraint delivery_trouble_has_a_reason
        check (state not in ('retry', 'in_doubt', 'dead') or (reason is not null and reason_class is not null))
) with (fillfactor = 80);
comment on table inbox.delivery is 'One message for one flow. The row is the truth; queues hold copies.';
comment on column inbox.delivery.due_at is
    'When the runtime may act. Null with in_doubt: parked, a person decides.';
comment on column inbox.delivery.attempt is 'Calls so far.';
comment on column inbox.delivery.failures is
    'Calls that failed because of this message; outages and throttling of the target do not count.';
comment on column inbox.delivery.copies is 'How often the broker delivered it.';

-- What the runtime may act on, oldest first; empty when everything is applied or parked.
create index delivery_due on inbox.delivery (flow, lane, due_at)
    where state in ('ready', 'retry', 'in_doubt') and due_at is not null;
-- The head of a key, and whether a key has one.
create index delivery_unfinished on inbox.delivery (flow, key, sequence)
    where state not in ('applied', 'skipped') and key is not null;
-- Whether something newer of the same key has already taken effect.
create index delivery_finished on inbox.delivery (flow, key, sequence)
    where state in ('applied', 'skipped') and key is not null;
create index delivery_applying on inbox.delivery (flow, lane) where state = 'applying';
create index delivery_dead_unpublished on inbox.delivery (flow, lane)
    where state = 'dead' and dead_published_at is null;
create index delivery_parked on inbox.delivery (flow, state, id)
    where state in ('dead', 'in_doubt', 'blocked', 'retry');

create table inbox.message (
    delivery_id bigint primary key,
    traceparent text,
    headers     json   not null,
    body        bytea  not null
);
comment on table inbox.message is
    'The bytes of a delivery, apart from its row: a delivery is updated several times, its bytes never.';

create table inbox.attempt (
    delivery_id bigint      not null,
    attempt     integer     not null,
    began_at    timestamptz not null,
    ended_at    timestamptz not null default clock_timestamp(),
    http_status integer,
    owner       text        not null,
    outcome     text        not null,
    external_id text,
    reason      text,
    primary key (delivery_id, attempt)
);
comment on table inbox.attempt is 'Append-only log of calls: the operation log that people search.';
