create or replace function intake.take(
    sources       text[],
    names         text[],
    body_hashes   bytea[],
    types         text[],
    versions      integer[],
    keys          text[],
    payloads      text[],
    headers       text[],
    signed_at     double precision[],
    windows       double precision[],
    keep_seconds  double precision[],
    are_commands  boolean[]
)
returns table (state text, event_id uuid)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Plans are made while the tables may be empty; then, too, a name is found by its index.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    at     constant double precision := extract(epoch from clock_timestamp());
    states text[];
    fresh  uuid[] := '{}';
    won    uuid[];
    ids    uuid[];
    hashes bytea[];
begin
    -- A command that somebody else is just taking is not waited for: its sender is told so. The locks go with this
    -- transaction, however it ends.
    select array_agg(case when d.signed_at < at - d.window_seconds then 'stale'
                          when d.signed_at > at + d.window_seconds then 'early'
                          when d.is_command and not pg_try_advisory_xact_lock(
                                   hashtextextended(d.source || '/' || d.name, 7236843)) then 'in_progress'
                     end order by d.place)
      into states
      from unnest(take.sources, take.names, take.signed_at, take.windows, take.are_commands)
           with ordinality d (source, name, signed_at, window_seconds, is_command, place);
    loop
        -- In one order for all, so that two transactions cannot wait for each other. Waits for another one that has
        -- just written a name: it rolls back, and we win, or it commits.
        with first as (
            select distinct on (d.source, d.name) d.source, d.name, d.body_sha256, d.keep_seconds
              from unnest(take.sources, take.names, take.body_hashes, take.keep_seconds, states)
                   with ordinality d (source, name, body_sha256, keep_seconds, state, place)
             where d.state is null
             order by d.source, d.name, d.place
        ), written as (
            insert into intake.received as r (source, name, body_sha256, event_id, keep_until)
            select f.source, f.name, f.body_sha256, gen_random_uuid(),
                   clock_timestamp() + make_interval(secs => f.keep_seconds)
              from first f
             order by f.source, f.name
            on conflict on constraint received_pkey do nothing
            returning r.event_id
        )
        select coalesce(array_agg(w.event_id), '{}') into won from written w;
        fresh := fresh || won;
        -- The answer is what is read here: a name whose time is over may be forgotten at any moment after it.
        select array_agg(r.event_id order by d.place), array_agg(r.body_sha256 order by d.place)
          into ids, hashes
          from unnest(take.sources, take.names, states) with ordinality d (source, name, state, place)
          left join intake.received r on d.state is null and r.source = d.source and r.name = d.name;
        -- Forgotten in between.
        exit when not exists (select from unnest(states, ids) d (state, id) where d.state is null and d.id is null);
    end loop;
    insert into outbox.event (type, version, key, payload, headers, event_id)
    select f.type, f.version, f.key, f.payload::json, f.headers::json, f.event_id
      from (select distinct on (d.event_id) d.type, d.version, d.key, d.payload, d.headers, d.event_id, d.place
              from unnest(take.types, take.versions, take.keys, take.payloads, take.headers, ids)
                   with ordinality d (type, version, key, payload, headers, event_id, place)
             where d.event_id = any (fresh)
             order by d.event_id, d.place) f
     order by f.place;
    return query
    select case when d.state is not null then d.state
                when d.event_id = any (fresh)
                     and row_number() over (partition by d.event_id order by d.place) = 1 then 'new'
                when d.body_sha256 = d.taken_sha256 then 'known'
                else 'changed'
           end,
           d.event_id
      from unnest(take.body_hashes, states, ids, hashes)
           with ordinality d (body_sha256, state, event_id, taken_sha256, place)
     order by d.place;
end
$$;
comment on function intake.take is
    'Takes events from outside, each once: a row in intake.received and one in outbox.event, in one transaction, in the order of the arrays. Returns a row for each, in their order: new; known (its name was taken before: that event''s id); changed (known, but with another content: nothing is added); in_progress (a command whose name another transaction is just taking); stale or early (what the sender has signed, in seconds since 1970, is not within the window around this server''s clock; null: no time was signed). A name that another transaction is just writing is waited for, unless it is a command''s. Raises check_violation and data errors for what outbox.event cannot hold: then nothing at all is taken. Touches intake.received and outbox.event.';
revoke all on function intake.take from public;
grant execute on function intake.take to outbox_intake;
