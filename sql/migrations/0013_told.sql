-- What is given up without a word, and what people do with circuits, can be looked up.

-- What was skipped, oldest first: by a person, or as stale. Few rows, and nobody else pays for it.
create index delivery_skipped on inbox.delivery (flow, id) where state = 'skipped';

drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[], boolean, text, integer,
    bigint[], integer[]);

create table inbox.circuit_change (
    id            bigint      generated always as identity primary key,
    changed_at    timestamptz not null default clock_timestamp(),
    flow          text        not null,
    from_state    text        not null,
    to_state      text        not null,
    who           text        not null,
    database_user text        not null default session_user,
    why           text        not null,
    constraint circuit_change_state_is_known check (to_state in ('open', 'closed'))
);
create index circuit_change_of_flow on inbox.circuit_change (flow, id);
comment on table inbox.circuit_change is
    'Append-only: which circuits people opened and closed, and why. Written by inbox.set_circuit only, never pruned: what circuits do by themselves is not in it.';
comment on column inbox.circuit_change.who is
    'Whom the command was told, or who is logged in where it ran; database_user is what the database knows.';
grant select, insert on inbox.circuit_change to outbox_adapter;
