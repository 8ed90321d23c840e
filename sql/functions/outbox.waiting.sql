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
    -- A lane's events stand among those of the others.
    look_at         integer := count_up_to;
    looked_at       bigint;
    oldest          timestamptz;
    oldest_of_all   timestamptz;
begin
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream;
    if saved.lanes > 1 then
        look_at := greatest(count_up_to, 40000);
    end if;
    if saved.horizon > 0 and pg_snapshot_xmax(saved.previous) = '1' then
        select count(*), count(*) filter (where w.is_mine), min(w.created_at) filter (where w.is_mine), min(w.created_at)
          into looked_at, events, oldest, oldest_of_all
          from (
                select e.created_at,
                       saved.lanes = 1 or outbox.lane_of(e.key, e.id, saved.lanes) = saved.lane as is_mine
                  from outbox.event e
                 where e.id > saved.position
                 order by e.id
                 limit look_at
               ) w;
    else
        published_below := greatest(outbox.published_below(saved.previous), nullif(saved.horizon, 0) + 1);
        if saved.horizon > 0 then
            -- There may be millions of rows with transaction ids far ahead, of which not one is to be looked at.
            reached := pg_snapshot_xmax(pg_current_snapshot());
        end if;
        select count(*), count(*) filter (where w.is_mine), min(w.created_at) filter (where w.is_mine), min(w.created_at)
          into looked_at, events, oldest, oldest_of_all
          from (
                (select e.created_at,
                        saved.lanes = 1 or outbox.lane_of(e.key, e.id, saved.lanes) = saved.lane as is_mine
                   from pg_snapshot_xip(saved.previous) x
                  cross join lateral (
                        select e.created_at, e.key, e.id
                          from outbox.event e
                         where (e.tx, e.id) >= (x, published_below) and e.tx <= x and e.id >= published_below
                           and (saved.current is null or e.id > saved.position
                                or not pg_visible_in_snapshot(e.tx, saved.current))
                         order by e.tx, e.id
                         limit look_at
                        ) e
                  limit look_at)
                union all
                (select e.created_at,
                        saved.lanes = 1 or outbox.lane_of(e.key, e.id, saved.lanes) = saved.lane
                   from outbox.event e
                  where e.tx >= pg_snapshot_xmax(saved.previous)
                    and e.tx < reached
                    and e.id >= published_below
                    and (saved.current is null or e.id > saved.position
                         or not pg_visible_in_snapshot(e.tx, saved.current))
                  order by e.tx
                  limit look_at)
                limit look_at
               ) w;
    end if;
    if events = 0 and looked_at = look_at then
        -- Whether any of them is this lane's is not known yet; its cursor has to come through them all the same.
        events := 1;
        oldest := oldest_of_all;
    end if;
    events := least(events, count_up_to);
    oldest_age_seconds := coalesce(extract(epoch from clock_timestamp() - oldest), 0)::double precision;
    return next;
end
$$;
comment on function outbox.waiting is
    'How many events the saved cursor has not passed, counted up to a bound, and the age of the oldest of them. The relay saves about once a second, so a busy stream shows a second''s worth too many. One of several lanes looks at 40000 events of all of them at most; if none of these is its own, it counts as one that waits.';
revoke all on function outbox.waiting from public;
grant execute on function outbox.waiting to outbox_relay;
