"""``outbox reconcile`` over flows of which some cannot be compared, and over windows of odd ends."""

from __future__ import annotations

import json
from pathlib import Path

from outbox.model.errors import ExitCode
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.verbs import Verbs

_FLOW = {
    "description": "Orders are told to a partner",
    "events": ["order.confirmed"],
    "adapter": {
        "use": "rest",
        "connection": "partner",
        "idempotency": {"window": "24h"},
        "operations": {"*": {"method": "POST", "path": "/deals", "external_id": "id"}},
    },
    "mapping": [{"source_field": "order_ref", "target_field": "ref"}],
}
_SPAN = ("--from", "2026-01-01", "--to", "2100-01-01")


def flows(folder: Path, **reconcile: object) -> None:
    """Write settings with a flow for each, in this order."""
    content = {
        "log": {"level": "error"},
        "postgres": {"statement_timeout": "1s"},
        "connections": {"partner": {"base_url": "http://127.0.0.1:9", "bearer": "none"}},
        "flows": {name: _FLOW | {"reconcile": chosen} for name, chosen in reconcile.items()},
    }
    (folder / "outbox.yaml").write_text(json.dumps(content), encoding="utf-8")


async def test_a_wrong_query_is_told_and_the_other_flows_are_compared(cli: Cli, database: Database) -> None:
    wrong = {"committed": {"query": "select count(*) as count from public.no_such_table"}}
    slow = {"committed": {"query": "select count(*) as count from pg_sleep(60)"}}
    flows(cli.folder, one={}, wrong=wrong, slow=slow, other={})
    ended = await Verbs(cli.folder, database.url)("reconcile", *_SPAN, "--format", "json")
    assert [document["flow"] for document in json.loads(ended.out)] == ["one", "other"]
    assert "wrong: flows.wrong.reconcile.committed: the query cannot be used: 42P01" in ended.err
    assert "slow: " in ended.err
    assert ended.code == ExitCode.MISCONFIGURED


async def test_a_window_of_fractions_of_seconds_is_refused(cli: Cli, database: Database) -> None:
    flows(cli.folder, one={})
    outbox = Verbs(cli.folder, database.url)
    for option, span in (
        ("--from", ("--from", "2026-01-01T00:00:00.5", "--to", "2026-01-02")),
        ("--to", ("--from", "2026-01-01", "--to", "2026-01-02T00:00:00.000001Z")),
    ):
        ended = await outbox("reconcile", *span)
        assert ended.code == ExitCode.USAGE
        assert f"{option}: " in ended.err
        assert "has a fraction of a second" in ended.err
