create or replace function inbox.abandon_lanes(wanted_flow text, former_owner text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from inbox.lane l where l.flow = wanted_flow and l.owner = former_owner order by l.lane for update;
    update inbox.lane l set leased_until = '-infinity' where l.flow = wanted_flow and l.owner = former_owner;
    delete from inbox.consumer c where c.flow = wanted_flow and c.owner = former_owner;
end
$$;
comment on function inbox.abandon_lanes is
    'Lets the leases of an owner that no longer runs expire at once. Only for an owner of the calling process itself: whoever takes the lanes treats its calls as in doubt.';
revoke all on function inbox.abandon_lanes from public;
grant execute on function inbox.abandon_lanes to outbox_adapter;
