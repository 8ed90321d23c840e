create or replace function outbox.open_partition(every interval, is_dry_run boolean default false)
returns table (partition text, bytes bigint, postponed text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    next_id constant bigint      := outbox.begin_upkeep();
    day     constant timestamptz := date_bin(every, clock_timestamp(), timestamptz '2000-01-01 00:00:00+00');
    -- Looked at with the upkeep's lock held: every attachment has been told to all sessions by then.
    writers constant text[]      := array(
        select distinct l.virtualtransaction
          from pg_locks l
         where l.locktype = 'relation'
           and l.database = (select d.oid from pg_database d where d.datname = current_database())
           and l.relation = 'outbox.event'::regclass
           and l.granted
           and l.mode <> 'AccessShareLock'
           -- Null: a prepared transaction, which runs no statement any more.
           and l.pid <> pg_backend_pid()
    );
    current outbox.partition;
    target  outbox.partition;
begin
    -- Whoever held the parent when a partition was attached may go on with what it knew: a new id would then go to the
    -- default partition, which refuses it. Whoever comes later learns of the partition with the lock.
    if not is_dry_run then
        update outbox.partition p
           set waits_for = array(select unnest(coalesce(p.waits_for, writers)) intersect select unnest(writers))
         where p.opened_at is null
           and (p.waits_for is null or not p.waits_for <@ writers);
    end if;

    select p.* into current from outbox.partition p where p.number = next_id >> 32;
    if current.opened_at >= day then
        return;
    end if;
    if found and (next_id = current.number << 32 or next_id = 1) then
        -- Nothing was written: the same partition serves the new day.
        if not is_dry_run then
            update outbox.partition p set opened_at = clock_timestamp() where p.number = current.number;
        end if;
        return;
    end if;

    select p.* into target
      from outbox.partition p
     where p.number > (next_id + 16777216) >> 32
     order by p.number
     limit 1;
    if not found then
        postponed := 'no partition is ahead';
        return next;
        return;
    end if;
    partition := format('event_p%s', target.number);
    if target.waits_for <> '{}' then
        postponed := format('transactions that wrote events before it was there are still open: %s',
                            coalesce(outbox.lock_holders('outbox.event'), 'none any more'));
    elsif not is_dry_run then
        -- Moves at once, whether this transaction commits or not. Only ever forward, with everybody else who moves it
        -- locked out; who draws an id at the same moment gets one of the old partition or one of the new one.
        perform setval('outbox.event_id_seq', target.number << 32, false);
        update outbox.partition p set opened_at = clock_timestamp() where p.number = target.number;
    end if;
    return next;
end
$$;
comment on function outbox.open_partition is
    'Moves the sequence to the next partition when the present one was opened on an earlier day ("every", counted in UTC), or when there is none for the present ids. Ids go on in order with a gap. "postponed": nothing was moved; ids stay where they are, which costs nothing. Touches outbox.partition.';
revoke all on function outbox.open_partition from public;
grant execute on function outbox.open_partition to outbox_relay;
