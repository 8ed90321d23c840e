create or replace function outbox.last_reconciliations()
returns table (flow text, since timestamptz, until timestamptz, ended_at timestamptz, verdict text, result json)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select r.flow, r.since, r.until, r.ended_at, r.verdict, r.result
      from (select distinct on (n.flow) n.* from outbox.reconciliation n
             where n.ended_at is not null
             order by n.flow, n.until desc, n.since desc) r
    union all
    -- What was given up is no news any more when a later one agrees, and must be seen all the same.
    select g.flow, g.since, g.until, g.ended_at, g.verdict, g.result
      from (select distinct on (u.flow) u.* from outbox.reconciliation u
             where u.verdict = 'untold' and u.ended_at > clock_timestamp() - interval '7 days'
             order by u.flow, u.until desc, u.since desc) g
     where exists (select from outbox.reconciliation l
                    where l.flow = g.flow and l.ended_at is not null and (l.until, l.since) > (g.until, g.since))
     order by 1, 3
$$;
comment on function outbox.last_reconciliations is
    'The newest window of each flow that came to its end by itself, and before it the newest one that was given up as untold in the last seven days.';
revoke all on function outbox.last_reconciliations from public;
grant execute on function outbox.last_reconciliations to outbox_relay, outbox_adapter;
