-- Reconciliation: what was counted and summed of a flow, window by window, and how it compared.

create table outbox.reconciliation (
    id           bigint      generated always as identity primary key,
    flow         text        not null,
    since        timestamptz not null,
    until        timestamptz not null,
    began_at     timestamptz not null default clock_timestamp(),
    leased_until timestamptz not null,
    ended_at     timestamptz,
    epoch        integer     not null default 1,
    verdict      text,
    result       json,
    constraint reconciliation_is_unique unique (flow, until, since),
    constraint reconciliation_window_is_one check (since < until),
    constraint reconciliation_verdict_is_known check (verdict in ('agrees', 'late', 'disagrees')),
    constraint reconciliation_end_is_whole
        check ((ended_at is null) = (verdict is null) and (ended_at is null) = (result is null))
);
comment on table outbox.reconciliation is
    'One window of one flow: which process looks at it, and what came of it. The newest 400 of each flow are kept.';
comment on column outbox.reconciliation.leased_until is
    'Until when nobody else begins it; the process that looks renews it, by the database''s clock.';
comment on column outbox.reconciliation.epoch is
    'Raised by each process that begins it; a result that carries an older one is refused.';
comment on column outbox.reconciliation.verdict is
    'agrees: within the tolerance. late: not, but what is missing waits or is parked. disagrees: something is missing, or too much, and nobody knows why.';
comment on column outbox.reconciliation.result is
    'Counts and sums (text, exact) by place and currency, and the first events that differ. Holds amounts: not for logs.';
grant select on outbox.reconciliation to outbox_adapter, outbox_relay;
