create or replace function inbox.creation_standing(
    wanted_flow text, wanted_entity text, wanted_system text, wanted_key text
)
returns table (standing text, sequence bigint, is_missing boolean)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    newest inbox.delivery;
begin
    is_missing := false;
    if exists (select from inbox.delivery d
                where d.flow = wanted_flow and d.key = wanted_key and d.state not in ('applied', 'skipped')) then
        standing := case when exists (select from inbox.delivery d
                                       where d.flow = wanted_flow and d.key = wanted_key
                                         and d.state not in ('applied', 'skipped') and d.parked_at is not null)
                         then 'parked' else 'under_way' end;
        return next;
        return;
    end if;
    select d.* into newest from inbox.delivery d
     where d.flow = wanted_flow and d.key = wanted_key and d.state in ('applied', 'skipped')
     order by d.sequence desc limit 1;
    if newest.id is null then
        is_missing := true;
    else
        -- Of several replays of one event the latest counts.
        select d.* into newest from inbox.delivery d
         where d.flow = wanted_flow and d.message_id = newest.message_id order by d.generation desc limit 1;
        sequence := newest.sequence;
        if not exists (select from outbox.event e where e.id = newest.sequence and e.event_id::text = newest.message_id) then
            standing := 'gone';
        elsif newest.state = 'applied'
              and exists (select from inbox.replay r where r.id = newest.generation and r.asked_by is not null)
              and not exists (select from xref.change c
                               where c.entity = wanted_entity and c.system = wanted_system
                                 and c.canonical_key = wanted_key and c.action = 'unlink'
                                 and c.changed_at > newest.settled_at) then
            standing := 'no_id';
        end if;
    end if;
    return next;
end
$$;
comment on function inbox.creation_standing is
    'Why a flow cannot be asked to apply the newest event of a key again, so that its receipt links the key: another one of its key is parked or under way, the event is gone, or it was applied because of such a request and no id came of it (until somebody takes a link of the key away). Null: it can, by the event of this sequence; "is_missing": the flow never had one of this key.';
revoke all on function inbox.creation_standing from public;
