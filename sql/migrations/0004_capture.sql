-- Writing: keys that make emit() idempotent, and the tables whose changes become events by themselves.

-- The function gains a parameter; two versions side by side would make every old call ambiguous.
drop function if exists outbox.emit(text, text, json, json, integer, boolean);

create table outbox.emitted (
    idempotency_key text        primary key,
    event_id        uuid        not null,
    created_at      timestamptz not null default now(),
    body_sha256     bytea       not null,
    constraint emitted_key_fits
        check (octet_length(idempotency_key) between 1 and 512)
);
-- For pruning the oldest without looking at the others.
create index emitted_created_at on outbox.emitted (created_at);

comment on table outbox.emitted is
    'Idempotency keys that outbox.emit has seen, and the event that each of them stands for. Written and read by outbox.emit only, pruned by outbox.prune_emitted.';
comment on column outbox.emitted.body_sha256 is
    'Of type, key, version and the payload''s text: the same key with another body is an error. Headers are left out: a trace differs from try to try.';
comment on constraint emitted_key_fits on outbox.emitted is
    'An idempotency key has 1 to 512 bytes.';

create view outbox.captures as
select t.tgrelid::regclass                                                     as "table",
       c.settings ->> 'type'                                                   as type,
       (c.settings ->> 'key')::text[]                                          as key,
       (c.settings ->> 'identity')::text[]                                     as identity,
       (c.settings ->> 'columns')::text[]                                      as columns,
       (c.settings ->> 'exclude')::text[]                                      as exclude,
       (c.settings ->> 'ordered')::boolean                                     as ordered,
       (c.settings ->> 'version')::integer                                     as version,
       (c.settings ->> 'max_payload_bytes')::integer                           as max_payload_bytes,
       -- O: as usual; D: disabled; R and A: ALTER TABLE … ENABLE REPLICA or ALWAYS.
       (select bool_and(o.tgenabled in ('O', 'A'))
          from pg_trigger o
         where o.tgrelid = t.tgrelid and o.tgname like '!outbox\_%')           as is_enabled
  from pg_trigger t
  cross join lateral (
        -- The only argument, which ends with a zero byte.
        select convert_from(substring(t.tgargs for octet_length(t.tgargs) - 1), getdatabaseencoding())::json as settings
       ) c
 where t.tgname = '!outbox_insert' and not t.tgisinternal;

comment on view outbox.captures is
    'Tables whose changes become events: one row for each outbox.capture that is in force. The triggers themselves are the only record, so a dropped, renamed or restored table is never out of step.';
grant select on outbox.captures to outbox_writer, outbox_relay;
