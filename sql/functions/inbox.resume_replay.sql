create or replace function inbox.resume_replay(wanted integer, wanted_rate_per_s double precision, who text)
returns table (rate_per_s double precision, replayed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    replay inbox.replay;
begin
    select r.* into replay from inbox.replay r where r.id = wanted for update;
    if replay.id is null then
        raise exception 'there is no replay %', wanted using errcode = 'OB004', hint = '"outbox replay list" shows them';
    end if;
    if replay.state = 'running' then
        replay.rate_per_s := coalesce(wanted_rate_per_s, replay.rate_per_s);
        update inbox.replay r set rate_per_s = replay.rate_per_s where r.id = wanted;
        insert into inbox.replay_decision (replay_id, action, who, rate_per_s)
        values (wanted, 'resume', resume_replay.who, replay.rate_per_s);
    end if;
    return query select replay.rate_per_s, replay.replayed;
end
$$;
comment on function inbox.resume_replay is
    'Writes down who goes on with a replay, and at which rate: the one given, which is kept, else the one that it has. Returns the rate, and how much was replayed before. Changes nothing about one that has ended.';
revoke all on function inbox.resume_replay from public;
grant execute on function inbox.resume_replay to outbox_adapter;
