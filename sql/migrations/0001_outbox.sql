-- The outbox: events that the application commits with its own rows, and how far they are published.

create schema outbox;
comment on schema outbox is 'Transactional outbox: the application inserts events, the relay publishes them.';

create table outbox.event (
    tx            xid8        not null default pg_current_xact_id(),
    id            bigint      generated always as identity primary key,
    event_id      uuid        not null default gen_random_uuid(),
    created_at    timestamptz not null default now(),
    version       integer     not null default 1,
    payload_bytes integer     not null generated always as (octet_length(payload::text)) stored,
    type          text        not null,
    key           text,
    payload       json        not null,
    headers       json,
    constraint event_type_is_a_routing_key
        check (octet_length(type) between 1 and 255 and type !~ '[[:cntrl:][:space:]*#]'),
    constraint event_key_fits
        check (octet_length(key) between 1 and 512 and key !~ '[[:cntrl:]]'),
    constraint event_version_is_positive
        check (version > 0),
    constraint event_payload_fits
        check (payload_bytes <= 134217728),
    constraint event_headers_are_a_small_object
        check (json_typeof(headers) = 'object' and octet_length(headers::text) <= 32768)
);
-- Finds the rows of one transaction (stragglers) and the id range of new transactions without touching the heap.
create index event_tx on outbox.event (tx, id);

comment on table outbox.event is
    'Insert-only. The relay never locks, updates or deletes a row. Columns that the application may write: type, version, key, payload, headers.';
comment on column outbox.event.tx is
    'Top-level transaction id, also inside savepoints (the system column xmin would be the subtransaction''s).';
comment on column outbox.event.id is
    'Order inside a transaction and inside a batch. Drawn at INSERT, visible at COMMIT: never a cursor by itself.';
comment on column outbox.event.event_id is
    'The message id. Never the bigint, which is issued again after a recovery.';
comment on column outbox.event.key is
    'Events of one key take effect in order. Null: this event has no order with others.';
comment on column outbox.event.payload_bytes is
    'Lets the relay bound a page by bytes without reading the payloads.';
comment on constraint event_type_is_a_routing_key on outbox.event is
    'The type is the AMQP routing key: 1 to 255 bytes, no spaces, control characters, * or #.';
comment on constraint event_key_fits on outbox.event is
    'A key has 1 to 512 bytes and no control characters; use null for an event without order.';
comment on constraint event_version_is_positive on outbox.event is
    'The version of a type''s contract is 1 or more.';
comment on constraint event_payload_fits on outbox.event is
    'No broker takes more than 128 MiB.';
comment on constraint event_headers_are_a_small_object on outbox.event is
    'Headers are a JSON object of at most 32 KiB.';

create table outbox.cursor (
    stream            text        primary key,
    epoch             bigint      not null default 0,
    position          bigint      not null default 0,
    previous          pg_snapshot not null default '1:1:',
    current           pg_snapshot,
    system_identifier bigint,
    timeline          text,
    saved_at          timestamptz not null default now(),
    leased_until      timestamptz not null default '-infinity',
    constraint cursor_position_belongs_to_a_batch
        check (current is not null or position = 0)
) with (fillfactor = 50);

comment on table outbox.cursor is
    'Everything visible in "previous" is published. While a batch is open, so is everything visible in "current" with id <= position.';
comment on column outbox.cursor.epoch is
    'Raised by every relay that takes the lead; a save that carries an older epoch is refused.';
comment on column outbox.cursor.system_identifier is
    'The cluster whose transaction ids the cursor speaks of.';
comment on column outbox.cursor.leased_until is
    'The leader renews it while it lives. Whoever finds it in the past may take the lead, also from a session that is still there.';
insert into outbox.cursor (stream) values ('outbox.event');

create table outbox.rejected (
    sequence    bigint      primary key,
    rejected_at timestamptz not null default now(),
    event_id    uuid        not null,
    type        text        not null,
    key         text,
    reason      text        not null
);
comment on table outbox.rejected is
    'Events that cannot become a message. The cursor passes such a row only after it is recorded here.';
