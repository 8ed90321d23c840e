create or replace function outbox.capture_begin()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    open_name text := 'outbox.open_' || tg_relid;
    told_name text := 'outbox.told_' || tg_relid;
    is_open   text := nullif(current_setting(open_name, true), '');
begin
    if is_open is null and current_setting(told_name, true) <> '' then
        perform set_config(told_name, '', true);
    end if;
    perform set_config(open_name, concat(is_open || ' ', left(tg_op, 1),
                                         coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0)), true);
    return null;
end
$$;
comment on function outbox.capture_begin is
    'Trigger, before a statement on a captured table: notes, until the transaction ends, that the statement is under way and where the sequence of event ids stood. See outbox.capture_order.';
revoke all on function outbox.capture_begin from public;
grant execute on function outbox.capture_begin to outbox_writer;
