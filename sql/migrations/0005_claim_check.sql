-- Claim checks: whoever consumes large events may fetch their payloads, and nothing else of the outbox.

do $$
begin
    if not exists (select from pg_roles where rolname = 'outbox_reader') then
        begin
            create role outbox_reader nologin;
        exception
            -- Roles belong to the cluster: another database may have been migrated at the same moment.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role outbox_reader does not exist and this user may not create it'
                    using errcode = 'OB005',
                          hint = 'run "create role outbox_reader nologin" as a superuser, then migrate again';
        end;
    end if;
end
$$;

-- It gets another parameter.
drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[]
);

grant usage on schema outbox to outbox_adapter, outbox_reader;
