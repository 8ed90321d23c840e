-- What the benchmark needs beside the outbox: a loader, the ERP's business rows, and the usual outbox as the rival.

create schema bench;

create procedure bench.fill(target regclass, events bigint, per_transaction integer, payload_bytes integer)
language plpgsql
as $$
declare
    -- '{"order":1000000001,"lines":"…"}': the padding brings the text to the asked size.
    padding constant text := repeat('x', greatest(payload_bytes - 31, 1));
    first bigint := 1;
begin
    while first <= events loop
        execute format(
            'insert into %s (type, key, payload)
             select ''order.confirmed'', ''SO-'' || n %% 5000,
                    (''{"order":'' || 1000000000 + n || '',"lines":"'' || $1 || ''"}'')::json
               from generate_series($2, least($2 + $3 - 1, $4)) n',
            target
        ) using padding, first, per_transaction, events;
        commit;
        first := first + per_transaction;
    end loop;
end
$$;
comment on procedure bench.fill is
    'Commits that many events in transactions of per_transaction rows each.';

create table bench.account (id integer primary key, balance bigint not null default 0) with (fillfactor = 50);

create table bench.plain (
    id         bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    type       text        not null,
    key        text,
    payload    json        not null
);

create procedure bench.reset_erp()
language plpgsql
as $$
begin
    truncate bench.account, bench.plain, outbox.event;
    insert into bench.account (id) select n from generate_series(1, 10000) n;
end
$$;
comment on procedure bench.reset_erp is
    'Gives every measurement the same tables to begin with.';

-- The outbox as it is usually written, by people who know what they do: a partial index that holds what waits and
-- nothing else, and an autovacuum that comes early and is not held back.
create schema rival;
create table rival.event (
    id           bigint generated always as identity primary key,
    event_id     uuid        not null default gen_random_uuid(),
    created_at   timestamptz not null default now(),
    version      integer     not null default 1,
    type         text        not null,
    key          text,
    payload      json        not null,
    headers      json,
    published_at timestamptz
) with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000
);
create index event_waiting on rival.event (id) where published_at is null;
