create or replace function outbox.processes()
returns table (
    name text, program text, settings_hash text, settings_age_seconds double precision, refusal text,
    refused_age_seconds double precision
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select p.name, p.program, p.settings_hash,
           extract(epoch from clock_timestamp() - p.settings_since)::double precision,
           p.refusal,
           extract(epoch from clock_timestamp() - p.refused_at)::double precision
      from outbox.process p
     where p.seen_until > clock_timestamp()
     order by p.program, p.name
$$;
comment on function outbox.processes is
    'The processes that run: by which settings, for how long, and why newer ones are not in effect (null: they are).';
revoke all on function outbox.processes from public;
grant execute on function outbox.processes to outbox_relay, outbox_adapter;
