"""What comes in from outside is held to its contract before it is an event."""

from __future__ import annotations

import json
from pathlib import Path

from outbox.config.contracts import ContractSettings
from tests.kit.database import Database
from tests.kit.intake import intake_settings, order, partner_of

CANARY = "CANARY-0815"


async def test_a_webhook_that_breaks_its_contract_is_refused_by_path_rule_and_kind(
    database: Database, tmp_path: Path
) -> None:
    contract = tmp_path / "contracts" / "order.placed" / "1.json"
    contract.parent.mkdir(parents=True)
    data = {"type": "object", "properties": {"note": {"maxLength": 3}}}
    contract.write_text(json.dumps({"properties": {"data": data}}), encoding="utf-8")
    settings = intake_settings(database, tmp_path).model_copy(
        update={"contracts": ContractSettings(directory=str(tmp_path / "contracts"))}
    )
    body = json.dumps({"type": "order.placed", "data": {"order": "SO-1", "note": CANARY}}).encode()

    async with partner_of(database, settings) as partner:
        taken = await partner.partner(order())
        refused = await partner.partner(body, name="msg_2")

    assert (taken.status, refused.status, refused.problem) == (202, 422, "contract-violated")
    assert "order.placed@1: /data/note: rule maxLength (3), found a string" in json.dumps(refused.document)
    assert CANARY not in json.dumps(refused.document)
    assert await database.value("select count(*) from outbox.event") == 1
