create or replace function outbox.begin_batch(previous pg_snapshot, resumed pg_snapshot default null)
returns table (current text, stragglers text, low bigint, high bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was empty yesterday must not decide how a spike is read.
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
begin
    if pg_is_in_recovery() then
        raise exception 'this server has become a hot standby' using errcode = 'OB003';
    end if;
    return query
        with cur as materialized (select coalesce(begin_batch.resumed, pg_current_snapshot()) as snapshot)
        select cur.snapshot::text,
               (select coalesce(array_agg(x), '{}')::text
                  from pg_snapshot_xip(begin_batch.previous) x
                 where pg_visible_in_snapshot(x, cur.snapshot)
                   and exists (select from outbox.event e where e.tx = x)),
               fresh.low,
               fresh.high
          from cur
         cross join lateral (
               -- "+ 0": a plain min(id) invites a walk over the whole primary key.
               select min(e.id + 0) as low, max(e.id + 0) as high
                 from outbox.event e
                where e.tx >= pg_snapshot_xmax(begin_batch.previous)
                  and pg_visible_in_snapshot(e.tx, cur.snapshot)
               ) fresh;
end
$$;
comment on function outbox.begin_batch is
    'What has become visible since "previous": the snapshot that ends the batch, the transactions of xip(previous) that have finished since and wrote events, and the id range of the new transactions (null: none). The range comes from the rows, never from the sequence: a transaction at or above xmax may have drawn small ids. With "resumed", the same for a batch that was begun before. Reads the index event_tx only.';
revoke all on function outbox.begin_batch from public;
grant execute on function outbox.begin_batch to outbox_relay;
