-- What people decide about parked deliveries, by which cause they are grouped, and which copies on the broker are outdated.

alter table inbox.delivery
    add column deaths       integer not null default 0,
    add column parked_at    timestamptz,
    add column reason_group text;
-- What was parked before has one group for each class of reasons.
update inbox.delivery
   set deaths = (state = 'dead')::integer,
       parked_at = coalesce(settled_at, last_sent_at, accepted_at),
       reason_group = left(encode(sha256(convert_to(concat_ws(e'\n', flow, reason_class), 'UTF8')), 'hex'), 10)
 where state = 'dead' or (state = 'in_doubt' and due_at is null);
alter table inbox.delivery
    add constraint delivery_group_is_dated check ((parked_at is null) = (reason_group is null));
comment on column inbox.delivery.deaths is
    'How often it became dead. Its copy in the dead-letter queue carries the number: a copy with a smaller one is outdated.';
comment on column inbox.delivery.parked_at is 'Since when it waits for a person; null when it does not.';
comment on column inbox.delivery.reason_group is 'What has the same cause has the same one; see inbox.reason_group.';

create index delivery_parked_state on inbox.delivery (flow, state, id) where parked_at is not null;
create index delivery_parked_group on inbox.delivery (reason_group, id) include (flow, state, parked_at)
    where reason_group is not null;

alter table inbox.message add column edited_body bytea;
comment on table inbox.message is
    'The bytes of a delivery, apart from its row: a delivery is updated several times, what came over the wire never.';
comment on column inbox.message.edited_body is 'What is applied instead, after "outbox dead edit"; inbox.resolution says who wrote it.';

create table inbox.resolution (
    id                 bigint      generated always as identity primary key,
    delivery_id        bigint      not null,
    resolved_at        timestamptz not null default clock_timestamp(),
    due_at             timestamptz,
    flow               text        not null,
    action             text        not null,
    who                text        not null,
    database_user      text        not null default session_user,
    why                text,
    from_state         text        not null,
    to_state           text        not null,
    reason             text,
    reason_class       text,
    external_id        text,
    body_sha256_before bytea,
    body_sha256_after  bytea,
    constraint resolution_action_is_known
        check (action in ('retry', 'edit', 'skip', 'discard', 'happened', 'not_happened', 'redrive')),
    constraint resolution_says_why check (action in ('retry', 'redrive') or why is not null),
    constraint resolution_edit_is_traced
        check ((action = 'edit') = (body_sha256_before is not null and body_sha256_after is not null))
);
create index resolution_of_delivery on inbox.resolution (delivery_id);
create index resolution_spread on inbox.resolution (flow, due_at) where due_at is not null;
comment on table inbox.resolution is
    'Append-only: what people (and RabbitMQ''s own tools, as "rabbitmq") did with deliveries. Written by inbox.resolve only.';
comment on column inbox.resolution.who is 'Whom the command was told, or who is logged in where it ran; database_user is what the database knows.';
comment on column inbox.resolution.reason is 'Of the delivery, before: why a person had to act.';
comment on column inbox.resolution.due_at is 'Where its place is when retries are spread by a rate.';

create table inbox.outdated_copy (
    delivery_id bigint  not null,
    death       integer not null,
    flow        text    not null,
    primary key (delivery_id, death)
);
comment on table inbox.outdated_copy is
    'Copies that may still be in dead.<flow> although their delivery is not dead any more, or died again. A consumer takes them out, then deletes the row.';

grant select, insert on inbox.resolution to outbox_adapter;
grant select, insert, delete on inbox.outdated_copy to outbox_adapter;
grant update (edited_body) on inbox.message to outbox_adapter;

-- They get other parameters or results.
drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[], boolean, text);
drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[], boolean, text, integer);
drop function if exists inbox.dead_letters(text, text, integer);
drop function if exists inbox.dead_letters_published(bigint[]);
