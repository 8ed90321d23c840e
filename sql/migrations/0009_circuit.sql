-- One circuit for each flow: whether its target is called at all, shared by the processes that apply it.

create table inbox.circuit (
    flow            text        primary key,
    state           text        not null default 'closed',
    until           timestamptz,
    probe           bigint,
    suspects        bigint[]    not null default '{}',
    openings        integer     not null default 0,
    needs_a_person  boolean     not null default false,
    reason          text,
    changed_at      timestamptz not null default clock_timestamp(),
    changed_by      text,
    throttled_until timestamptz,
    throttle_reason text,
    constraint circuit_state_is_known check (state in ('closed', 'open', 'half_open')),
    constraint circuit_open_has_a_time check ((state = 'closed') = (until is null)),
    constraint circuit_open_has_a_reason check (state = 'closed' or reason is not null),
    constraint circuit_half_open_has_a_probe check ((state = 'half_open') = (probe is not null)),
    constraint circuit_only_closed_suspects check (state = 'closed' or suspects = '{}')
) with (fillfactor = 50);
comment on table inbox.circuit is
    'Whether a flow''s target is called. Written when something changes, never for a call that went well.';
comment on column inbox.circuit.until is
    'Open: when the next probe may be sent; infinity: when a person closes it. Half open: when the probe is given up.';
comment on column inbox.circuit.suspects is
    'Deliveries whose calls failed since the target last showed that it works; enough of them open the circuit.';
comment on column inbox.circuit.openings is
    'How often it has opened without being closed for long; each time it stays open longer.';
comment on column inbox.circuit.changed_by is 'The person who opened or closed it; null: the runtime did.';
insert into inbox.circuit (flow) select distinct flow from inbox.lane;
grant select, insert, update on inbox.circuit to outbox_adapter;

drop function if exists inbox.status(integer);
