create or replace function inbox.parked(
    wanted_flow   text,
    wanted_states text[],
    wanted_type   text,
    wanted_group  text,
    wanted_key    text,
    since         timestamptz,
    until         timestamptz,
    after_id      bigint,
    wanted        integer
)
returns table (
    id bigint, flow text, state text, type text, version integer, key text, sequence bigint, message_id text,
    attempts integer, deaths integer, parked_at timestamptz, due_at timestamptz, reason_class text, reason text,
    reason_group text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
#variable_conflict use_column
begin
    return query
        select d.id, d.flow, d.state, d.type, d.version, d.key, d.sequence, d.message_id, d.attempt, d.deaths, d.parked_at,
               coalesce(d.due_at, d.look_at), d.reason_class, d.reason, d.reason_group
          from (select distinct l.flow from inbox.lane l where wanted_flow is null or l.flow = wanted_flow) f
         cross join unnest(wanted_states) s(state)
         cross join lateral (
               -- Walks in order of id, whatever is asked for: through what is parked, what waits, and what was skipped.
               (select p.* from inbox.delivery p
                 where p.flow = f.flow and p.state = s.state and p.parked_at is not null and p.id > after_id
                   and (wanted_group is null or p.reason_group = wanted_group)
                   and (wanted_type is null or '.' || p.type ~ wanted_type)
                   and (wanted_key is null or p.key = wanted_key)
                   and (since is null or p.parked_at >= since) and (until is null or p.parked_at < until)
                 order by p.id limit wanted)
               union all
               (select w.* from inbox.delivery w
                 where s.state in ('retry', 'blocked') and wanted_group is null
                   and w.flow = f.flow and w.state = s.state and w.state in ('retry', 'blocked') and w.id > after_id
                   and (wanted_type is null or '.' || w.type ~ wanted_type)
                   and (wanted_key is null or w.key = wanted_key)
                   and (since is null or w.accepted_at >= since) and (until is null or w.accepted_at < until)
                 order by w.id limit wanted)
               union all
               (select w.* from inbox.delivery w
                 where s.state = 'ready' and wanted_group is null and w.state = 'ready'
                   -- Few beside what is due: found by the places that were given to them.
                   and w.id = any (array(select r.delivery_id from inbox.resolution r
                                          where r.flow = f.flow and r.due_at > now()))
                   and w.due_at > now() and w.id > after_id
                   and (wanted_type is null or '.' || w.type ~ wanted_type)
                   and (wanted_key is null or w.key = wanted_key)
                   and (since is null or w.accepted_at >= since) and (until is null or w.accepted_at < until)
                 order by w.id limit wanted)
               union all
               (select w.* from inbox.delivery w
                 where s.state = 'ready' and wanted_group is null
                   and w.flow = f.flow and w.state = 'ready' and w.look_at is not null and w.id > after_id
                   and (wanted_type is null or '.' || w.type ~ wanted_type)
                   and (wanted_key is null or w.key = wanted_key)
                   and (since is null or w.accepted_at >= since) and (until is null or w.accepted_at < until)
                 order by w.id limit wanted)
               union all
               (select k.* from inbox.delivery k
                 where s.state = 'skipped' and wanted_group is null
                   and k.flow = f.flow and k.state = 'skipped' and k.id > after_id
                   and (wanted_type is null or '.' || k.type ~ wanted_type)
                   and (wanted_key is null or k.key = wanted_key)
                   and (since is null or k.settled_at >= since) and (until is null or k.settled_at < until)
                 order by k.id limit wanted)
               ) d
         order by d.id
         limit wanted;
end
$$;
comment on function inbox.parked is
    'What waits for a person (dead, in_doubt), and on demand what waits by itself (retry, blocked), for its place after a decision with a rate or for ids of other systems (ready), or was given up (skipped), in order of id behind "after_id". Every filter may be null. "wanted_type" is a regular expression over the type with a dot before it; times are of the parking, of the arrival of what waits, or of the skipping.';
revoke all on function inbox.parked from public;
grant execute on function inbox.parked to outbox_adapter;
