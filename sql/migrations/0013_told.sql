-- What is given up without a word, and what people do with circuits, can be looked up.

-- What was skipped, oldest first: by a person, or as stale. Few rows, and nobody else pays for it.
create index delivery_skipped on inbox.delivery (flow, id) where state = 'skipped';

drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[], boolean, text, integer,
    bigint[], integer[]);
