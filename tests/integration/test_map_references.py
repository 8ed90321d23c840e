"""What ``outbox map`` shows of ids that would be looked up, and what is done while they are not known."""

from __future__ import annotations

from pathlib import Path

from tests.kit.cli import FLOW, one_flow
from tests.kit.verbs import Verbs


async def test_what_is_waited_for_and_which_way_is_looked_up_is_explained(tmp_path: Path) -> None:
    ours = Verbs(tmp_path)
    xref: dict[str, object] = {"entity": "order", "system": "crm"}
    first = {"missing": "create_first", "flow": "others"}
    chain = [
        {"xref": xref | {"to": "key"}},
        {"xref": xref | {"missing": "wait", "within": "30m"}},
        {"xref": xref | first},
    ]
    settings = one_flow()
    flows = settings["flows"]
    assert isinstance(flows, dict)
    flows["others"] = flows[FLOW] | {"links": xref}
    flows[FLOW] = dict(flows[FLOW])
    rules = [{"source_field": "order_ref", "target_field": "deal", "transform": chain}]
    flows[FLOW]["mapping"] = rules
    ours.settings(settings)
    (tmp_path / "sample.json").write_text('{"order_ref": "so-1"}', encoding="utf-8")

    told = await ours("map", FLOW, str(tmp_path / "sample.json"), "--explain", "--format", "json")

    (field,) = told.json()["fields"]
    assert field["transforms"] == ["xref to key", "xref (waits 30m)", "xref (asks others, waits 1h)"]
    assert field["value"] == "<crm id of order <crm id of order <our key of order so-1 of crm>>>"
