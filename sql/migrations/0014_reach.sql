-- A look for what is due says how far back it reaches.

drop function if exists inbox.fetch(text, text, bigint[], smallint[], integer, boolean);
