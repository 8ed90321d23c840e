create or replace function inbox.replayable(
    wanted_flow  text,
    patterns     text[],
    wanted_key   text,
    since        timestamptz,
    until        timestamptz,
    missing_only boolean,
    after        bigint,
    upto         bigint,
    most         integer
)
returns table (
    id bigint, event_id uuid, type text, version integer, key text, created_at timestamptz, looked_up_to bigint,
    looked_at integer
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
        select f.id, f.event_id, f.type, f.version, f.key, f.created_at, looked_up_to, looked_at
          from (select 1) always
          left join lateral (
               select e.* from outbox.event e
                where e.id > after and e.id <= looked_up_to
                  and (wanted_key is null or e.key = wanted_key)
                  and (since is null or e.created_at >= since)
                  and (until is null or e.created_at < until)
                  and '.' || e.type ~ any (patterns)
                  -- What is not published yet comes by itself.
                  and not exists (
                      select from outbox.cursor c
                       where (c.lanes = 1 or outbox.lane_of(e.key, e.id, c.lanes) = c.lane)
                         and not outbox.is_passed(e.id, e.tx, c.previous, c.current, c.position, c.horizon))
                  and case when missing_only
                           then not exists (select from inbox.delivery d
                                             where d.flow = wanted_flow and d.message_id = e.event_id::text)
                           else exists (select from inbox.delivery d
                                         where d.flow = wanted_flow and d.message_id = e.event_id::text
                                           and d.state in ('applied', 'skipped'))
                                and not exists (select from inbox.delivery d
                                                 where d.flow = wanted_flow and d.message_id = e.event_id::text
                                                   and d.state not in ('applied', 'skipped'))
                      end
               ) f on true
         order by f.id;
end
$$;
comment on function inbox.replayable is
    'The events with ids above "after" that a replay would take, looking at no more than "most" rows: those that the flow has finished, or with "missing_only" those that it never had. What is still on its way, or dead, is left alone. Always says up to which id it has looked (also when nothing matched: one row without an id); no row at all: the end. Reads the primary key, and no payload.';
revoke all on function inbox.replayable from public;
grant execute on function inbox.replayable to outbox_adapter;
