"""docs/adapters.md against the settings that it describes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from adapters.build import build
from adapters.http_target import HttpTarget
from adapters.registry import ADAPTERS
from adapters.rest_rules import Rule, StatusWord
from adapters.rest_settings import Operation, RecoveryWord, RestSettings
from adapters.rest_shapes import Batch, Idempotency, JobRequest, LookUpRequest
from adapters.rest_totals import TotalsRequest
from adapters.webhook_settings import WebhookSettings
from outbox.config.load import load
from outbox.model.connection import ClientCredentials, Connection

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SECRET = "whsec_" + "QUFB" * 10


def _section(heading: str) -> str:
    _, _, rest = re.split(rf"^(###?) {re.escape(heading)}$", TEXT, maxsplit=1, flags=re.MULTILINE)
    return re.split(r"^###? ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def _keys(rows_of_table: str) -> set[str]:
    rows = re.findall(r"^\| (`[^|]+) \|", rows_of_table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_an_adapter_is_valid(number: int, tmp_path: Path) -> None:
    file = tmp_path / "outbox.yaml"
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    file.write_text(re.sub(r"file:/run/secrets/[a-z-]+", f"file:{secret}", EXAMPLES[number]), encoding="utf-8")

    settings = load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )

    assert settings.connections
    for flow in settings.flows.values():
        build(flow.adapter.settings, HttpTarget(settings.connections[flow.adapter.connection]))


def _table(heading: str, first: str) -> set[str]:
    """Return the keys of the table whose first column is called so, in a section."""
    rows = _section(heading).split(f"| {first} | what it is | default |\n", 1)[1].split("\n\n", 1)[0]
    return _keys(rows)


TABLES: list[tuple[str, str, type[BaseModel]]] = [
    ("Connections", "key", Connection),
    ("webhook", "key", WebhookSettings),
    ("rest", "key", RestSettings),
    ("An operation", "key", Operation),
    ("When nobody knows how a call ended", "`idempotency`", Idempotency),
    ("Many records in one call", "`batch`", Batch),
    ("Totals", "`totals`", TotalsRequest),
]


@pytest.mark.parametrize(("heading", "first", "model"), TABLES)
def test_every_key_of_an_adapter_has_a_row_and_every_row_a_key(
    heading: str, first: str, model: type[BaseModel]
) -> None:
    assert _table(heading, first) == set(model.model_fields)


@pytest.mark.parametrize(
    ("heading", "start", "model"),
    [
        ("When nobody knows how a call ended", "`look_up`:", LookUpRequest),
        ("When nobody knows how a call ended", "`job`:", JobRequest),
        ("What an answer means", "The first rule", Rule),
    ],
)
def test_every_key_of_a_part_is_told(heading: str, start: str, model: type[BaseModel]) -> None:
    told = set(re.findall(r"`([a-z0-9_]+)`", _section(heading).split(start, 1)[1]))
    assert set(model.model_fields) <= told


def test_every_outcome_and_every_recovery_has_a_row() -> None:
    assert _keys(_section("What an answer means").split("| outcome |")[1].split("\n\n")[0]) == set(get_args(StatusWord))
    told = _section("When nobody knows how a call ended").split("| `recovery` |")[1].split("\n\n")[0]
    assert {row.split("`")[1] for row in told.splitlines() if row.startswith("| `")} == set(get_args(RecoveryWord))


def test_every_key_of_a_client_is_told() -> None:
    told = set(re.findall(r"`([a-z0-9_]+)`", _section("Connections").split("**`oauth2`.**")[1]))
    assert set(ClientCredentials.model_fields) <= told


def test_every_adapter_has_a_section() -> None:
    assert set(re.findall(r"^## ([a-z]+)$", TEXT, re.MULTILINE)) == set(ADAPTERS)
