create or replace function inbox.is_behind(wanted_flow text, wanted_key text, wanted_sequence bigint)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
               select from inbox.delivery d
                where d.flow = wanted_flow and d.key = wanted_key and d.state not in ('applied', 'skipped')
                  and not d.is_passed and d.sequence < wanted_sequence
           ) or inbox.is_active(wanted_flow, wanted_key, wanted_sequence);
end
$$;
comment on function inbox.is_behind is
    'Whether a delivery of this key and sequence has to wait: an earlier one is not finished, or a later one is being applied. What is dead and passed holds up nobody.';
revoke all on function inbox.is_behind from public;
grant execute on function inbox.is_behind to outbox_adapter;
