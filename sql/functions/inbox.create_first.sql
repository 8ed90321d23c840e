create or replace function inbox.create_first(
    asking_flow   text,
    wanted_flow   text,
    wanted_entity text,
    wanted_system text,
    wanted_keys   text[],
    may_search    boolean[],
    patterns      text[],
    on_stale      text,
    most_waiting  integer,
    search_events integer
)
returns table (key text, standing text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set row_security = off
as $$
#variable_conflict use_column
declare
    searched        text[];
    found_keys      text[];
    found_sequences bigint[];
    room            integer := 0;
    taken           record;
    number          integer;
    who             text := 'flow ' || asking_flow;
    why             text := format('a delivery waits for the id of its %s in %s', wanted_entity, wanted_system);
begin
    if not exists (select from inbox.lane l where l.flow = wanted_flow) then
        return query select k.key, 'not_consumed' from unnest(wanted_keys) k(key);
        return;
    end if;
    -- Looking holds nobody up. What the flow never had is searched for among the newest events: they have no index by key,
    -- which every insert would pay for.
    select array_agg(w.key) into searched
      from unnest(wanted_keys, may_search) w(key, may_search)
     cross join lateral inbox.creation_standing(wanted_flow, wanted_entity, wanted_system, w.key) s
     where w.may_search and s.is_missing;
    if searched is not null then
        select array_agg(f.key), array_agg(f.sequence) into found_keys, found_sequences
          from (select distinct on (e.key) e.key, e.id as sequence
                  from (select n.id, n.key, n.type from outbox.event n order by n.id desc limit search_events) e
                 where e.key = any (searched) and '.' || e.type ~ any (patterns)
                 order by e.key, e.id desc) f;
    end if;
    if exists (select from inbox.creatable(wanted_flow, wanted_entity, wanted_system, wanted_keys, found_keys,
                                           found_sequences, patterns, on_stale) c where c.standing is null) then
        room := greatest(most_waiting - inbox.waiting(wanted_flow, most_waiting), 0);
        -- Until commit nothing of the flow is accepted or begun: of all that ask for a key at once, one puts it in.
        perform from inbox.lane l where l.flow = wanted_flow order by l.lane for update;
    end if;
    -- A statement of its own: it sees what was committed before the lanes were free.
    select array_agg(c.key order by c.key) as keys, array_agg(c.standing order by c.key) as standings,
           array_agg(c.sequence order by c.sequence) filter (where c.standing = 'asked') as sequences,
           array_agg(c.sequence order by c.sequence) filter (where c.standing = 'asked' and c.is_missing) as missing,
           bool_and(c.is_missing) filter (where c.standing = 'asked') as are_missing,
           max(c.key) filter (where c.standing = 'asked') as one_key
      into taken
      from (select c.key, c.is_missing, c.sequence,
                   case when c.standing is not null then c.standing
                        when count(*) filter (where c.standing is null) over (order by c.key) <= room then 'asked'
                        else 'no_room' end as standing
              from inbox.creatable(wanted_flow, wanted_entity, wanted_system, wanted_keys, found_keys, found_sequences,
                                   patterns, on_stale) c) c;
    if taken.sequences is not null then
        insert into inbox.replay (flow, patterns, key, missing_only, on_stale, position, upto, planned_upto, looked_at,
                                  replayed, state, ended_at, who, why, asked_by)
        select wanted_flow, patterns, case when cardinality(taken.sequences) = 1 then taken.one_key end,
               taken.are_missing, on_stale, m.upto, m.upto, m.upto, cardinality(taken.sequences),
               cardinality(taken.sequences), 'done', clock_timestamp(), who, why, asking_flow
          from (select max(s.sequence) as upto from unnest(taken.sequences) s(sequence)) m
        returning id into number;
        insert into inbox.replay_decision (replay_id, action, who, why) values (number, 'start', who, why);
        -- What the flow never had comes last: accepting it notes an arrival, for which others wait.
        perform inbox.put_replayed(
                    wanted_flow, number, g.is_missing, on_stale, who, g.sequences, g.message_ids, g.types, g.versions,
                    g.keys, g.edited_ids)
           from (select c.is_missing, array_agg(c.sequence order by c.sequence) as sequences,
                        array_agg(c.event_id::text order by c.sequence) as message_ids,
                        array_agg(c.type order by c.sequence) as types,
                        array_agg(c.version order by c.sequence) as versions,
                        array_agg(c.key order by c.sequence) as keys,
                        array_agg(c.former_id) filter (where c.is_edited) as edited_ids
                   from inbox.creatable(wanted_flow, wanted_entity, wanted_system, wanted_keys, found_keys,
                                        found_sequences, patterns, on_stale) c
                  where c.standing is null and c.sequence = any (taken.sequences)
                  group by c.is_missing
                  order by c.is_missing) g;
    end if;
    return query select k.key, k.standing from unnest(taken.keys, taken.standings) k(key, standing);
end
$$;
comment on function inbox.create_first is
    'Asks a flow to apply the newest event of each of these keys again, because the id that its receipt links is missing elsewhere; returns of each key how that stands: asked, or under_way, parked, gone, no_id, not_found, not_now, rejected, decided (inbox.creatable), no_room (enough of the flow waits for its calls), not_consumed (the flow is not known here). An event comes in as by a replay, with an audit row of the asking flow, and only while nothing of its key is unfinished; of many that ask at once, one puts it in. "may_search": an event that the flow never had is looked for among the newest "search_events" of the outbox. Locks all lanes of the flow that is asked, and only those.';
revoke all on function inbox.create_first from public;
grant execute on function inbox.create_first to outbox_adapter;
