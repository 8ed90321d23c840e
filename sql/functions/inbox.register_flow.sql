create or replace function inbox.register_flow(
    wanted_flow text, lanes integer, connection text, link_entity text default null, link_system text default null
)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from inbox.lane l where l.flow = wanted_flow) then
        insert into inbox.lane (flow, lane)
        select wanted_flow, n from generate_series(0, lanes - 1) n
        on conflict do nothing;
        insert into inbox.circuit (flow) values (wanted_flow) on conflict do nothing;
        insert into inbox.last_arrival (flow) values (wanted_flow) on conflict do nothing;
    end if;
    update inbox.circuit c
       set connection = register_flow.connection, link_entity = register_flow.link_entity,
           link_system = register_flow.link_system
     where c.flow = wanted_flow
       and (c.connection, c.link_entity, c.link_system)
           is distinct from (register_flow.connection, register_flow.link_entity, register_flow.link_system);
    return (select count(*)::integer from inbox.lane l where l.flow = wanted_flow);
end
$$;
comment on function inbox.register_flow is
    'Creates the lanes, the circuit and the arrival of a flow once, notes the connection by which its target is called (null: none that others share) and what its keys name in the cross-reference (null: nothing), and returns how many lanes it has. The number stays: changing it would let one key live in two lanes.';
revoke all on function inbox.register_flow from public;
grant execute on function inbox.register_flow to outbox_adapter;
