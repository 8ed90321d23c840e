create or replace function outbox.alerts(with_over boolean)
returns table (
    id bigint, subject text, rule text, text text, level integer, owner text, runbook text, link text,
    raised_at timestamptz, over_at timestamptz, seen_at timestamptz, channel text, recipients text[],
    told_at timestamptz, over_told_at timestamptz, failures integer, failed_at timestamptz, last_error text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.id, a.subject, a.rule, a.text, a.level, a.owner, a.runbook, a.link, a.raised_at, a.over_at, a.seen_at,
           t.channel, t.recipients, n.told_at, n.over_told_at, t.failures, t.failed_at, t.last_error
      from (select * from outbox.alert x where x.over_at is null
            union all
            select * from (select * from outbox.alert x where x.over_at is not null and with_over
                            order by x.over_at desc limit 200) y) a
      left join outbox.alert_notice n on n.alert_id = a.id
      left join outbox.alert_route t on t.id = n.route_id
     where a.raised_at is not null
     order by a.over_at is not null, a.over_at desc, a.raised_at, a.id, t.channel, t.recipients
$$;
comment on function outbox.alerts is
    'The alerts that stand, and with_over the last 200 that are over too: a row for each route that was or is to be told, one without a channel where nobody is.';
revoke all on function outbox.alerts from public;
grant execute on function outbox.alerts to outbox_relay, outbox_adapter;
