create or replace function inbox.outdated_copies(wanted_flow text, me text, wanted integer)
returns table (delivery_id bigint, death integer, noted bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select o.delivery_id, o.death, o.noted
      from inbox.lane l
      join inbox.outdated_copy o on o.flow = l.flow
     where l.flow = wanted_flow and l.lane = 0 and l.owner = me and l.leased_until > clock_timestamp()
     limit wanted
$$;
comment on function inbox.outdated_copies is
    'Copies that may have to leave the dead-letter queue, for the owner of lane 0 only: two who walk through one queue would mix up its order.';
revoke all on function inbox.outdated_copies from public;
grant execute on function inbox.outdated_copies to outbox_adapter;
