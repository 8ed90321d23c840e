create or replace function outbox.claim_notice(
    wanted_channel text, wait_seconds double precision, repeat_seconds double precision,
    lease_seconds double precision, most integer
)
returns table (
    route_id bigint, epoch integer, failures integer, recipients text[], alert_id bigint, kind text, subject text,
    rule text, text text, level integer, owner text, runbook text, link text, raised_at timestamptz,
    lasted_seconds double precision
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    at      timestamptz := clock_timestamp();
    claimed outbox.alert_route;
begin
    update outbox.alert_route t
       set leased_until = at + make_interval(secs => lease_seconds), epoch = t.epoch + 1
     where t.id = (select r.id
                     from outbox.alert_route r
                    where r.channel = wanted_channel and r.leased_until <= at and r.next_at <= at
                      and exists (select from outbox.due_notices(r.id, at, repeat_seconds) d
                                   where d.since + make_interval(secs => wait_seconds) <= at)
                    order by r.next_at, r.id
                    limit 1
                      for update skip locked)
    returning t.* into claimed;
    if claimed.id is null then
        return;
    end if;
    return query
        select claimed.id, claimed.epoch, claimed.failures, claimed.recipients, a.id, d.kind, a.subject, a.rule, a.text,
               a.level, a.owner, a.runbook, a.link, a.raised_at,
               extract(epoch from coalesce(a.over_at, at) - a.broken_at)::double precision
          from outbox.due_notices(claimed.id, at, repeat_seconds) d
          join outbox.alert a on a.id = d.alert_id
         order by d.kind = 'over', a.raised_at, a.id
         limit most;
end
$$;
comment on function outbox.claim_notice is
    'Takes one route of a channel that is to be told something, for as long as the lease, with all that is new to it (up to "most"). No row: nothing is to be told now, or another process does. The first notice waits wait_seconds for others. To be followed by outbox.end_notice or outbox.fail_notice; a process that is killed in between leaves it to the next, when the lease is over.';
revoke all on function outbox.claim_notice from public;
grant execute on function outbox.claim_notice to outbox_relay, outbox_adapter, outbox_intake;
