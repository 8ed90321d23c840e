create or replace function inbox.refuse_transition()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'delivery % of flow % cannot go from % to %', old.id, old.flow, old.state, new.state
        using errcode = 'check_violation',
              hint = 'states are changed by the functions of the schema inbox and by "outbox dead", not by hand';
end
$$;
comment on function inbox.refuse_transition is
    'The states of a delivery and their order, whoever writes them; "outbox.model.delivery" and ARCHITECTURE.md hold the same. The condition stands in the trigger, so that a change that is allowed costs no call.';
revoke all on function inbox.refuse_transition from public;
create or replace trigger delivery_transition_is_known
    before update of state on inbox.delivery
    for each row
    when (old.state <> new.state and old.state || '>' || new.state not in (
        'ready>applying', 'ready>blocked', 'ready>dead', 'ready>skipped',
        'blocked>ready', 'blocked>skipped',
        'applying>applied', 'applying>ready', 'applying>retry', 'applying>in_doubt', 'applying>dead',
        'retry>applying', 'retry>in_doubt', 'retry>dead', 'retry>skipped',
        'in_doubt>applying', 'in_doubt>applied', 'in_doubt>ready', 'in_doubt>skipped',
        'dead>ready', 'dead>blocked', 'dead>applied', 'dead>skipped'
    ))
    execute function inbox.refuse_transition();
