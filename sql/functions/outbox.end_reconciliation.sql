create or replace function outbox.end_reconciliation(
    wanted bigint, held_epoch integer, found_verdict text, found_result json
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ended_flow text;
begin
    update outbox.reconciliation r
       set ended_at = clock_timestamp(), verdict = found_verdict, result = found_result
     where r.id = wanted and r.epoch = held_epoch and r.ended_at is null
    returning r.flow into ended_flow;
    if ended_flow is null then
        return false;
    end if;
    perform outbox.prune_reconciliations(ended_flow);
    return true;
end
$$;
comment on function outbox.end_reconciliation is
    'Stores what came of a window, once; false when another process has begun it since. Keeps the newest 400 windows of the flow.';
revoke all on function outbox.end_reconciliation from public;
grant execute on function outbox.end_reconciliation to outbox_adapter;
