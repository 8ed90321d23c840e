-- Replay: a key never ends with an older state than it had.

alter table inbox.replay
    add column on_stale        text   not null default 'park',
    add column planned_upto    bigint,
    add column replayed_before bigint not null default 0,
    add constraint replay_on_stale_is_known check (on_stale in ('park', 'skip', 'apply'));
update inbox.replay set planned_upto = upto;
alter table inbox.replay
    alter column on_stale drop default,
    alter column planned_upto set not null;
comment on column inbox.replay.on_stale is 'What its flow does with an event that comes after a later one of its key.';
comment on column inbox.replay.upto is 'It looks at events up to this id; behind "planned_upto" only for those that must follow what it has put in.';
comment on column inbox.replay.planned_upto is 'The newest event when it began.';
comment on column inbox.replay.replayed_before is 'What it had put into the inbox when it began the present round of its range.';

-- They get other parameters.
drop function if exists inbox.begin_replay(
    text, text[], text, timestamptz, timestamptz, boolean, boolean, boolean, double precision, text, text);
drop function if exists inbox.replayable(
    text, text[], text, timestamptz, timestamptz, boolean, boolean, boolean, bigint, bigint, integer);
drop function if exists inbox.is_overtaken(text, text, bigint, integer);
