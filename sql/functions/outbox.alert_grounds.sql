create or replace function outbox.alert_grounds()
returns table (
    ground text, subject text, rule text, is_raised boolean, since timestamptz, until timestamptz, verdict text,
    standing json, is_untold boolean, refused integer, processes integer, refusal text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select 'settings', null::text, null::text, null::boolean, null::timestamptz, null::timestamptz, null::text, null::json,
           null::boolean,
           (count(*) filter (where p.refusal is not null))::integer, count(*)::integer,
           left((array_agg(p.refusal order by p.refused_at) filter (where p.refusal is not null))[1], 500)
      from outbox.process p
     where p.seen_until > clock_timestamp()
    union all
    select 'totals', f.flow, null, null, told.since, told.until, told.verdict, told.result -> 'standing',
           -- Begun again and again: its target does not tell, or who asks it ends each time. Or given up for it.
           exists (select from outbox.reconciliation r
                    where r.flow = f.flow
                      and (r.ended_at is null and r.epoch >= 3
                           -- Of what nobody begins any more, the settings have lost the flow's reconcile.
                           and (r.leased_until > clock_timestamp() - interval '1 hour'
                                or r.until > coalesce(told.until, '-infinity'))
                           or r.verdict = 'untold' and r.until > coalesce(told.until, '-infinity'))),
           null, null, null
      from (select distinct r.flow from outbox.reconciliation r) f
      left join lateral (select r.since, r.until, r.verdict, r.result
                           from outbox.reconciliation r
                          where r.flow = f.flow and r.verdict <> 'untold'
                          order by r.until desc, r.since desc limit 1) told on true
    union all
    select 'standing', a.subject, a.rule, a.raised_at is not null, null, null, null, null, null, null, null, null
      from outbox.alert a
     where a.over_at is null
$$;
comment on function outbox.alert_grounds is
    'What alerts are judged by that is stored: one row "settings" (how many processes run, how many have refused newer settings, and the first reason), and a row "totals" for each flow that was reconciled (its newest window that was told, what was found there, and whether one was begun three times and has not come to its end, or a newer one was given up), and a row "standing" for each alert that has not ended (is_raised: it has lasted for long enough to be told).';
revoke all on function outbox.alert_grounds from public;
grant execute on function outbox.alert_grounds to outbox_relay, outbox_adapter, outbox_intake;
