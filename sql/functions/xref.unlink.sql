create or replace function xref.unlink(wanted_entity text, wanted_system text, key text, by_whom text, reason text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    former text;
begin
    perform pg_advisory_xact_lock(1869968482, hashtext('xref ' || wanted_entity || ' ' || wanted_system));
    delete from xref.link l
     where l.entity = wanted_entity and l.system = wanted_system and l.canonical_key = unlink.key
    returning l.external_id into former;
    if former is not null then
        insert into xref.change (entity, system, canonical_key, former_id, action, source, who, why)
        values (wanted_entity, wanted_system, unlink.key, former, 'unlink', 'person', by_whom, reason);
    end if;
    return former;
end
$$;
comment on function xref.unlink is
    'Takes away what a canonical key stands for in a system, with a row in xref.change; returns the external id, null: there was none.';
revoke all on function xref.unlink from public;
grant execute on function xref.unlink to outbox_adapter;
