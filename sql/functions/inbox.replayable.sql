create or replace function inbox.replayable(
    wanted_flow   text,
    patterns      text[],
    wanted_key    text,
    since         timestamptz,
    until         timestamptz,
    missing_only  boolean,
    with_skipped  boolean,
    with_happened boolean,
    on_stale      text,
    after         bigint,
    upto          bigint,
    most          integer,
    running       integer default null,
    planned_upto  bigint default null
)
returns table (
    id bigint, event_id uuid, type text, version integer, key text, created_at timestamptz, former_id bigint,
    is_edited boolean, left_out text, looked_up_to bigint, looked_at integer
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set row_security = off
as $$
#variable_conflict use_column
begin
    select max(s.id), count(*)::integer into looked_up_to, looked_at
      from (select e.id from outbox.event e where e.id > after and e.id <= upto order by e.id limit most) s;
    if looked_up_to is null then
        return;
    end if;
    return query
        select f.id, f.event_id, f.type, f.version, f.key, f.created_at, f.former_id, f.is_edited,
               case when f.is_rejected then 'rejected'
                    when f.state = 'skipped' and not with_skipped
                    then case when f.is_skipped then 'skipped' when f.is_discarded then 'discarded' else 'stale' end
                    when f.is_happened and not with_happened then 'happened'
                    when f.is_overtaken then 'overtaken' end,
               looked_up_to, looked_at
          from (select 1) always
          left join lateral (
               select e.*, d.id as former_id, d.state, r.*,
                      d.id is null and exists (select from outbox.rejected j where j.sequence = e.id) as is_rejected,
                      -- The key would end with an older state than it has: the newest that took effect is not taken.
                      newest.id is not null and not (
                          '.' || newest.type ~ any (patterns)
                          and exists (select from outbox.event l
                                       where l.id = newest.sequence
                                         and (since is null or l.created_at >= since)
                                         and (until is null or l.created_at < until))
                          and (newest.state = 'applied' or with_skipped)
                          and (with_happened
                               or not exists (select from inbox.resolution n
                                               where n.delivery_id = newest.id and n.action = 'happened'))
                      ) as is_overtaken
                 from outbox.event e
                 left join lateral (
                      select x.id, x.state from inbox.delivery x
                       where x.flow = wanted_flow and x.message_id = e.event_id::text
                       order by x.generation desc limit 1
                      ) d on true
                cross join lateral (
                      -- A delivery that is finished stays so: whatever was decided about it, ended it.
                      select coalesce(bool_or(r.action = 'edit'), false) as is_edited,
                             coalesce(bool_or(r.action = 'skip'), false) as is_skipped,
                             coalesce(bool_or(r.action = 'discard'), false) as is_discarded,
                             coalesce(bool_or(r.action = 'happened'), false) as is_happened
                        from inbox.resolution r where r.delivery_id = d.id
                      ) r
                 left join lateral (
                      select x.id, x.sequence, x.type, x.state from inbox.delivery x
                       where x.flow = wanted_flow and x.key = e.key and x.state in ('applied', 'skipped')
                         and x.sequence > e.id and (x.state = 'applied' or x.first_sent_at is not null)
                         and on_stale <> 'apply' and not missing_only
                       order by x.sequence desc limit 1
                      ) newest on true
                where e.id > after and e.id <= looked_up_to
                  and (planned_upto is null or e.id <= planned_upto
                       or exists (select from inbox.delivery g
                                   where g.flow = wanted_flow and g.key = e.key and g.generation = running
                                     and g.sequence < e.id and g.id > d.id))
                  and (wanted_key is null or e.key = wanted_key)
                  and (since is null or e.created_at >= since)
                  and (until is null or e.created_at < until)
                  and '.' || e.type ~ any (patterns)
                  -- What is not published yet comes by itself.
                  and not exists (
                      select from outbox.cursor c
                       where (c.lanes = 1 or outbox.lane_of(e.key, e.id, c.lanes) = c.lane)
                         and not outbox.is_passed(e.id, e.tx, c.previous, c.current, c.position, c.horizon))
                  and case when missing_only then d.id is null
                           else d.state in ('applied', 'skipped')
                                and not exists (select from inbox.delivery x
                                                 where x.flow = wanted_flow and x.message_id = e.event_id::text
                                                   and x.state not in ('applied', 'skipped'))
                      end
               ) f on true
         order by f.id;
end
$$;
comment on function inbox.replayable is
    'The events with ids above "after" that a replay would take, looking at no more than "most" rows: those that the flow has finished, or with "missing_only" those that it never had. What is still on its way, or dead, is left alone. "left_out": it is not taken, because its newest delivery was skipped (by a person: skipped, discarded; by on_stale: stale) or noted as applied by a person (happened), and that was not asked for; or because the newest event of its key that took effect would not be taken after it (overtaken), unless "on_stale" is apply; or because it was never published and never will be (rejected), for example because it breaks its contract: a replay must not be a way around that. Behind "planned_upto" only what was taken up before an earlier event of its key that the replay "running" has put into the inbox: it is applied again after that. "is_edited": its newest delivery, "former_id", has an edited body. Always says up to which id it has looked (also when nothing matched: one row without an id); no row at all: the end. Reads the primary key, and no payload.';
revoke all on function inbox.replayable from public;
grant execute on function inbox.replayable to outbox_adapter;
