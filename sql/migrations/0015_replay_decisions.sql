-- Replay: what people decided stays decided, the rate is remembered, and whoever goes on with one or ends it is written down.

alter table inbox.replay
    add column rate_per_s    double precision,
    add column moved_at      timestamptz not null default clock_timestamp(),
    add column with_skipped  boolean     not null default false,
    add column with_happened boolean     not null default false,
    add constraint replay_rate_is_positive check (rate_per_s > 0);
update inbox.replay set moved_at = coalesce(ended_at, started_at);
-- What was begun before had taken them, and goes on so.
update inbox.replay set with_skipped = true, with_happened = true where state = 'running';
comment on column inbox.replay.rate_per_s is
    'Events per second that whoever runs it puts into the inbox; null: as fast as there is room.';
comment on column inbox.replay.moved_at is
    'When it last made a step, also one that found no room. Long ago and still running: its process is gone.';
comment on column inbox.replay.with_skipped is
    'Whether it takes what was skipped: by a person, as no event of the flow (discard), or as stale.';
comment on column inbox.replay.with_happened is
    'Whether it takes what a person has noted as applied (dead resolve --happened).';

create table inbox.replay_decision (
    id            bigint           generated always as identity primary key,
    replay_id     integer          not null references inbox.replay (id),
    decided_at    timestamptz      not null default clock_timestamp(),
    action        text             not null,
    who           text             not null,
    database_user text             not null default session_user,
    why           text,
    rate_per_s    double precision,
    constraint replay_decision_action_is_known check (action in ('start', 'resume', 'cancel')),
    constraint replay_decision_says_why check (action = 'resume' or why is not null)
);
create index replay_decision_of_replay on inbox.replay_decision (replay_id);
comment on table inbox.replay_decision is
    'Append-only: who started a replay, went on with it, or ended it. Written by the functions of replays only.';
grant select on inbox.replay_decision to outbox_adapter;

comment on table inbox.resolution is
    'Append-only: what people (and RabbitMQ''s own tools, as "rabbitmq") did with deliveries. Written by inbox.resolve, and by inbox.replay_some for edits that a replay carries on.';

-- They get other parameters or results.
drop function if exists inbox.replay_horizon();
drop function if exists inbox.begin_replay(text, text[], text, timestamptz, timestamptz, boolean, text, text);
drop function if exists inbox.replayable(
    text, text[], text, timestamptz, timestamptz, boolean, bigint, bigint, integer);
drop function if exists inbox.replay_some(integer, integer, integer);
drop function if exists inbox.cancel_replay(integer);
drop function if exists inbox.verdict(inbox.delivery, text, boolean, boolean);
drop function if exists inbox.resolve(
    text, bigint[], text, text, text, text, bytea, boolean, double precision);
drop function if exists inbox.story(text, text, boolean, integer);
