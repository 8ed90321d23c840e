-- Least privilege: three group roles, to be granted to the login roles of the application, the relay and the adapters.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['outbox_writer', 'outbox_relay', 'outbox_adapter'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                -- Roles belong to the cluster: another database may have been migrated at the same moment.
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise exception 'role % does not exist and this user may not create it', wanted
                        using errcode = 'OB005',
                              hint = format('run "create role %s nologin" as a superuser, then migrate again', wanted);
            end;
        end if;
    end loop;
end
$$;

grant usage on schema outbox to outbox_writer, outbox_relay;
grant insert (type, version, key, payload, headers) on outbox.event to outbox_writer;
grant select on outbox.event to outbox_relay;
grant select, update on outbox.cursor to outbox_relay;
grant select on outbox.partition to outbox_relay;
grant select, insert on outbox.rejected to outbox_relay;

grant usage on schema inbox to outbox_adapter;
grant select, insert, update on inbox.lane to outbox_adapter;
grant select, insert, update, delete on inbox.consumer to outbox_adapter;
grant select, insert, update on inbox.delivery to outbox_adapter;
grant select, insert on inbox.message to outbox_adapter;
grant select, insert on inbox.attempt to outbox_adapter;
