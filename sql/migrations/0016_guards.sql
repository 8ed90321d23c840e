-- Of two calls of a key at once, nobody could say which one took effect last.

create unique index delivery_applying_key on inbox.delivery (flow, key) where state = 'applying' and key is not null;
comment on index inbox.delivery_applying_key is 'Never two calls of one key at once, whoever begins them.';

-- A walk through a dead-letter queue ends the notes that it has read, and not one that was made again meanwhile.
alter table inbox.outdated_copy add column noted bigint generated always as identity;
comment on column inbox.outdated_copy.noted is 'Another number whenever a copy is noted again: it may have come since.';
grant update (noted) on inbox.outdated_copy to outbox_adapter;

drop function if exists inbox.outdated_copies(text, text, integer);
drop function if exists inbox.forget_copies(bigint[], integer[]);
