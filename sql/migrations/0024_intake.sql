-- The inbound way: which requests have become events, and which were refused.

create schema intake;
comment on schema intake is 'Webhooks and commands from outside: each becomes one event in outbox.event, or a refusal that can be found.';

create table intake.received (
    received_at timestamptz not null default clock_timestamp(),
    keep_until  timestamptz not null,
    event_id    uuid        not null,
    body_sha256 bytea       not null,
    source      text        not null,
    name        text        not null,
    constraint received_pkey primary key (source, name),
    constraint received_name_fits check (octet_length(name) between 1 and 255 and octet_length(source) between 1 and 127),
    constraint received_hash_is_one check (octet_length(body_sha256) = 32)
);
create index received_keep_until on intake.received (keep_until);
comment on table intake.received is
    'What was taken, by the name that its sender gave it: written in the transaction of its event, so that both are there or neither is. While a row is here, what comes again under its name is the same event.';
comment on column intake.received.source is 'A source of the settings, or "commands." and the name of a client.';
comment on column intake.received.name is
    'The provider''s id of the event, or sha256: and a hash of the payload, or a client''s idempotency key.';
comment on column intake.received.keep_until is 'Until then it is remembered, at least.';

create table intake.refused (
    id           bigint      generated always as identity primary key,
    refused_at   timestamptz not null default clock_timestamp(),
    requests     integer     not null,
    status       integer     not null,
    body_bytes   integer     not null,
    source       text        not null,
    reason       text        not null,
    remote       text        not null,
    detail       text        not null,
    header_names text[]      not null,
    constraint refused_is_small
        check (octet_length(source) <= 127 and octet_length(reason) <= 63 and octet_length(remote) <= 127
               and octet_length(detail) <= 1000 and octet_length(header_names::text) <= 4000)
);
create index refused_source on intake.refused (source, id);
comment on table intake.refused is
    'Requests that were refused: when, why, from where; never anything of a body, and of headers only the names. The newest of each source are kept, so that nobody outside can fill the disk.';
comment on column intake.refused.source is 'Empty: the address names no source.';
comment on column intake.refused.requests is
    'How many were refused for the same reason within about a second; the other columns are of the first of them.';

do $$
begin
    if not exists (select from pg_roles where rolname = 'outbox_intake') then
        begin
            create role outbox_intake nologin;
        exception
            -- Roles belong to the cluster: another database may have been migrated at the same moment.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role outbox_intake does not exist and this user may not create it'
                    using errcode = 'OB005',
                          hint = 'run "create role outbox_intake nologin" as a superuser, then migrate again';
        end;
    end if;
end
$$;
grant usage on schema intake to outbox_intake;
grant select on intake.refused to outbox_intake;
