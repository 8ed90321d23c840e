create or replace function outbox.rebase_start(
    wanted_stream text, choice text, from_sequence bigint, since timestamptz
)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case choice
             when 'resume' then (select u.first_sequence from outbox.unpassed(wanted_stream) u)
             when 'all' then (select min(e.id) from outbox.event e)
             when 'from' then (select min(e.id) from outbox.event e where e.id >= from_sequence)
             -- Created at its transaction's begin: an id above may have an earlier time, and is in the range all the same.
             when 'since' then (select min(e.id + 0) from outbox.event e where e.created_at >= since)
           end;
end
$$;
comment on function outbox.rebase_start is
    'The first id of the range that a rebase would publish again; it ends with the newest row. Null: no row. resume: the first one that the saved cursor has not passed.';
revoke all on function outbox.rebase_start from public;
grant execute on function outbox.rebase_start to outbox_relay;
