create or replace function inbox.tell_circuit(
    wanted_flow    text,
    ids            bigint[],
    signals        text[],
    reasons        text[],
    pauses_seconds double precision[],
    are_shared     boolean[],
    are_final      boolean[],
    failures       integer,
    first_seconds  double precision,
    max_seconds    double precision
)
returns table (flow text, state text, reason text, seconds double precision, needs_a_person boolean, is_throttled boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    now       timestamptz;
    circuit   inbox.circuit;
    told      record;
    pause     double precision;
    suspected bigint[];
begin
    insert into inbox.circuit (flow) values (wanted_flow) on conflict do nothing;
    if true = any (are_shared) then
        -- All that it may write, in one order: two flows of a connection may be told to throttle at once.
        perform from inbox.circuit c
          where c.flow = wanted_flow
             or c.connection = (select own.connection from inbox.circuit own where own.flow = wanted_flow)
          order by c.flow for update;
    end if;
    select c.* into circuit from inbox.circuit c where c.flow = wanted_flow for update;
    now := clock_timestamp();
    -- A half open circuit listens to its probes alone, the latest and those before it that took long, an open one to
    -- nobody: what comes back began before it opened. That the target wants fewer calls is true whenever it is said.
    select bool_or(true) filter (where t.is_heard) as is_heard,
           coalesce(bool_or(t.signal = 'works') filter (where t.is_heard), false) as has_worked,
           bool_or(t.signal = 'throttle') as is_throttled,
           coalesce(bool_or(t.signal = 'stop') filter (where t.is_heard), false) as must_stop,
           coalesce(bool_or(t.is_final) filter (where t.is_heard), false) as is_final,
           max(t.reason) filter (where t.signal = 'stop' and t.is_heard) as stop_reason,
           max(t.reason) filter (where t.signal = 'trouble' and t.is_heard) as trouble_reason,
           coalesce(max(t.pause_seconds) filter (where t.signal = 'trouble' and t.is_heard), 0) as trouble_seconds,
           max(t.reason) filter (where t.signal = 'throttle') as throttle_reason,
           coalesce(max(t.pause_seconds) filter (where t.signal = 'throttle'), 0) as pause_seconds,
           coalesce(max(t.pause_seconds) filter (where t.signal = 'throttle' and t.is_shared), 0) as shared_seconds,
           coalesce(array_agg(distinct t.id) filter (where t.signal = 'trouble' and t.is_heard), '{}') as troubled
      into told
      from (
            select u.*,
                   circuit.state = 'closed'
                   or circuit.state = 'half_open'
                      and exists (select from inbox.delivery d
                                   where d.id = u.id and d.began_at >= circuit.changed_at) as is_heard
              from unnest(ids, signals, reasons, pauses_seconds, are_shared, are_final)
                   u(id, signal, reason, pause_seconds, is_shared, is_final)
           ) t;

    if told.is_heard is null then
        suspected := circuit.suspects;
    elsif told.must_stop or (circuit.state = 'half_open' and cardinality(told.troubled) > 0) then
        suspected := null;
    elsif circuit.state = 'closed' and not told.has_worked and not told.is_throttled then
        select array_agg(distinct u.id) into suspected from unnest(circuit.suspects || told.troubled) u(id);
        if cardinality(suspected) >= failures then
            suspected := null;
        end if;
    else
        suspected := '{}';
    end if;

    if suspected is null then
        -- Open. One that had hardly been closed opens for longer.
        circuit.openings := case when circuit.state = 'half_open'
                                      or circuit.changed_at > now - make_interval(secs => max_seconds)
                                 then circuit.openings + 1 else 1 end;
        pause := greatest(
            least(max_seconds, first_seconds * power(2, least(circuit.openings - 1, 32))) * (0.5 + random() / 2),
            told.trouble_seconds);
        update inbox.circuit c
           set state = 'open', probe = null, suspects = '{}', openings = circuit.openings, changed_at = now,
               changed_by = null, needs_a_person = told.must_stop,
               reason = coalesce(told.stop_reason, told.trouble_reason, 'the target fails'),
               until = case when told.is_final then 'infinity' else now + make_interval(secs => pause) end
         where c.flow = wanted_flow;
        return query
            select wanted_flow, 'open', coalesce(told.stop_reason, told.trouble_reason, 'the target fails'),
                   case when not told.is_final then pause end, told.must_stop, false;
    elsif circuit.state = 'half_open' and told.is_heard then
        update inbox.circuit c
           set state = 'closed', until = null, probe = null, needs_a_person = false, reason = null, changed_at = now,
               changed_by = null
         where c.flow = wanted_flow;
        return query select wanted_flow, 'closed', circuit.reason, null::double precision, false, false;
    elsif suspected <> circuit.suspects then
        update inbox.circuit c set suspects = suspected where c.flow = wanted_flow;
    end if;

    return query
        update inbox.circuit c
           set throttled_until = now + make_interval(secs => p.seconds), throttle_reason = told.throttle_reason
          from inbox.circuit o
         cross join lateral (select case when o.flow = wanted_flow then told.pause_seconds
                                         else told.shared_seconds end as seconds) p
         where told.is_throttled and c.flow = o.flow and (o.flow = wanted_flow or o.connection = circuit.connection)
           and p.seconds > 0
           and now + make_interval(secs => p.seconds) > coalesce(o.throttled_until, '-infinity')
        returning c.flow, c.state, told.throttle_reason, p.seconds, false, true;
end
$$;
comment on function inbox.tell_circuit is
    'Tells a flow''s circuit what calls have shown of the target (works, trouble, stop, throttle), and returns what changed by it. Closed: "stop" opens it, or trouble with enough different deliveries in a row. Half open: the probe decides, or one before it that took longer than a minute. It stays open at least as long as the target asks for with "trouble". What throttles and "is_shared" pauses all flows of the connection. Locks the circuit''s row, or those of the connection in the order of the flows'' names, after any lane''s.';
revoke all on function inbox.tell_circuit from public;
grant execute on function inbox.tell_circuit to outbox_adapter;
