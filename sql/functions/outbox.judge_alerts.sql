create or replace function outbox.judge_alerts(
    judged_subject text, judged_rules text[], broken json, routes json, told_owner text, told_runbook text,
    told_link text, over_after_seconds double precision
)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    at       timestamptz;
    standing integer;
begin
    -- One judge at a time: two replicas may have seen the same. Before the clock is read, which must not go back.
    perform pg_advisory_xact_lock(hashtextextended('outbox.alert ' || judged_subject, 0));
    at := clock_timestamp();
    insert into outbox.alert as a (
        subject, rule, text, level, hold_seconds, owner, runbook, link, broken_at, seen_at, raised_at)
    select judged_subject, b.rule, left(b.text, 2000), b.level, b.hold_seconds, told_owner, told_runbook, told_link, at,
           at,
           case when b.hold_seconds <= 0 then at end
      from json_to_recordset(broken) as b (rule text, text text, level integer, hold_seconds double precision)
     order by b.rule
    on conflict (subject, rule) where over_at is null do update
       set text = excluded.text, level = excluded.level, hold_seconds = excluded.hold_seconds,
           owner = excluded.owner, runbook = excluded.runbook, link = excluded.link, seen_at = at, calm_at = null,
           raised_at = coalesce(a.raised_at,
               case when a.broken_at + make_interval(secs => excluded.hold_seconds) <= at then at end);
    -- What has not lasted was never an alert.
    delete from outbox.alert a
     where a.subject = judged_subject and a.rule = any (judged_rules) and a.over_at is null and a.raised_at is null
       and a.seen_at <> at;
    update outbox.alert a
       set calm_at = coalesce(a.calm_at, at),
           over_at = case when coalesce(a.calm_at, at) + make_interval(secs => over_after_seconds) <= at then at end,
           seen_at = at
     where a.subject = judged_subject and a.rule = any (judged_rules) and a.over_at is null and a.seen_at <> at;
    if json_array_length(broken) > 0 then
        insert into outbox.alert_route (channel, recipients)
        select r.channel, r.recipients from json_to_recordset(routes) as r (channel text, recipients text[])
         order by 1, 2
        on conflict on constraint alert_route_is_unique do nothing;
        insert into outbox.alert_notice (alert_id, route_id)
        select a.id, t.id
          from outbox.alert a
         cross join json_to_recordset(routes) as r (channel text, recipients text[])
          join outbox.alert_route t on t.channel = r.channel and t.recipients = r.recipients
         where a.subject = judged_subject and a.rule = any (judged_rules) and a.over_at is null
           and a.raised_at is not null and a.calm_at is null
           -- One that is being pruned is made anew by the next look.
           for key share of t
        on conflict do nothing;
        -- Of what has become fewer, more is news again.
        update outbox.alert_notice n
           set told_level = a.level
          from outbox.alert a
         where a.id = n.alert_id and (n.alert_id, n.route_id) in (
               -- In the order in which outbox.end_notice locks them.
               select x.alert_id, x.route_id
                 from outbox.alert_notice x
                 join outbox.alert y on y.id = x.alert_id
                where y.subject = judged_subject and y.over_at is null and x.told_level > y.level
                order by 1, 2
                  for update of x);
    end if;
    select count(*) into standing
      from outbox.alert a
     where a.subject = judged_subject and a.rule = any (judged_rules) and a.over_at is null;
    return standing;
end
$$;
comment on function outbox.judge_alerts is
    'Notes how a subject stands by these rules: "broken" is a list of {rule, text, level, hold_seconds}, every other rule is kept. What is broken begins an alert, or goes on with it; it is raised once it has been so for hold_seconds, for each of the routes [{channel, recipients}]. What is kept ends its alert once it has been so for over_after_seconds. Returns how many alerts of these rules have not ended. Sends nothing.';
revoke all on function outbox.judge_alerts from public;
grant execute on function outbox.judge_alerts to outbox_relay, outbox_adapter, outbox_intake;
