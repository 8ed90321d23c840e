-- What is stored of a call before its first byte leaves, so that each recovery strategy can act on it.

alter table inbox.delivery
    add column last_sent_at    timestamptz,
    add column key_number      integer not null default 0,
    add column reference       text,
    add column job             text,
    add column adapter_version text,
    add column is_passed       boolean not null default false;
update inbox.delivery set last_sent_at = coalesce(began_at, first_sent_at) where first_sent_at is not null;
alter table inbox.delivery
    add constraint delivery_sent_is_whole
        check ((first_sent_at is null) = (last_sent_at is null) and (first_sent_at is null) = (request_sha256 is null)),
    add constraint delivery_named_was_sent
        check (first_sent_at is not null or (reference is null and job is null)),
    add constraint delivery_passed_is_dead
        check (not is_passed or state = 'dead');
comment on column inbox.delivery.last_sent_at is
    'When the latest call that could take effect began. "Absent" proves nothing until its time is over.';
comment on column inbox.delivery.key_number is
    'Counts the idempotency keys that were given up because nothing under them took effect: another request never leaves under an old key.';
comment on column inbox.delivery.reference is
    'The name by which the target can be asked for the record, as it was sent.';
comment on column inbox.delivery.job is 'Where the target said to ask for the job that it made of the call.';
comment on column inbox.delivery.adapter_version is 'Of the adapter that made the latest request.';
comment on column inbox.delivery.is_passed is 'Dead, and its key goes on without it (on_dead: skip).';

drop index inbox.delivery_unfinished;
-- The head of a key, and whether a key has one.
create index delivery_unfinished on inbox.delivery (flow, key, sequence)
    where state not in ('applied', 'skipped') and not is_passed and key is not null;

alter table inbox.attempt
    add column call text not null default 'send',
    add constraint attempt_call_is_known check (call in ('send', 'look_up', 'poll'));
comment on column inbox.attempt.call is 'Only "send" can take effect; the others ask about an earlier one.';

comment on table outbox.emitted is
    'Idempotency keys that outbox.emit and outbox.emit_once have seen, and the event that each of them stands for. Written and read by these only, pruned by outbox.prune_emitted.';

drop function if exists inbox.begin_calls(text, text, bigint[], bigint[], bytea[]);
drop function if exists inbox.settle(
    text, text, bigint[], bigint[], text[], double precision[], boolean[], boolean[], text[], integer[], text[], text[],
    text[]);
drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[]);
drop function if exists inbox.park(text, text, bigint[], bigint[], text[], text[], text[]);
drop function if exists inbox.fetch(text, text, bigint[], integer);
