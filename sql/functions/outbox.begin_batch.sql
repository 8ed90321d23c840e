create or replace function outbox.begin_batch(
    previous pg_snapshot, resumed pg_snapshot default null, horizon bigint default 0
)
returns table (current text, stragglers text, low bigint, high bigint, floor bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was empty yesterday must not decide how a spike is read.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
-- A policy that hides rows is an error, not an empty outbox.
set row_security = off
-- One plan for all floors, pruned when it runs: planning over many partitions costs more than the whole look.
set plan_cache_mode = force_generic_plan
as $$
declare
    cur     constant pg_snapshot := coalesce(resumed, pg_current_snapshot());
    arrived xid8[] := array(select x from pg_snapshot_xip(previous) x where pg_visible_in_snapshot(x, cur));
begin
    if pg_is_in_recovery() then
        raise exception 'this server has become a hot standby' using errcode = 'OB003';
    end if;
    if horizon > 0 and pg_snapshot_xmax(previous) = '1' then
        -- What was there when the stream was rebased: all of it is committed, and its transaction ids say nothing here.
        return query select resumed::text, '{}'::text, 1::bigint, begin_batch.horizon, 0::bigint;
        return;
    end if;
    floor := greatest(outbox.published_below(previous), nullif(horizon, 0) + 1);
    -- Mostly there are none, and merely preparing to look into each partition costs.
    if arrived <> '{}' then
        arrived := array(
            select x
              from unnest(arrived) x
             where (select e.tx
                      from outbox.event e
                     where (e.tx, e.id) >= (x, begin_batch.floor) and e.tx <= x and e.id >= begin_batch.floor
                     order by e.tx, e.id
                     limit 1) is not null);
    end if;
    current := cur;
    stragglers := arrived;
    -- The bound on id is there to prune partitions. In order of tx it cannot invite a walk over the whole primary key.
    select min(u.id), max(u.id) into low, high
      from (select e.id
              from outbox.event e
             where e.tx >= pg_snapshot_xmax(previous)
               -- Of rows that another server wrote, with ids millions ahead, not one is looked at.
               and e.tx < pg_snapshot_xmax(cur)
               and e.id >= begin_batch.floor
               and pg_visible_in_snapshot(e.tx, cur)
             order by e.tx) u;
    return next;
end
$$;
comment on function outbox.begin_batch is
    'What has become visible since "previous": the snapshot that ends the batch, the transactions of xip(previous) that have finished since and wrote events, and the id range of the new transactions (null: none). The range comes from the rows, never from the sequence: a transaction at or above xmax may have drawn small ids. With "resumed", the same for a batch that was begun before. "floor": no smaller id can be in the batch, a page is read after greatest(position, floor - 1). Up to "horizon" (see outbox.cursor) rows are judged by id alone. Reads the index event_tx only, of partitions at or above the floor.';
revoke all on function outbox.begin_batch from public;
grant execute on function outbox.begin_batch to outbox_relay;
