-- When a flow last got a message, so that silence is seen by whoever was promised events.

create table inbox.last_arrival (
    flow    text        primary key,
    last_at timestamptz not null default now()
) with (fillfactor = 50);
comment on table inbox.last_arrival is
    'When a flow last accepted messages, to ten seconds: written that often at most, because every accept would pay for more.';
insert into inbox.last_arrival (flow) select distinct flow from inbox.lane;
grant select, insert, update on inbox.last_arrival to outbox_adapter;

drop function if exists inbox.observe(text, text, integer, double precision);
