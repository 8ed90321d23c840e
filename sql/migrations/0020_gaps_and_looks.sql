-- A replay that is slower than retention says so, and does not end as if it had looked at everything.

alter table inbox.replay add column next_id bigint;
comment on column inbox.replay.next_id is
    'The first event behind "position" when that was written; null: there was none. When it is gone, retention was faster.';
drop function if exists inbox.replay_some(integer, integer, integer, integer);

-- How a flow stands is looked for where it was found before, as what is due.
drop function if exists inbox.observe(text, text, integer);

-- Whoever fetches is told when the circuit changed, and need not ask whether it is open.
drop function if exists inbox.is_left_alone(text);
drop function if exists inbox.fetch(text, text, bigint[], smallint[], integer, boolean, double precision);
