create or replace function inbox.release_lanes(wanted_flow text, me text, lanes smallint[])
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    released integer;
begin
    perform from inbox.lane l
      where l.flow = wanted_flow and l.owner = me and l.lane = any (lanes)
      order by l.lane for update;
    update inbox.lane l
       set owner = null, leased_until = null
     where l.flow = wanted_flow and l.owner = me and l.lane = any (lanes)
       and not exists (select from inbox.delivery d
                        where d.flow = wanted_flow and d.lane = l.lane and d.state = 'applying');
    get diagnostics released = row_count;
    if not exists (select from inbox.lane l where l.flow = wanted_flow and l.owner = me) then
        delete from inbox.consumer c where c.flow = wanted_flow and c.owner = me;
    end if;
    return released;
end
$$;
comment on function inbox.release_lanes is
    'Gives lanes back early, for others to take at once. A lane with a call under way stays leased until it expires.';
revoke all on function inbox.release_lanes from public;
grant execute on function inbox.release_lanes to outbox_adapter;
