create or replace function inbox.failing_seconds(ids bigint[])
returns table (id bigint, seconds double precision)
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
    select a.delivery_id, extract(epoch from clock_timestamp() - min(a.ended_at))::double precision
      from inbox.attempt a
     where a.delivery_id = any (ids) and a.call = 'send' and a.outcome in ('retry', 'unknown')
       and not exists (select from inbox.resolution r
                        where r.delivery_id = a.delivery_id and r.resolved_at > a.ended_at)
     group by a.delivery_id
$$;
comment on function inbox.failing_seconds is
    'For how long deliveries have been failing by answers that may be about the message or about the target, since they began or a person let them begin anew. Those that have not failed so are left out.';
revoke all on function inbox.failing_seconds from public;
grant execute on function inbox.failing_seconds to outbox_adapter;
