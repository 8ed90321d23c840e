create or replace function outbox.observe(wanted_stream text)
returns table (
    cursor_state       text,
    is_waiting         boolean,
    oldest_age_seconds double precision,
    holder_pid         integer,
    holder_transactions bigint,
    holder_age_seconds double precision
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby' using errcode = 'OB003', hint = 'point postgres.url at the primary';
    end if;
    if not exists (select from outbox.cursor c where c.stream = wanted_stream) then
        perform outbox.no_such_stream(wanted_stream);
    end if;
    return query
        -- Not the epoch: who takes the lead again and again moves nothing.
        select c.previous || ' ' || coalesce(c.current::text, '') || ' ' || c.position,
               w.events > 0, w.oldest_age_seconds, h.pid, h.transactions, h.age_seconds
          from outbox.cursor c
         cross join lateral outbox.waiting(c.stream, 1) w
          left join lateral (
                -- pid, backend_xid and backend_xmin are shown to everybody; when it began only to who may read statistics.
                select a.pid,
                       greatest(age(a.backend_xmin), age(a.backend_xid))::bigint as transactions,
                       extract(epoch from clock_timestamp() - a.xact_start)::double precision as age_seconds
                  from pg_stat_activity a
                 where (a.backend_xmin is not null or a.backend_xid is not null) and a.pid <> pg_backend_pid()
                 order by greatest(age(a.backend_xmin), age(a.backend_xid)) desc
                 limit 1
               ) h on true
         where c.stream = wanted_stream;
end
$$;
comment on function outbox.observe is
    'What a watchdog must know of a stream, apart from the relay''s own words: the saved cursor as one text (it changes whenever anything is published), whether committed events wait behind it and how old the oldest is, and which session holds the oldest transaction or snapshot (it keeps dead rows of the whole database alive; it does not hold up the relay). Constant cost. OB011: the outbox has another number of lanes.';
revoke all on function outbox.observe from public;
grant execute on function outbox.observe to outbox_relay;
