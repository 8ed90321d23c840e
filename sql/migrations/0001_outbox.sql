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
) partition by range (id);
-- Finds the rows of one transaction (stragglers) and the id range of new transactions without touching the heap.
create index event_tx on outbox.event (tx, id);

-- Partition n holds the ids from n * 2^32 to below (n + 1) * 2^32. By id and not by time: the relay reads ranges of ids,
-- and no clock decides where a row is. A new day begins by moving the sequence to the next partition.
create table outbox.event_p0 partition of outbox.event for values from (minvalue) to (4294967296);
comment on table outbox.event_p0 is 'Events with ids below 4294967296.';
create table outbox.event_default partition of outbox.event default;
comment on table outbox.event_default is
    'Last resort: an insert never fails for want of a partition. Read, published and emptied like the others.';

comment on table outbox.event is
    'Insert-only. The relay never locks, updates or deletes a row. Columns that the application may write: type, version, key, payload, headers.';
comment on column outbox.event.tx is
    'Top-level transaction id, also inside savepoints (the system column xmin would be the subtransaction''s). Stands before id, so that whoever has drawn an id has a transaction id already: sealing a partition relies on it.';
comment on column outbox.event.id is
    'Order inside a transaction and inside a batch. Drawn at INSERT, visible at COMMIT: never a cursor by itself. Its sequence must not cache: a session that keeps ids back would write into a sealed partition.';
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

create table outbox.partition (
    number     bigint      primary key,
    created_at timestamptz not null default clock_timestamp(),
    waits_for  text[],
    opened_at  timestamptz,
    closed_at  timestamptz,
    sealed_by  xid8,
    emptied_at timestamptz,
    constraint partition_is_closed_when_sealed check (closed_at is not null or sealed_by is null),
    constraint partition_is_sealed_when_emptied check (sealed_by is not null or emptied_at is null)
);
comment on table outbox.partition is
    'What is known of outbox.event_p<number>, which holds the ids from number * 2^32 to below (number + 1) * 2^32.';
comment on column outbox.partition.waits_for is
    'Virtual ids of transactions that held outbox.event when the partition had just been attached: they may not know it yet, so no id of it is given out before they end. Null: not looked yet. Empty: it can be opened.';
comment on column outbox.partition.opened_at is
    'When the sequence was first seen in it.';
comment on column outbox.partition.closed_at is
    'When the sequence was first seen behind it. The retention counts from here.';
comment on column outbox.partition.sealed_by is
    'A transaction id drawn after the sequence had left: whoever has drawn an id of this partition, or of one before it, has a smaller one. Once it is at or below xmin of a cursor''s "previous", nobody can write into the partition any more, and everything in it is published.';
comment on column outbox.partition.emptied_at is
    'When it was truncated. The empty table goes when nobody is writing.';
insert into outbox.partition (number, opened_at) values (0, now());

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
