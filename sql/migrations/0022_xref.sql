-- Which record of another system stands for which of ours: canonical keys and the ids of each system, unique both ways.

create schema xref;
revoke all on schema xref from public;

create table xref.link (
    entity        text        not null,
    system        text        not null,
    canonical_key text        not null,
    external_id   text        not null,
    linked_at     timestamptz not null default clock_timestamp(),
    source        text        not null,
    linked_by     text        not null,
    primary key (entity, system, canonical_key),
    constraint link_external_id_is_one_record unique (entity, system, external_id),
    constraint link_names_are_words check (entity ~ '^[a-z][a-z0-9_-]{0,62}$' and system ~ '^[a-z][a-z0-9_-]{0,62}$'),
    constraint link_key_is_short check (octet_length(canonical_key) between 1 and 255),
    constraint link_external_id_is_short check (octet_length(external_id) between 1 and 1024),
    constraint link_source_is_known check (source in ('receipt', 'import', 'person'))
);
comment on table xref.link is
    'The record of a system that stands for one of ours. One external id for each canonical key of an entity, and one canonical key for each external id.';

create table xref.change (
    id            bigint      generated always as identity primary key,
    changed_at    timestamptz not null default clock_timestamp(),
    entity        text        not null,
    system        text        not null,
    canonical_key text        not null,
    external_id   text,
    former_id     text,
    former_key    text,
    action        text        not null,
    source        text        not null,
    who           text        not null,
    database_user text        not null default session_user,
    why           text,
    constraint change_action_is_known check (action in ('link', 'replace', 'unlink', 'conflict'))
);
comment on table xref.change is
    'Append-only: every link that was made, replaced, taken away, or refused because it contradicts another; who, when, why.';
comment on column xref.change.former_id is 'The id that the key had, or has where the change was refused.';
comment on column xref.change.former_key is 'The key that the id belonged to, or belongs to where the change was refused.';
create index change_of_key on xref.change (entity, system, canonical_key, id);
create index change_of_conflict on xref.change (id) where action = 'conflict';

grant usage on schema xref to outbox_adapter;
grant select, insert, update, delete on xref.link to outbox_adapter;
grant select, insert on xref.change to outbox_adapter;

-- Receipts link what they name, in the transaction that settles their call, and so does a person who resolves a doubt.
alter table inbox.circuit
    add column link_entity text,
    add column link_system text,
    add constraint circuit_links_are_whole check ((link_entity is null) = (link_system is null));
comment on column inbox.circuit.link_entity is 'What the keys of the flow name, for the cross-reference; null: nothing.';
comment on column inbox.circuit.link_system is 'In which system the external ids of its receipts stand for them.';
drop function if exists inbox.register_flow(text, integer, text);
drop function if exists inbox.settle(
    text, text, bigint[], bigint[], text[], text[], double precision[], boolean[], boolean[], boolean[], text[], integer[],
    text[], text[], text[], text[], boolean
);
