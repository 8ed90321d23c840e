-- The restore guard: what tells whether a cursor belongs to the server that it is found on, and the way back if it does not.

-- Their parameters or results change.
drop function if exists outbox.try_lead(text, integer, double precision);
drop function if exists outbox.take_lead(text);
drop function if exists outbox.begin_batch(pg_snapshot, pg_snapshot);
drop function if exists outbox.read_page(pg_snapshot, pg_snapshot, xid8[], bigint, bigint, bigint, integer, bigint, integer);

-- psql takes the word in "create function inbox.begin(" for the begin of a body that has an end of its own, and reads
-- nothing of what follows: a database with such a function cannot be restored from a plain dump.
drop function if exists inbox.begin(text, text, bigint[], bigint[], bytea[]);

alter table outbox.cursor
    add column database_oid  oid,
    add column origin        uuid,
    add column horizon       bigint not null default 0,
    add column settled_epoch bigint not null default 0;
comment on column outbox.cursor.system_identifier is
    'The cluster whose transaction ids the cursor speaks of. Another one: the database was restored or copied.';
comment on column outbox.cursor.database_oid is
    'The database whose rows the cursor speaks of. Another one: it was copied inside of its cluster.';
comment on column outbox.cursor.timeline is
    'The timeline on which a leader has last verified that what was published exists.';
comment on column outbox.cursor.origin is
    'Names this outbox and every copy of it: under this name the broker remembers what was published.';
comment on column outbox.cursor.horizon is
    'Rows up to this id were there when the stream was rebased. Their transaction ids may be of another server, so they are judged by id alone: while "previous" is 1:1: all up to "position" are passed, afterwards all of them.';
comment on column outbox.cursor.settled_epoch is
    'What leaders of earlier epochs have published is settled: a person has decided, with "outbox rebase".';

create table outbox.rebase (
    id              bigint      generated always as identity primary key,
    rebased_at      timestamptz not null default clock_timestamp(),
    epoch           bigint      not null,
    first_sequence  bigint,
    horizon         bigint      not null,
    sequence_before bigint      not null,
    sequence_after  bigint      not null,
    stream          text        not null,
    rebased_by      text        not null default session_user,
    choice          text        not null,
    reason          text        not null,
    cursor_before   jsonb       not null,
    cursor_after    jsonb       not null,
    constraint rebase_choice_is_known check (choice in ('resume', 'from', 'since', 'all', 'nothing'))
);
comment on table outbox.rebase is
    'Audit of "outbox rebase": who moved a cursor, when, why, from where to where. Append-only.';
comment on column outbox.rebase.first_sequence is
    'Events from here up to the horizon were to be published again. Null: none.';

grant select on outbox.rebase to outbox_relay;
grant select on sequence outbox.event_id_seq to outbox_relay;
