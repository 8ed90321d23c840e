-- The business tables of the ERP. They know nothing of the outbox.
create schema if not exists erp;

create table if not exists erp.customer (
    number text primary key,
    name text not null,
    orders integer not null default 0
);

comment on column erp.customer.orders is
    'Counts the confirmed orders. The lock of this row puts the orders of one customer in sequence.';

create table if not exists erp.article (
    number text primary key,
    name text not null,
    on_hand integer not null check (on_hand >= 0),
    reserved integer not null default 0 check (reserved >= 0)
);

create table if not exists erp.sales_order (
    number text primary key,
    web_order text unique,
    reference text not null,
    customer text not null references erp.customer (number),
    state text not null check (state in ('new', 'confirmed', 'shipped')),
    customer_order integer,
    currency text not null,
    total numeric(12, 2) not null,
    document jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    confirmed_at timestamptz
);

comment on column erp.sales_order.document is
    'What the shop has sent. The same order again is known by it; another one under the same number is refused.';

create table if not exists erp.order_line (
    order_number text not null references erp.sales_order (number),
    line integer not null,
    article text not null references erp.article (number),
    quantity integer not null check (quantity > 0),
    unit_price numeric(12, 2) not null,
    primary key (order_number, line)
);

create table if not exists erp.shipment (
    number text primary key,
    order_number text not null unique references erp.sales_order (number),
    carrier text not null,
    tracking_number text not null,
    sent_at timestamptz not null
);

create sequence if not exists erp.order_number start 1001;
create sequence if not exists erp.shipment_number start 2001;

insert into erp.customer (number, name) values
    ('C-1001', 'Anna Berg'), ('C-1002', 'Bo Lind'), ('C-1003', 'Cleo Marin')
on conflict do nothing;

insert into erp.article (number, name, on_hand) values
    ('A-100', 'Coffee, 1 kg', 50), ('A-200', 'Mug', 20), ('A-300', 'Kettle', 5)
on conflict do nothing;
