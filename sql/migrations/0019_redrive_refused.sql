-- A copy that is moved back says how many of its like cannot be tried again.

drop function if exists inbox.accept(
    text, text[], bigint[], text[], integer[], text[], text[], bytea[], text[], text[], text[], boolean, text, integer,
    bigint[], integer[]);
