create or replace function once.take(
    consumer   text,
    message_id text,
    key        text   default null,
    sequence   bigint default null
)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(coalesce(take.consumer, '')) not between 1 and 63 then
        raise exception 'once.take was called without the name of a consumer'
            using errcode = 'OB030', hint = 'name what takes the message, in 1 to 63 bytes, for example billing';
    end if;
    -- From here on data errors of SQL: drivers and consumers take these for the message's own fault, which they are.
    if coalesce(take.message_id, '') = '' then
        raise exception 'once.take was called without the id of a message'
            using errcode = 'invalid_parameter_value',
                  hint = 'give the property message_id; a message without one is not from an outbox and cannot be told from its copy: park it';
    end if;
    if take.key is not null and take.sequence is null then
        raise exception 'once.take was called with a key and without a sequence'
            using errcode = 'invalid_parameter_value', hint = 'give both headers of the message, key and sequence, or neither';
    end if;
    -- Waits for another transaction that is just taking this message: it rolls back, and we are first, or it commits.
    insert into once.message (consumer, message_id, key, sequence)
    values (take.consumer, take.message_id, take.key, take.sequence)
    on conflict on constraint message_pkey do nothing;
    if not found then
        return 'duplicate';
    end if;
    if take.key is null then
        return 'new';
    end if;
    -- Waits for another transaction that is just taking a message of this key.
    insert into once.key as known (consumer, key, sequence)
    values (take.consumer, take.key, take.sequence)
    on conflict on constraint key_pkey do update set sequence = excluded.sequence
     where known.sequence < excluded.sequence;
    return case when found then 'new' else 'stale' end;
end
$$;
comment on function once.take is
    'Notes in the caller''s transaction that a consumer takes a message, and answers: new (apply it, in this transaction), duplicate (taken before: only acknowledge it), or, if key and sequence are given, stale (not taken before, but an event of this key with this or a larger sequence was). A transaction that is just taking the same message, or one of the same key, is waited for; under repeatable read and serializable that can end in 40001, to be tried again. 22023, a data error: without a message id, or with a key and no sequence. OB030: without a consumer.';
revoke all on function once.take from public;
