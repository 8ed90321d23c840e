create or replace function inbox.promote(wanted_flow text, keys text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
begin
    update inbox.delivery d
       set state = 'ready', due_at = clock_timestamp()
     where d.id = any (array(
               select next.id
                 from unnest(keys) k(key)
                cross join lateral (
                      select n.id, n.state from inbox.delivery n
                       where n.flow = wanted_flow and n.key = k.key
                         and n.state not in ('applied', 'skipped') and not n.is_passed
                       order by n.sequence
                       limit 1
                      ) next
                where next.state = 'blocked'));
end
$$;
comment on function inbox.promote is
    'Makes the first unfinished delivery of each key ready if it was blocked. To be called by whoever ended its predecessor, in the same transaction, holding the lanes'' rows.';
revoke all on function inbox.promote from public;
grant execute on function inbox.promote to outbox_adapter;
