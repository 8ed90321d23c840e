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
begin
    if emit.idempotency_key is not null then
        return (select once.event_id
                  from outbox.emit_once(emit.type, emit.key, emit.payload, emit.idempotency_key, emit.headers,
                                        emit.version, emit.ordered) once);
    end if;
    if emit.ordered and emit.key is not null then
        -- Before the id is drawn: whoever commits first for this key has the smaller id.
        perform outbox.lock_keys(array[emit.key]);
    end if;
    insert into outbox.event (type, key, payload, headers, version)
    values (emit.type, emit.key, emit.payload, emit.headers, emit.version)
    returning event_id into emitted;
    return emitted;
end
$$;
comment on function outbox.emit is
    'Adds an event to the current transaction and returns its id, which is the message id. Order per key is commit order when the caller has locked the business row of that key before; ordered => true takes a lock of its own per key until the transaction ends (outbox.lock_keys). With an idempotency_key that was used before, returns the first event''s id and adds nothing (outbox.emit_once, which also says which of both it was). Raises check_violation for what could never be published.';
revoke all on function outbox.emit from public;
grant execute on function outbox.emit to outbox_writer;
