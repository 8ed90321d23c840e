create or replace function outbox.release_capture("table" regclass)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
    found_trigger name;
    is_released   boolean := false;
begin
    for found_trigger in
        select t.tgname from pg_trigger t
         where t.tgrelid = release_capture."table" and t.tgname like '!outbox\_%' and not t.tgisinternal
    loop
        execute format('drop trigger %I on %s', found_trigger, release_capture."table");
        is_released := true;
    end loop;
    return is_released;
end
$$;
comment on function outbox.release_capture is
    'Ends outbox.capture of a table; events that it has written stay. False: it was not captured. Only the table''s owner may. Takes ACCESS EXCLUSIVE on the table for a moment and gives up after 5 s of waiting (lock_not_available): try again.';
revoke all on function outbox.release_capture from public;
grant execute on function outbox.release_capture to outbox_writer;
