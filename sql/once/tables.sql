-- The memory of a service that takes each message once: which messages it has taken, in the transaction of what they
-- changed. Belongs into the service's own database and to its own role; printed by "outbox once sql", safe to repeat.

do $$
begin
    -- Who may not create schemas is given one: "create schema once authorization …".
    if not exists (select from pg_namespace where nspname = 'once') then
        create schema once;
    end if;
end
$$;
comment on schema once is 'Which messages this service has taken, and the latest of each key.';

-- Not partitioned: an id must be unique among all that is remembered, and the unique index of a partition holds for that
-- partition alone. What is pruned leaves room that the next messages fill; the settings have it vacuumed long before a
-- fifth of the table is dead, which is when PostgreSQL would.
create table if not exists once.message (
    taken_at   timestamptz not null default now(),
    sequence   bigint,
    consumer   text        not null,
    message_id text        not null,
    key        text,
    constraint message_pkey primary key (consumer, message_id),
    constraint message_consumer_fits check (octet_length(consumer) between 1 and 63),
    constraint message_id_fits check (octet_length(message_id) between 1 and 255),
    constraint message_key_has_a_sequence check (key is null or sequence is not null)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
comment on table once.message is 'One row for each message that a consumer has taken. Inserted by once.take, deleted by once.prune, never updated.';
create index if not exists message_taken_at on once.message (taken_at);

create table if not exists once.key (
    sequence bigint not null,
    consumer text   not null,
    key      text   not null,
    constraint key_pkey primary key (consumer, key)
) with (fillfactor = 70);
comment on table once.key is 'The largest sequence that a consumer has taken of each key, for those that ask. No index knows the sequence, so that raising it makes no dead index entries; the row goes with the message that raised it last.';
