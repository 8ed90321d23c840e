create or replace function inbox.creatable(
    wanted_flow text, wanted_entity text, wanted_system text, wanted_keys text[], found_keys text[],
    found_sequences bigint[], patterns text[], on_stale text
)
returns table (
    key text, standing text, is_missing boolean, sequence bigint, event_id uuid, type text, version integer,
    former_id bigint, is_edited boolean
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
begin
    return query
        select k.key,
               case when k.standing is not null then k.standing
                    when k.place is null then 'not_found'
                    when r.id is null then 'not_now'
                    when r.left_out = 'rejected' then 'rejected'
                    when r.left_out is not null then 'decided' end,
               k.is_missing, r.id, r.event_id, r.type, r.version, r.former_id, coalesce(r.is_edited, false)
          from (
                select distinct on (w.key) w.key, s.standing, s.is_missing,
                       case when s.standing is null then coalesce(s.sequence, f.sequence) end as place
                  from unnest(wanted_keys) w(key)
                 cross join lateral inbox.creation_standing(wanted_flow, wanted_entity, wanted_system, w.key) s
                  left join unnest(found_keys, found_sequences) f(key, sequence) on f.key = w.key
                 order by w.key
               ) k
          left join lateral inbox.replayable(wanted_flow, patterns, k.key, null, null, k.is_missing, false, false, on_stale,
                                             k.place - 1, k.place, 1) r on r.id is not null;
end
$$;
comment on function inbox.creatable is
    'Of each key why a flow is not asked to apply its newest event again (inbox.creation_standing; not_found: the flow never had one, and none of "found_keys" is of it; not_now: it cannot be replayed, for example because it is not published yet; rejected: it never will be; decided: a person has skipped or resolved it), or, with a standing of null, that event. Which events a flow may get again is decided by inbox.replayable, as with any replay.';
revoke all on function inbox.creatable from public;
