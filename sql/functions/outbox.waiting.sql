create or replace function outbox.waiting(wanted_stream text, count_up_to integer)
returns table (events bigint, oldest_age_seconds double precision)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    saved       outbox.cursor;
    is_rebasing boolean;
    reached     xid8;
begin
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream;
    is_rebasing := saved.horizon > 0 and pg_snapshot_xmax(saved.previous) = '1';
    -- A rebased stream may have millions of rows with transaction ids far ahead, of which not one is to be looked at.
    reached := case when saved.horizon > 0 then pg_snapshot_xmax(pg_current_snapshot()) else '9223372036854775807' end;
    return query
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(w.created_at)), 0)::double precision
          from (
                (select e.created_at
                   from pg_snapshot_xip(saved.previous) x
                   join outbox.event e on e.tx = x
                  where e.id > saved.horizon
                    and (saved.current is null or e.id > saved.position
                         or not pg_visible_in_snapshot(e.tx, saved.current))
                  limit count_up_to)
                union all
                (select e.created_at
                   from outbox.event e
                  where not is_rebasing
                    and e.tx >= pg_snapshot_xmax(saved.previous)
                    and e.tx < reached
                    and e.id > saved.horizon
                    and (saved.current is null or e.id > saved.position
                         or not pg_visible_in_snapshot(e.tx, saved.current))
                  order by e.tx
                  limit count_up_to)
                union all
                (select e.created_at
                   from outbox.event e
                  where is_rebasing
                    and e.id > saved.position
                  order by e.id
                  limit count_up_to)
                limit count_up_to
               ) w;
end
$$;
comment on function outbox.waiting is
    'How many events the saved cursor has not passed, counted up to a bound, and the age of the oldest of them. The relay saves about once a second, so a busy stream shows a second''s worth too many.';
revoke all on function outbox.waiting from public;
grant execute on function outbox.waiting to outbox_relay;
