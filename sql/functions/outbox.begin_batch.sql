create or replace function outbox.begin_batch(
    previous pg_snapshot, resumed pg_snapshot default null, horizon bigint default 0
)
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
    if begin_batch.horizon > 0 and pg_snapshot_xmax(begin_batch.previous) = '1' then
        -- What was there when the stream was rebased: all of it is committed, and its transaction ids say nothing here.
        return query select begin_batch.resumed::text, '{}'::text, 1::bigint, begin_batch.horizon;
        return;
    end if;
    return query
        with cur as materialized (select coalesce(begin_batch.resumed, pg_current_snapshot()) as snapshot)
        select cur.snapshot::text,
               (select coalesce(array_agg(x), '{}')::text
                  from pg_snapshot_xip(begin_batch.previous) x
                 where pg_visible_in_snapshot(x, cur.snapshot)
                   and exists (select from outbox.event e where e.tx = x and e.id > begin_batch.horizon)),
               fresh.low,
               fresh.high
          from cur
         cross join lateral (
               -- "+ 0": a plain min(id) invites a walk over the whole primary key.
               select min(e.id + 0) as low, max(e.id + 0) as high
                 from outbox.event e
                where e.tx >= pg_snapshot_xmax(begin_batch.previous)
                  -- Of another server's rows, which may be millions ahead of this one's, not one is looked at.
                  and e.tx < pg_snapshot_xmax(cur.snapshot)
                  and e.id > begin_batch.horizon
                  and pg_visible_in_snapshot(e.tx, cur.snapshot)
               ) fresh;
end
$$;
comment on function outbox.begin_batch is
    'What has become visible since "previous": the snapshot that ends the batch, the transactions of xip(previous) that have finished since and wrote events, and the id range of the new transactions (null: none). The range comes from the rows, never from the sequence: a transaction at or above xmax may have drawn small ids. With "resumed", the same for a batch that was begun before. Up to "horizon" (see outbox.cursor) rows are judged by id alone. Reads the index event_tx only.';
revoke all on function outbox.begin_batch from public;
grant execute on function outbox.begin_batch to outbox_relay;
