"""docs/adapters.md against the settings that it describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from adapters.registry import ADAPTERS
from adapters.webhook_settings import WebhookSettings
from outbox.config.load import load
from outbox.model.connection import ClientCredentials, Connection

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SECRET = "whsec_" + "QUFB" * 10


def _section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _keys(section: str) -> set[str]:
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
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
        ADAPTERS[flow.adapter.use].build(flow.adapter.settings, settings.connections[flow.adapter.connection])


@pytest.mark.parametrize(("heading", "model"), [("Connections", Connection), ("webhook", WebhookSettings)])
def test_every_key_of_an_adapter_has_a_row_and_every_row_a_key(heading: str, model: type[BaseModel]) -> None:
    assert _keys(_section(heading)) == set(model.model_fields)


def test_every_key_of_a_client_is_told() -> None:
    told = set(re.findall(r"`([a-z0-9_]+)`", _section("Connections").split("**`oauth2`.**")[1]))
    assert set(ClientCredentials.model_fields) <= told


def test_every_adapter_has_a_section() -> None:
    assert set(re.findall(r"^## ([a-z]+)$", TEXT, re.MULTILINE)) == set(ADAPTERS) - {"rest"}
