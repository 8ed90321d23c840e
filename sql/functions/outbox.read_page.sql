create or replace function outbox.read_page(
    previous          pg_snapshot,
    current           pg_snapshot,
    stragglers        xid8[],
    low               bigint,
    high              bigint,
    after             bigint,
    max_events        integer,
    max_page_bytes    bigint,
    max_payload_bytes integer,
    horizon           bigint default 0,
    lane              integer default 0,
    lanes             integer default 1,
    reach             bigint default 9223372036854775807
)
returns table (
    id bigint, event_id text, type text, version integer, key text, payload text, payload_bytes integer,
    headers text, created_at_epoch_seconds bigint, age_seconds double precision
)
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
#variable_conflict use_column
declare
    -- Of these all are committed, and their transaction ids may be another server's.
    is_rebased constant boolean := read_page.horizon > 0 and pg_snapshot_xmax(read_page.previous) = '1';
begin
    return query
        select p.id, p.event_id::text, p.type, p.version, p.key,
               case when p.payload_bytes <= read_page.max_payload_bytes then p.payload::text end,
               p.payload_bytes, p.headers::text,
               extract(epoch from p.created_at)::bigint,
               extract(epoch from clock_timestamp() - p.created_at)::double precision
          from (
                select u.*,
                       sum(u.payload_bytes::bigint) over (order by u.id rows between unbounded preceding and 1 preceding)
                           as bytes_before
                  from (
                        (select e.*
                           from unnest(read_page.stragglers) s
                          cross join lateral (
                                -- "tx = s" would also fit a walk over the primary key in order of id.
                                select e.* from outbox.event e
                                 where (e.tx, e.id) > (s, read_page.after) and e.tx <= s and e.id > read_page.after
                                   and e.id <= read_page.reach
                                   and (read_page.lanes = 1
                                        or outbox.lane_of(e.key, e.id, read_page.lanes) = read_page.lane)
                                 order by e.tx, e.id
                                 limit read_page.max_events
                                ) e)
                        union all
                        -- xid8ge() as a function call keeps the planner on the primary key, in order of id.
                        (select e.*
                           from outbox.event e
                          where e.id > greatest(read_page.after, read_page.low - 1)
                            and e.id <= read_page.high
                            and e.id <= read_page.reach
                            and xid8ge(e.tx, pg_snapshot_xmax(read_page.previous))
                            and (is_rebased or pg_visible_in_snapshot(e.tx, read_page.current))
                            and (read_page.lanes = 1
                                 or outbox.lane_of(e.key, e.id, read_page.lanes) = read_page.lane)
                          order by e.id
                          limit read_page.max_events)
                        order by id
                        limit read_page.max_events
                       ) u
               ) p
         where coalesce(p.bytes_before, 0) < read_page.max_page_bytes
         order by p.id;
end
$$;
comment on function outbox.read_page is
    'The next events of a batch in order of id, never of tx (a transaction can get its id long before it touches a key). At least one row while there is one; a page ends at max_events or when max_page_bytes is reached. payload is null above max_payload_bytes. While the stream is rebased up to "horizon" (see outbox.cursor), rows are judged by id alone. Of several lanes only the rows of this one are returned, and none behind "reach" (see outbox.page_reach), so that a lane with few rows does not read millions of others'' in one statement. Index scans only: the primary key for new transactions, event_tx for stragglers; partitions outside of the ids asked for are pruned when it runs.';
revoke all on function outbox.read_page from public;
grant execute on function outbox.read_page to outbox_relay;
