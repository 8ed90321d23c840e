-- The business tables of a small ERP. They know nothing of the outbox.
create schema if not exists erp;

create table if not exists erp.customer (
    name text primary key,
    revision integer not null default 0,
    orders integer not null default 0,
    open_amount numeric(14, 2) not null default 0
);

comment on column erp.customer.revision is
    'Counts the customer''s confirmed orders. Its row lock is what puts the orders of one customer in sequence.';

create table if not exists erp.sales_order (
    order_ref text primary key,
    customer text not null references erp.customer (name),
    status text not null,
    revision integer not null,
    amount numeric(12, 2) not null,
    currency text not null,
    updated_at timestamptz not null default clock_timestamp(),
    unique (customer, revision)
);

comment on column erp.sales_order.revision is
    'The customer''s revision at the confirmation: 1, 2, 3 … without a gap, in the order of commit.';

create table if not exists erp.activity (
    id bigint generated always as identity primary key,
    customer text not null,
    note text not null,
    at timestamptz not null default clock_timestamp()
);

comment on table erp.activity is
    'What a transaction writes first when it is to hold a transaction id long before it touches a customer.';

create sequence if not exists erp.order_number;

comment on sequence erp.order_number is
    'A rolled back order''s number is never given out again, so its event could be recognised if it ever appeared.';
