create or replace function inbox.set_circuit(wanted_flow text, wanted_state text, who text, why text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    former text;
begin
    select c.state into former from inbox.circuit c where c.flow = wanted_flow for update;
    if not found then
        raise exception 'flow % is not known here', wanted_flow
            using errcode = 'OB004', hint = 'a flow is known once it has been consumed; "outbox status" lists them';
    end if;
    update inbox.circuit c
       set state = wanted_state, until = case when wanted_state = 'open' then 'infinity'::timestamptz end,
           probe = null, suspects = '{}', openings = 0, needs_a_person = wanted_state = 'open',
           reason = case when wanted_state = 'open' then why end, changed_at = clock_timestamp(), changed_by = who,
           throttled_until = null, throttle_reason = null
     where c.flow = wanted_flow;
    insert into inbox.circuit_change (flow, from_state, to_state, who, why)
    values (wanted_flow, former, wanted_state, who, why);
    return former;
end
$$;
comment on function inbox.set_circuit is
    'A person opens a circuit, which then stays open until a person closes it, or closes one, with a row of audit in inbox.circuit_change; returns the state before. Closing also ends the pause of a target that throttles.';
revoke all on function inbox.set_circuit from public;
grant execute on function inbox.set_circuit to outbox_adapter;
