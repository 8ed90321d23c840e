create or replace function inbox.parked_groups(
    wanted_flow   text,
    wanted_states text[],
    wanted_type   text,
    wanted_group  text,
    wanted_key    text,
    since         timestamptz,
    until         timestamptz
)
returns table (
    reason_group text, flow text, state text, deliveries bigint, oldest_at timestamptz, newest_at timestamptz,
    reason_class text, example_id bigint, example_type text, example_reason text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
#variable_conflict use_column
begin
    return query
        select g.reason_group, g.flow, g.state, g.deliveries, g.oldest_at, g.newest_at, e.reason_class, e.id, e.type,
               e.reason
          from (select d.reason_group, d.flow, d.state, count(*) as deliveries, min(d.parked_at) as oldest_at,
                       max(d.parked_at) as newest_at, max(d.id) as newest_id
                  from inbox.delivery d
                 where d.reason_group is not null and d.state = any (wanted_states)
                   and (wanted_flow is null or d.flow = wanted_flow)
                   and (wanted_group is null or d.reason_group = wanted_group)
                   and (wanted_type is null or '.' || d.type ~ wanted_type)
                   and (wanted_key is null or d.key = wanted_key)
                   and (since is null or d.parked_at >= since) and (until is null or d.parked_at < until)
                 group by d.reason_group, d.flow, d.state) g
          join inbox.delivery e on e.id = g.newest_id
         order by g.deliveries desc, g.reason_group, g.state;
end
$$;
comment on function inbox.parked_groups is
    'Parked deliveries by cause, the largest group first, each with its newest one as an example. Filters as of inbox.parked.';
revoke all on function inbox.parked_groups from public;
grant execute on function inbox.parked_groups to outbox_adapter;
