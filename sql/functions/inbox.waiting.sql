create or replace function inbox.waiting(wanted_flow text, count_up_to integer)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
    select count(*)::integer
      from (select from inbox.delivery d
             where d.flow = wanted_flow and d.state in ('ready', 'retry', 'in_doubt') and d.due_at is not null
             limit count_up_to) x
$$;
comment on function inbox.waiting is
    'How many deliveries of a flow wait for a call, counted up to a bound. Those that wait behind another one of their key do not count: a poison message must not stop its flow. Walks the index of what is due.';
revoke all on function inbox.waiting from public;
grant execute on function inbox.waiting to outbox_adapter;
