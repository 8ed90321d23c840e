create or replace function outbox.waiting(wanted_stream text, count_up_to integer)
returns table (events bigint, oldest_age_seconds double precision)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
-- A policy that hides rows is an error, not an empty outbox.
set row_security = off
set plan_cache_mode = force_generic_plan
as $$
declare
    saved           outbox.cursor;
    published_below bigint;
    reached         xid8 := '9223372036854775807';
begin
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream;
    if saved.horizon > 0 and pg_snapshot_xmax(saved.previous) = '1' then
        return query
            select count(*), coalesce(extract(epoch from clock_timestamp() - min(w.created_at)), 0)::double precision
              from (
                    select e.created_at
                      from outbox.event e
                     where e.id > saved.position
                     order by e.id
                     limit count_up_to
                   ) w;
        return;
    end if;
    published_below := greatest(outbox.published_below(saved.previous), nullif(saved.horizon, 0) + 1);
    if saved.horizon > 0 then
        -- There may be millions of rows with transaction ids far ahead, of which not one is to be looked at.
        reached := pg_snapshot_xmax(pg_current_snapshot());
    end if;
    return query
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(w.created_at)), 0)::double precision
          from (
                (select e.created_at
                   from pg_snapshot_xip(saved.previous) x
                  cross join lateral (
                        select e.created_at
                          from outbox.event e
                         where (e.tx, e.id) >= (x, published_below) and e.tx <= x and e.id >= published_below
                           and (saved.current is null or e.id > saved.position
                                or not pg_visible_in_snapshot(e.tx, saved.current))
                         order by e.tx, e.id
                         limit count_up_to
                        ) e
                  limit count_up_to)
                union all
                (select e.created_at
                   from outbox.event e
                  where e.tx >= pg_snapshot_xmax(saved.previous)
                    and e.tx < reached
                    and e.id >= published_below
                    and (saved.current is null or e.id > saved.position
                         or not pg_visible_in_snapshot(e.tx, saved.current))
                  order by e.tx
                  limit count_up_to)
                limit count_up_to
               ) w;
end
$$;
comment on function outbox.waiting is
    'How many events the saved cursor has not passed, counted up to a bound, and the age of the oldest of them. The relay saves about once a second, so a busy stream shows a second''s worth too many.';
revoke all on function outbox.waiting from public;
grant execute on function outbox.waiting to outbox_relay;
