create or replace function inbox.cancel_replay(wanted integer, who text, why text)
returns table (state text, looked_at bigint, replayed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update inbox.replay r
       set state = 'cancelled', ended_at = clock_timestamp()
     where r.id = wanted and r.state = 'running';
    if found then
        insert into inbox.replay_decision (replay_id, action, who, why)
        values (wanted, 'cancel', cancel_replay.who, cancel_replay.why);
    elsif not exists (select from inbox.replay r where r.id = wanted) then
        raise exception 'there is no replay %', wanted using errcode = 'OB004', hint = '"outbox replay list" shows them';
    end if;
    return query select r.state, r.looked_at, r.replayed from inbox.replay r where r.id = wanted;
end
$$;
comment on function inbox.cancel_replay is
    'Ends a replay between two steps, and writes down who wants that and why; what it has put into the inbox stays there. Returns how it stands now.';
revoke all on function inbox.cancel_replay from public;
grant execute on function inbox.cancel_replay to outbox_adapter;
