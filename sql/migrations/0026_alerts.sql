-- Alerts: what is wrong, since when, and who was told of it.

create table outbox.alert (
    id           bigint           generated always as identity primary key,
    broken_at    timestamptz      not null,
    raised_at    timestamptz,
    calm_at      timestamptz,
    over_at      timestamptz,
    seen_at      timestamptz      not null,
    hold_seconds double precision not null,
    level        integer          not null,
    subject      text             not null,
    rule         text             not null,
    text         text             not null,
    owner        text,
    runbook      text,
    link         text,
    constraint alert_end_is_after_its_begin check (over_at is null or raised_at is not null)
) with (fillfactor = 70);
comment on table outbox.alert is
    'What is wrong with a flow, a stream or the settings, one row from its begin to its end. Holds no payload and no secret. Those that are over are kept for alerts.keep.';
comment on column outbox.alert.raised_at is
    'When it had been so for hold_seconds; null: it has not yet, and nobody is told.';
comment on column outbox.alert.calm_at is
    'Since when it is well again; it is over once that has lasted for alerts.over_after, so that what comes and goes is one alert.';
comment on column outbox.alert.seen_at is
    'When somebody last looked. What nobody looks at any more is not told again and again.';
comment on column outbox.alert.level is
    'How much of it there is, where that means something: more of it is told.';

create unique index alert_stands on outbox.alert (subject, rule) where over_at is null;
create index alert_over on outbox.alert (over_at) where over_at is not null;

create table outbox.alert_route (
    id           bigint      generated always as identity primary key,
    next_at      timestamptz not null default '-infinity',
    leased_until timestamptz not null default '-infinity',
    sent_at      timestamptz,
    failed_at    timestamptz,
    epoch        integer     not null default 0,
    failures     integer     not null default 0,
    channel      text        not null,
    recipients   text[]      not null,
    last_error   text,
    constraint alert_route_is_unique unique (channel, recipients)
) with (fillfactor = 70);
comment on table outbox.alert_route is
    'Who gets one message about all that is new: a channel, and for mail its recipients. One process at a time writes to it.';
comment on column outbox.alert_route.next_at is
    'Not before this: the least time between two messages, or the pause after a failure.';
comment on column outbox.alert_route.epoch is
    'Raised by each process that begins to write; an end that carries an older one is refused.';

create table outbox.alert_notice (
    alert_id      bigint  not null references outbox.alert on delete cascade,
    route_id      bigint  not null references outbox.alert_route on delete cascade,
    told_at       timestamptz,
    over_told_at  timestamptz,
    told_level    integer not null default 0,
    primary key (alert_id, route_id)
) with (fillfactor = 70);
comment on table outbox.alert_notice is
    'What of an alert a route was told, and when: that it stands (told_at, the last time), and that it is over.';
create index alert_notice_open on outbox.alert_notice (route_id) where over_told_at is null;

grant select on outbox.alert, outbox.alert_route, outbox.alert_notice to outbox_relay, outbox_adapter;
