create or replace function outbox.emit_once(
    type            text,
    key             text,
    payload         json,
    idempotency_key text,
    headers         json    default null,
    version         integer default 1,
    ordered         boolean default false,
    out event_id    uuid,
    out is_new      boolean
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    body  constant bytea := sha256(convert_to(
        json_build_array(emit_once.type, emit_once.key, emit_once.version, emit_once.payload::text)::text, 'UTF8'));
    known outbox.emitted;
begin
    loop
        -- Waits for another transaction that has just written this key: it rolls back, and we win, or it commits.
        insert into outbox.emitted as e (idempotency_key, event_id, body_sha256)
        values (emit_once.idempotency_key, gen_random_uuid(), body)
        on conflict on constraint emitted_pkey do nothing
        returning e.event_id into emit_once.event_id;
        exit when emit_once.event_id is not null;

        select e.* into known from outbox.emitted e where e.idempotency_key = emit_once.idempotency_key;
        if found then
            if known.body_sha256 <> body then
                raise exception 'the idempotency key % stands for another event', quote_literal(emit_once.idempotency_key)
                    using errcode = 'OB020',
                          detail = format('It was first used at %s for event %s, with another type, key, version or payload.',
                                          known.created_at, known.event_id),
                          hint = 'give every event a key of its own, or repeat the first call exactly';
            end if;
            emit_once.event_id := known.event_id;
            emit_once.is_new := false;
            return;
        end if;
        -- Pruned in between.
    end loop;
    if emit_once.ordered and emit_once.key is not null then
        -- Before the id is drawn: whoever commits first for this key has the smaller id.
        perform outbox.lock_keys(array[emit_once.key]);
    end if;
    insert into outbox.event (type, key, payload, headers, version, event_id)
    values (emit_once.type, emit_once.key, emit_once.payload, emit_once.headers, emit_once.version, emit_once.event_id);
    emit_once.is_new := true;
end
$$;
comment on function outbox.emit_once is
    'outbox.emit with an idempotency key, which also says whether the event is new. With a key that was used before, returns the first event''s id and adds nothing; a transaction that is just using the same key is waited for. OB020: the key was used for another type, key, version or payload. Raises check_violation for what could never be published. Touches outbox.emitted.';
revoke all on function outbox.emit_once from public;
grant execute on function outbox.emit_once to outbox_writer;
