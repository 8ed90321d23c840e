create or replace function outbox.last_reconciliations()
returns table (flow text, since timestamptz, until timestamptz, ended_at timestamptz, verdict text, result json)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select distinct on (r.flow) r.flow, r.since, r.until, r.ended_at, r.verdict, r.result
      from outbox.reconciliation r
     where r.ended_at is not null
     order by r.flow, r.until desc, r.since desc
$$;
comment on function outbox.last_reconciliations is
    'The newest window of each flow that was reconciled by itself.';
revoke all on function outbox.last_reconciliations from public;
grant execute on function outbox.last_reconciliations to outbox_relay, outbox_adapter;
