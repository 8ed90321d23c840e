create or replace function outbox.drop_partition(is_dry_run boolean default false)
returns table (partition text, bytes bigint, postponed text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    oldest   record;
    has_rows boolean;
begin
    perform outbox.begin_upkeep();
    -- What a person has detached is the person's.
    if not is_dry_run then
        delete from outbox.partition p
         using outbox.partitions() seen
         where seen.number = p.number and seen.state = 'detached';
    end if;
    select p.partition as name, p.number into oldest
      from outbox.partitions() p
     where p.state = 'emptied'
     order by p.number
     limit 1;
    if not found then
        return;
    end if;
    partition := oldest.name;
    if is_dry_run then
        return next;
        return;
    end if;
    begin
        -- Inserts wait for this transaction, so the parent comes last, and nobody is waited for.
        execute format('lock table only outbox.%I, only outbox.event_default in access exclusive mode nowait', oldest.name);
        execute format('select exists (select from outbox.%I)', oldest.name) into has_rows;
        if has_rows then
            postponed := 'it holds events that were written after it was emptied, against the rules: nobody has read '
                'them; copy them into new events, then delete them';
            return next;
            return;
        end if;
        lock table only outbox.event in access exclusive mode nowait;
    exception when lock_not_available then
        postponed := format('outbox.event is locked by %s',
            coalesce(outbox.lock_holders('outbox.event'), 'somebody who has just gone'));
        return next;
        return;
    end;
    -- A standby far away must not be waited for under this lock.
    perform set_config('synchronous_commit', 'local', true);
    execute format('drop table outbox.%I', oldest.name);
    delete from outbox.partition p where p.number = oldest.number;
    return next;
end
$$;
comment on function outbox.drop_partition is
    'Drops the oldest emptied partition. That needs outbox.event for itself: taken only if nobody is reading or writing it at this moment, and held for this one commit. "postponed" tells who had it. Touches outbox.partition.';
revoke all on function outbox.drop_partition from public;
grant execute on function outbox.drop_partition to outbox_relay;
