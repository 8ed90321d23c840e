create or replace function inbox.waiting(wanted_flow text, count_up_to integer)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    select count(*)::integer
      from (select from inbox.lane l
             cross join lateral (select from inbox.delivery d
                                  where d.flow = l.flow and d.lane = l.lane and d.due_at <= now()
                                    and d.state in ('ready', 'retry', 'in_doubt') and d.due_at is not null
                                  limit count_up_to) due
             where l.flow = wanted_flow
            union all
            -- Each walk has an end of its own, because it passes over what is due already, or parked.
            select from (select d.due_at from inbox.delivery d
                          where d.flow = wanted_flow and d.state = 'retry' limit count_up_to) r
             where r.due_at > now()
            union all
            select from (select d.due_at from inbox.delivery d
                          where d.flow = wanted_flow and d.state = 'in_doubt' limit count_up_to) i
             where i.due_at > now()
            limit count_up_to) x
$$;
comment on function inbox.waiting is
    'How many deliveries of a flow wait for a call, counted up to a bound: those that are due, and those that back off after a call. Those that wait behind another one of their key do not count, a poison message must not stop its flow; nor those that a person has spread over the time to come. Walks the index of what is due.';
revoke all on function inbox.waiting from public;
grant execute on function inbox.waiting to outbox_adapter;
