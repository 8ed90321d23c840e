create or replace function inbox.verdict(
    d inbox.delivery, wanted_action text, even_stale boolean, even_unanswered boolean, has_body boolean
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when d.state = 'applying' then 'under_way'
        when d.state in ('applied', 'skipped') then 'finished'
        when wanted_action in ('retry', 'edit', 'redrive') then case
            when d.state = 'in_doubt' then 'in_doubt'
            when d.state <> 'dead' then 'not_dead'
            when d.reason_class = 'not_an_envelope' then 'no_envelope'
            when d.reason_class = 'payload_gone' and not has_body
                 and not exists (select from inbox.message m where m.delivery_id = d.id and m.edited_body is not null)
                then 'no_payload'
            when not even_stale and inbox.is_overtaken(d.flow, d.key, d.sequence, d.generation, d.id) then 'stale'
            when not even_unanswered and inbox.is_unanswered(d) then 'unanswered'
            else 'done' end
        when wanted_action = 'discard' then case
            when d.state <> 'dead' then 'not_dead'
            when d.attempt > 0 then 'was_sent'
            else 'done' end
        when wanted_action = 'happened' then case when d.state in ('in_doubt', 'dead') then 'done' else 'not_in_doubt' end
        when wanted_action = 'not_happened' then case when d.state = 'in_doubt' then 'done' else 'not_in_doubt' end
        when wanted_action = 'skip' then 'done'
        else 'no_action'
    end;
end
$$;
comment on function inbox.verdict is
    'Whether a person may do this with a delivery as it is now: "done", or the one word why not. Retry, edit and redrive take what is dead, was an envelope, has a payload, was not overtaken (unless said) and had no call without an answer before (unless said); discard what is dead and was never sent; happened what is in doubt or dead; not_happened what is in doubt; skip everything that is not finished and not under way.';
revoke all on function inbox.verdict from public;
grant execute on function inbox.verdict to outbox_adapter;
