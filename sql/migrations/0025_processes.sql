-- Which processes run, and by which settings: a process that has refused newer ones says so to others.

create table outbox.process (
    name           text        primary key,
    program        text        not null,
    settings_hash  text        not null,
    settings_since timestamptz not null default clock_timestamp(),
    refusal        text,
    refused_at     timestamptz,
    seen_until     timestamptz not null,
    constraint process_refusal_has_a_time check ((refusal is null) = (refused_at is null))
) with (fillfactor = 50);
comment on table outbox.process is
    'The processes of the sidecar that run. A row that is past seen_until counts as gone.';
comment on column outbox.process.settings_hash is
    'Differs between processes with different settings; says nothing of their secrets.';
comment on column outbox.process.refusal is
    'Why newer settings are not in effect; null: the process works by what it has read last.';

grant usage on schema outbox to outbox_intake;
grant select, insert, update, delete on outbox.process to outbox_relay, outbox_adapter, outbox_intake;
