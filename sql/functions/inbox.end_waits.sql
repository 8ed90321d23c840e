create or replace function inbox.end_waits(
    wanted_flow text, me text, lanes smallint[], after_id bigint, most integer
)
returns table (ended integer, last_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    found bigint[];
begin
    perform from inbox.lane l
      where l.flow = wanted_flow and l.lane = any (lanes) and l.owner = me and l.leased_until > clock_timestamp()
      order by l.lane for update;
    select array_agg(w.id) into found
      from (select d.id from inbox.delivery d
             where d.flow = wanted_flow and d.look_at is not null and d.id > after_id
               and d.lane = any (array(select l.lane from inbox.lane l
                                        where l.flow = wanted_flow and l.lane = any (lanes) and l.owner = me
                                          and l.leased_until > clock_timestamp()))
             order by d.id limit most) w;
    update inbox.delivery d
       set due_at = clock_timestamp(), look_at = null
     where d.id = any (found);
    return query select coalesce(cardinality(found), 0), (select max(f.id) from unnest(found) f(id));
end
$$;
comment on function inbox.end_waits is
    'Makes due what waits for ids in lanes of the caller, no more than "most" behind an id: whoever takes a lane may have other settings than whoever let it wait. For how long it has waited is kept. Returns how many, and the id of the last of them (null: there was none). Locks these lanes.';
revoke all on function inbox.end_waits from public;
grant execute on function inbox.end_waits to outbox_adapter;
