create or replace function inbox.replay_some(wanted integer, most integer, most_replayed integer)
returns table (state text, looked_at bigint, replayed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    replay  inbox.replay;
    found   record;
begin
    select r.* into replay from inbox.replay r where r.id = wanted for update;
    if replay.id is null then
        raise exception 'there is no replay %', wanted using errcode = 'OB004', hint = '"outbox replay list" shows them';
    end if;
    if replay.state = 'running' then
        with matched as (
            select m.*, row_number() over (order by m.id) as rank
              from inbox.replayable(replay.flow, replay.patterns, replay.key, replay.since, replay.until,
                                    replay.missing_only, replay.position, replay.upto, most) m
        )
        select array_agg(m.id order by m.id) as ids, array_agg(m.event_id::text order by m.id) as message_ids,
               array_agg(m.type order by m.id) as types, array_agg(m.version order by m.id) as versions,
               array_agg(m.key order by m.id) as keys,
               array_agg(m.id || '/' || m.event_id order by m.id) as claims,
               -- Cut short by the rate: what is behind the last one is looked at again.
               case when bool_or(m.rank > most_replayed) is true
                    then max(m.id) filter (where m.rank <= most_replayed) end as cut_at,
               max(m.looked_up_to) as looked_up_to, max(m.looked_at) as looked_at
          into found
          from matched m
         where m.rank <= most_replayed + 1;
        if found.looked_up_to is null then
            update inbox.replay r set state = 'done', ended_at = clock_timestamp() where r.id = wanted;
        else
            found.ids := array_remove(found.ids, null);
            if cardinality(found.ids) > 0 then
                if found.cut_at is not null then
                    found.ids := found.ids[1:most_replayed];
                end if;
                perform inbox.accept(
                    replay.flow, found.message_ids[1:cardinality(found.ids)], found.ids,
                    found.types[1:cardinality(found.ids)], found.versions[1:cardinality(found.ids)],
                    found.keys[1:cardinality(found.ids)],
                    array_fill(json_build_object('x-outbox-replay', wanted)::text, array[cardinality(found.ids)]),
                    array_fill(null::bytea, array[cardinality(found.ids)]),
                    array_fill(null::text, array[cardinality(found.ids)]),
                    array_fill(null::text, array[cardinality(found.ids)]),
                    found.claims[1:cardinality(found.ids)], false, 'apply',
                    case when replay.missing_only then 0 else wanted end);
            end if;
            update inbox.replay r
               set position = coalesce(found.cut_at, found.looked_up_to),
                   looked_at = r.looked_at + case when found.cut_at is null then found.looked_at else 0 end,
                   replayed = r.replayed + coalesce(cardinality(found.ids), 0)
             where r.id = wanted;
        end if;
    end if;
    return query select r.state, r.looked_at, r.replayed from inbox.replay r where r.id = wanted;
end
$$;
comment on function inbox.replay_some is
    'Goes on with a replay: looks at no more than "most" events, puts no more than "most_replayed" of them into the inbox, and moves its position, all in one transaction. Returns how far it is. Killed anywhere, it has happened as a whole or not at all.';
revoke all on function inbox.replay_some from public;
grant execute on function inbox.replay_some to outbox_adapter;
