create or replace function inbox.is_active(wanted_flow text, wanted_key text, after_sequence bigint default -1)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from inbox.delivery d
         where d.flow = wanted_flow and d.key = wanted_key and d.state not in ('applied', 'skipped') and not d.is_passed
           and d.sequence > after_sequence
           and (d.state in ('applying', 'retry', 'in_doubt') or (d.state = 'ready' and (d.attempt > 0 or after_sequence < 0)))
    );
end
$$;
comment on function inbox.is_active is
    'Whether a delivery of this key, of those behind a sequence, has been taken up and is not finished. Without a sequence also: whether one may be taken up now.';
revoke all on function inbox.is_active from public;
grant execute on function inbox.is_active to outbox_adapter;
