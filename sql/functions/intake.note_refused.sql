create or replace function intake.note_refused(
    sources      text[],
    reasons      text[],
    statuses     integer[],
    requests     integer[],
    body_bytes   integer[],
    remotes      text[],
    details      text[],
    header_names text[]
)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into intake.refused (source, reason, status, requests, body_bytes, remote, detail, header_names)
    select d.source, d.reason, d.status, d.requests, d.body_bytes, d.remote, d.detail,
           string_to_array(d.header_names, ',')
      from unnest(note_refused.sources, note_refused.reasons, note_refused.statuses, note_refused.requests,
                  note_refused.body_bytes, note_refused.remotes, note_refused.details, note_refused.header_names)
           with ordinality d (source, reason, status, requests, body_bytes, remote, detail, header_names, place)
     order by d.place;
$$;
comment on function intake.note_refused is
    'Notes requests that were refused. How many rows that may be in a second is the caller''s to bound; how many stay is intake.prune_refused''s.';
revoke all on function intake.note_refused from public;
grant execute on function intake.note_refused to outbox_intake;
