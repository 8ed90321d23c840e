create or replace function outbox.prune_reconciliations(ended_flow text)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from outbox.reconciliation r
     where r.flow = ended_flow
       and r.until < (select k.until from outbox.reconciliation k where k.flow = ended_flow
                       order by k.until desc, k.since desc offset 399 limit 1)
$$;
comment on function outbox.prune_reconciliations is
    'Keeps the newest 400 windows of a flow.';
revoke all on function outbox.prune_reconciliations from public;
