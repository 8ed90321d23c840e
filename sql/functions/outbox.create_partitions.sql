create or replace function outbox.create_partitions(ahead integer, is_dry_run boolean default false)
returns table (partition text, bytes bigint, postponed text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    -- Nearer than 2^24 ids, the sequence could walk into a partition while it is being attached.
    reach   constant bigint := (outbox.begin_upkeep() + 16777216) >> 32;
    missing constant bigint := ahead - (select count(*) from outbox.partition p where p.number > reach);
    first   bigint;
    low     bigint;
begin
    if missing <= 0 then
        return;
    end if;
    if not is_dry_run then
        begin
            -- Attaching looks into it. Never queue: inserts that have come to the last resort would wait behind us.
            lock table only outbox.event_default in access exclusive mode nowait;
        exception when lock_not_available then
            return query select null::text, null::bigint,
                format('outbox.event_default is locked by %s',
                       coalesce(outbox.lock_holders('outbox.event_default'), 'somebody who has just gone'));
            return;
        end;
    end if;
    first := 1 + greatest(
        reach,
        (select max(p.number) from outbox.partition p),
        -- A partition cannot take over what is in the default one.
        (select max(e.id) >> 32 from outbox.event_default e)
    );
    for n in first .. first + missing - 1 loop
        partition := format('event_p%s', n);
        low := n::bigint << 32;
        if not is_dry_run then
            -- CREATE TABLE … PARTITION OF would lock the parent against inserts; attaching does not.
            execute format('create table outbox.%I (like outbox.event including all excluding identity)', partition);
            execute format('comment on table outbox.%I is %L', partition,
                           format('Events with ids from %s to below %s.', low, low + 4294967296));
            execute format('alter table outbox.event attach partition outbox.%I for values from (%s) to (%s)',
                           partition, low, low + 4294967296);
            insert into outbox.partition (number) values (n);
        end if;
        return next;
    end loop;
end
$$;
comment on function outbox.create_partitions is
    'Creates partitions until there are "ahead" of them before the sequence. Inserts and reads go on meanwhile. Locks outbox.event against other changes of its structure, and the default partition, without waiting for it: "postponed" then tells who holds it.';
revoke all on function outbox.create_partitions from public;
grant execute on function outbox.create_partitions to outbox_relay;
