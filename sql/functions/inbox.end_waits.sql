create or replace function inbox.end_waits(wanted_flow text, me text, lanes smallint[])
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    ended integer;
begin
    perform from inbox.lane l
      where l.flow = wanted_flow and l.lane = any (lanes) and l.owner = me and l.leased_until > clock_timestamp()
      order by l.lane for update;
    update inbox.delivery d
       set due_at = clock_timestamp(), look_at = null
     where d.flow = wanted_flow and d.look_at is not null
       and d.lane = any (array(select l.lane from inbox.lane l
                                where l.flow = wanted_flow and l.lane = any (lanes) and l.owner = me
                                  and l.leased_until > clock_timestamp()));
    get diagnostics ended = row_count;
    return ended;
end
$$;
comment on function inbox.end_waits is
    'Makes everything due that waits for ids in lanes of the caller: whoever takes a lane may have other settings than whoever let it wait. For how long it has waited is kept. Returns how many. Locks these lanes.';
revoke all on function inbox.end_waits from public;
grant execute on function inbox.end_waits to outbox_adapter;
