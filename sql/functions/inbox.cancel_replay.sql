create or replace function inbox.cancel_replay(wanted integer)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ended text;
begin
    update inbox.replay r set state = 'cancelled', ended_at = clock_timestamp() where r.id = wanted and r.state = 'running';
    select r.state into ended from inbox.replay r where r.id = wanted;
    if ended is null then
        raise exception 'there is no replay %', wanted using errcode = 'OB004', hint = '"outbox replay list" shows them';
    end if;
    return ended;
end
$$;
comment on function inbox.cancel_replay is
    'Ends a replay between two steps; what it has put into the inbox stays there. Returns the state that it is in now.';
revoke all on function inbox.cancel_replay from public;
grant execute on function inbox.cancel_replay to outbox_adapter;
