create or replace function inbox.prune(keep_seconds double precision, after bigint, most integer)
returns table (pruned integer, upto bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set row_security = off
as $$
#variable_conflict use_column
declare
    kept_from timestamptz := clock_timestamp() - make_interval(secs => keep_seconds);
    old       bigint[];
begin
    -- Ids are drawn when messages are taken, so the first one that is young enough is, but for moments, the end.
    select array_agg(s.id) filter (where s.state in ('applied', 'skipped') and s.settled_at < kept_from and not s.has_copy),
           case when count(*) = most and max(s.accepted_at) < kept_from then max(s.id) end
      into old, upto
      from (select d.id, d.state, d.settled_at, d.accepted_at,
                   -- Moved back on the broker before it is taken out, it would come as a new message.
                   exists (select from inbox.outdated_copy o where o.delivery_id = d.id) as has_copy
              from inbox.delivery d where d.id > after order by d.id limit most) s;
    delete from inbox.message m where m.delivery_id = any (old);
    delete from inbox.attempt a where a.delivery_id = any (old);
    delete from inbox.delivery d where d.id = any (old) and d.state in ('applied', 'skipped');
    get diagnostics pruned = row_count;
    return next;
end
$$;
comment on function inbox.prune is
    'Forgets finished deliveries that ended longer ago than "keep", with their bytes and attempts, looking at no more than "most" rows above the id "after". Returns up to which id it has looked, null at the end. What is unfinished, parked or dead is never forgotten, nor what may still have a copy among the dead letters. Walks the primary key.';
revoke all on function inbox.prune from public;
grant execute on function inbox.prune to outbox_adapter;
