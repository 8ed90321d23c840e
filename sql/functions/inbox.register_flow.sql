create or replace function inbox.register_flow(wanted_flow text, lanes integer, connection text)
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
       set connection = register_flow.connection
     where c.flow = wanted_flow and c.connection is distinct from register_flow.connection;
    return (select count(*)::integer from inbox.lane l where l.flow = wanted_flow);
end
$$;
comment on function inbox.register_flow is
    'Creates the lanes, the circuit and the arrival of a flow once, notes the connection by which its target is called (null: none that others share), and returns how many lanes it has. The number stays: changing it would let one key live in two lanes.';
revoke all on function inbox.register_flow from public;
grant execute on function inbox.register_flow to outbox_adapter;
