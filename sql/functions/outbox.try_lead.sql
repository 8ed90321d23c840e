create or replace function outbox.try_lead(wanted_stream text, lock_class integer, lease_seconds double precision)
returns table (epoch bigint, previous text, current text, "position" bigint, horizon bigint, origin uuid)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    seen    record;
    is_gone boolean;
begin
    select c.epoch, c.leased_until < clock_timestamp() as is_silent into seen
      from outbox.cursor c where c.stream = wanted_stream;
    if found then
        if not outbox.is_open_for_lead(wanted_stream, lock_class) then
            return;
        end if;
        -- Free as soon as the leader's session ends, and again after a failover: locks are not replicated.
        is_gone := pg_try_advisory_lock(lock_class, outbox.lead_key(wanted_stream, seen.epoch));
        if not is_gone and not seen.is_silent then
            return;
        end if;
        perform from outbox.cursor c
          where c.stream = wanted_stream and c.epoch = seen.epoch and (is_gone or c.leased_until < clock_timestamp())
            for update;
        if not found then
            -- Another standby was faster, or the leader is back.
            if is_gone then
                perform pg_advisory_unlock(lock_class, outbox.lead_key(wanted_stream, seen.epoch));
            end if;
            return;
        end if;
    end if;
    return query select * from outbox.take_lead(wanted_stream);
    perform pg_try_advisory_lock(lock_class, outbox.lead_key(wanted_stream, seen.epoch + 1));
    if is_gone then
        perform pg_advisory_unlock(lock_class, outbox.lead_key(wanted_stream, seen.epoch));
    end if;
    update outbox.cursor c
       set leased_until = clock_timestamp() + make_interval(secs => lease_seconds)
     where c.stream = wanted_stream;
end
$$;
comment on function outbox.try_lead is
    'Takes the lead of a stream when its leader''s session is gone (the advisory lock of its epoch is free) or its lease has run out (it is frozen, or cut off), and nobody leads any more who did before the number of lanes was changed; holds the lock of the new epoch for as long as this session lives. No row: another relay leads. Errors as take_lead. A poll by a standby writes nothing.';
revoke all on function outbox.try_lead from public;
grant execute on function outbox.try_lead to outbox_relay;
