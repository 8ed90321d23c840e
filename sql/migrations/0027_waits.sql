-- Deliveries that wait for an id of another system: not due, looked at again, in their place.

alter table inbox.delivery
    add column look_at     timestamptz,
    add column waits_since timestamptz,
    add column waits_until timestamptz,
    add column waits_for   jsonb,
    drop constraint delivery_runnable_is_due,
    add constraint delivery_runnable_is_due
        check (state not in ('ready', 'retry') or (due_at is null) <> (look_at is null)),
    add constraint delivery_wait_is_whole
        check (look_at is null or (state in ('ready', 'retry') and waits_since is not null and waits_until is not null
                                   and waits_for is not null and reason is not null and reason_class is not null));
comment on column inbox.delivery.look_at is
    'When is looked again whether the ids that it waits for are linked. Null: it waits for none; with it due_at is null.';
comment on column inbox.delivery.waits_since is
    'Since when it has lacked an id, of those that its mapping waits for; kept until its next call.';
comment on column inbox.delivery.waits_until is 'When it is a dead letter.';
comment on column inbox.delivery.waits_for is
    'The ids that it waits for, or waited for when it became dead: entity, system, what it is looked up by, and whether the id or our key is wanted.';

-- What is looked at again, and what waits, oldest first; both are empty where nothing waits.
create index delivery_look on inbox.delivery (flow, lane, look_at) where look_at is not null;
create index delivery_waits on inbox.delivery (flow, id) where look_at is not null;

-- Replays that a flow has asked for, because its deliveries wait for ids that the receipts of another one link.
alter table inbox.replay add column asked_by text;
comment on column inbox.replay.asked_by is
    'The flow whose deliveries wait for the ids that come of it (inbox.create_first); null: a person wanted it.';

-- They get other results.
drop function if exists inbox.observe(text, text, integer, double precision);
drop function if exists inbox.status(integer);
drop function if exists inbox.story(text, text, boolean, integer);
