create or replace function outbox.page_reach(
    stragglers xid8[], low bigint, high bigint, after bigint, look_at integer
)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
-- A policy that hides rows is an error, not the end of a batch.
set row_security = off
set plan_cache_mode = force_generic_plan
as $$
begin
    return (
        select min(u.id) - 1
          from (
                select (select e.id
                          from outbox.event e
                         where (e.tx, e.id) > (s, page_reach.after) and e.tx <= s and e.id > page_reach.after
                         order by e.tx, e.id
                        offset page_reach.look_at
                         limit 1) as id
                  from unnest(page_reach.stragglers) s
                union all
                select (select e.id
                          from outbox.event e
                         where e.id > greatest(page_reach.after, page_reach.low - 1)
                           and e.id <= page_reach.high
                         order by e.id
                        offset page_reach.look_at
                         limit 1)
               ) u);
end
$$;
comment on function outbox.page_reach is
    'Up to which id the pages of a lane may look, so that no statement goes through more than look_at rows of other lanes: of each straggler, and of the new transactions. Null: to the end of the batch. Reads indexes only.';
revoke all on function outbox.page_reach from public;
grant execute on function outbox.page_reach to outbox_relay;
