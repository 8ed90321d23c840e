-- A window whose target never told leaves a row that says so, instead of nothing.

alter table outbox.reconciliation
    drop constraint reconciliation_verdict_is_known,
    add constraint reconciliation_verdict_is_known check (verdict in ('agrees', 'late', 'disagrees', 'untold'));
comment on column outbox.reconciliation.verdict is
    'agrees: within the tolerance. late: not, but what is missing waits or is parked. disagrees: something is missing, or too much, and nobody knows why. untold: given up after six periods, nobody knows what it comes to.';
