-- A look at what waits for ids reaches so far back only: it takes that, and gets when each look was due.

drop function if exists inbox.waits(text, text, integer);
