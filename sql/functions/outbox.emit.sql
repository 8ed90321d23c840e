create or replace function outbox.emit(
    type            text,
    key             text,
    payload         json,
    headers         json    default null,
    version         integer default 1,
    ordered         boolean default false,
    idempotency_key text    default null
)
returns uuid
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    emitted uuid;
    body    bytea;
    known   outbox.emitted;
begin
    if emit.idempotency_key is not null then
        body := sha256(convert_to(
            json_build_array(emit.type, emit.key, emit.version, emit.payload::text)::text, 'UTF8'));
        loop
            -- Waits for another transaction that has just written this key: it rolls back, and we win, or it commits.
            insert into outbox.emitted (idempotency_key, event_id, body_sha256)
            values (emit.idempotency_key, gen_random_uuid(), body)
            on conflict on constraint emitted_pkey do nothing
            returning event_id into emitted;
            exit when emitted is not null;

            select e.* into known from outbox.emitted e where e.idempotency_key = emit.idempotency_key;
            if found then
                if known.body_sha256 <> body then
                    raise exception 'the idempotency key % stands for another event', quote_literal(emit.idempotency_key)
                        using errcode = 'OB020',
                              detail = format('It was first used at %s for event %s, with another type, key, version or payload.',
                                              known.created_at, known.event_id),
                              hint = 'give every event a key of its own, or repeat the first call exactly';
                end if;
                return known.event_id;
            end if;
            -- Pruned in between.
        end loop;
    end if;
    if emit.ordered and emit.key is not null then
        -- Before the id is drawn: whoever commits first for this key has the smaller id.
        perform outbox.lock_keys(array[emit.key]);
    end if;
    insert into outbox.event (type, key, payload, headers, version, event_id)
    values (emit.type, emit.key, emit.payload, emit.headers, emit.version, coalesce(emitted, gen_random_uuid()))
    returning event_id into emitted;
    return emitted;
end
$$;
comment on function outbox.emit is
    'Adds an event to the current transaction and returns its id, which is the message id. Order per key is commit order when the caller has locked the business row of that key before; ordered => true takes a lock of its own per key until the transaction ends (outbox.lock_keys). With an idempotency_key that was used before, returns the first event''s id and adds nothing; a transaction that is just using the same key is waited for. OB020: the key was used for another type, key, version or payload. Raises check_violation for what could never be published.';
revoke all on function outbox.emit from public;
grant execute on function outbox.emit to outbox_writer;
