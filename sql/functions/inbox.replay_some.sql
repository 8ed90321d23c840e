create or replace function inbox.replay_some(
    wanted integer, most integer, most_replayed integer, most_waiting integer, remembered_seconds double precision
)
returns table (state text, looked_at bigint, replayed bigint, is_waiting boolean)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    replay  inbox.replay;
    room    integer;
    found   record;
    newest  bigint;
    next    record;
begin
    select r.* into replay from inbox.replay r where r.id = wanted for update;
    if replay.id is null then
        raise exception 'there is no replay %', wanted using errcode = 'OB004', hint = '"outbox replay list" shows them';
    end if;
    is_waiting := false;
    if replay.state = 'running' then
        room := most_waiting - inbox.waiting(replay.flow, most_waiting);
        is_waiting := room <= 0;
        update inbox.replay r set moved_at = clock_timestamp() where r.id = wanted;
    end if;
    if replay.state = 'running' and not is_waiting then
        most_replayed := least(most_replayed, room);
        -- Until commit nothing of the flow is accepted or begun: an event is either seen here, or comes behind what is
        -- put in front of it.
        perform from inbox.lane l where l.flow = replay.flow order by l.lane for update;
        -- Retention removes from the front: while the next one is there, so is what comes after it.
        select e.id, e.created_at into next from outbox.event e where e.id > replay.position order by e.id limit 1;
        if (replay.next_id < next.id or (replay.next_id is not null and next.id is null))
           and (replay.since is null or next.id is null or replay.since < next.created_at) then
            raise exception 'retention has removed events that replay % had not looked at', wanted
                using errcode = 'OB032',
                      hint = format('end it with "outbox replay cancel %s"; what is left can be replayed anew, and a larger '
                                    'retention.keep or --rate helps the next time', wanted);
        end if;
        if replay.missing_only
           and greatest(next.created_at, replay.since) < clock_timestamp() - make_interval(secs => remembered_seconds) then
            raise exception 'of events before % nobody knows any more whether flow % had them: the inbox has forgotten',
                to_char(clock_timestamp() - make_interval(secs => remembered_seconds), 'YYYY-MM-DD"T"HH24:MI:SSOF'),
                replay.flow
                using errcode = 'OB032',
                      hint = format('end it with "outbox replay cancel %s", and begin anew with a later --since', wanted);
        end if;
        with matched as (
            select m.*, m.id is not null and m.left_out is null as is_taken,
                   count(*) filter (where m.id is not null and m.left_out is null) over (order by m.id) as rank
              from inbox.replayable(replay.flow, replay.patterns, replay.key, replay.since, replay.until,
                                    replay.missing_only, replay.with_skipped, replay.with_happened, replay.on_stale,
                                    replay.position, replay.upto, most, wanted, replay.planned_upto) m
        ), taken as (
            select * from matched m where m.is_taken and m.rank <= most_replayed
        )
        select array_agg(t.id order by t.id) as ids, array_agg(t.event_id::text order by t.id) as message_ids,
               array_agg(t.type order by t.id) as types, array_agg(t.version order by t.id) as versions,
               array_agg(t.key order by t.id) as keys,
               array_agg(t.former_id) filter (where t.is_edited) as edited_ids,
               -- Cut short by the rate: what is behind the last one is looked at again.
               case when (select max(m.rank) from matched m) > most_replayed then max(t.id) end as cut_at,
               (select max(m.looked_up_to) from matched m) as looked_up_to,
               (select max(m.looked_at) from matched m) as looked_at
          into found
          from taken t;
        if found.looked_up_to is not null then
            if found.ids is not null then
                perform inbox.put_replayed(
                    replay.flow, wanted, replay.missing_only, replay.on_stale, replay.who, found.ids,
                    found.message_ids, found.types, found.versions, found.keys, found.edited_ids);
            end if;
            update inbox.replay r
               set position = coalesce(found.cut_at, found.looked_up_to),
                   looked_at = r.looked_at + case when found.cut_at is null then found.looked_at else 0 end,
                   replayed = r.replayed + coalesce(cardinality(found.ids), 0),
                   next_id = (select e.id from outbox.event e where e.id > coalesce(found.cut_at, found.looked_up_to)
                               order by e.id limit 1)
             where r.id = wanted
            returning r.* into replay;
        end if;
        if found.looked_up_to is null or replay.position >= replay.upto then
            -- What came meanwhile, and was taken up before an earlier event of its key was put in front of it, has to
            -- follow that. A round that has put in nothing has left nothing to follow.
            select max(e.id) into newest from outbox.event e;
            if newest > replay.upto and replay.replayed > replay.replayed_before and replay.until is null
               and not replay.missing_only and replay.on_stale <> 'apply' then
                update inbox.replay r set upto = newest, replayed_before = r.replayed where r.id = wanted;
            else
                -- At once: the end must not wait for room that it does not need.
                update inbox.replay r set state = 'done', ended_at = clock_timestamp() where r.id = wanted;
            end if;
        end if;
    end if;
    return query select r.state, r.looked_at, r.replayed, is_waiting from inbox.replay r where r.id = wanted;
end
$$;
comment on function inbox.replay_some is
    'Goes on with a replay: looks at no more than "most" events, puts no more than "most_replayed" of them into the inbox, and moves its position, all in one transaction. While "most_waiting" deliveries of the flow wait for a call it only says so, because its intake must not stop for a replay. At the end of its range it goes on with what has come meanwhile and must follow what it has put in. What was edited is applied as it was edited, and its audit row says so. Refused once retention has removed what was not looked at yet, and for what is missing once the inbox may have forgotten it ("remembered_seconds"). Returns how far it is. Killed anywhere, it has happened as a whole or not at all.';
revoke all on function inbox.replay_some from public;
grant execute on function inbox.replay_some to outbox_adapter;
