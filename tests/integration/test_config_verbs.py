"""``outbox config``: what is in effect, and the form of the settings for editors."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from outbox.model.errors import ExitCode
from tests.kit.cli import FLOW, Cli, one_flow


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


async def test_the_schema_is_printed_without_settings_and_takes_what_config_shows(cli: Cli) -> None:
    schema = (await cli("config", "schema", OUTBOX_PG_URL="", OUTBOX_AMQP_URL="")).json()
    cli.settings(one_flow())
    shown = (await cli("config", "--json")).json()
    assert list(shown["flows"]) == [FLOW]
    assert [error.message for error in Draft202012Validator(schema).iter_errors(shown)] == []


async def test_config_shows_what_included_files_say_and_names_the_file_of_a_problem(cli: Cli) -> None:
    cli.settings({"include": ["flows/*.yaml"]})
    (cli.folder / "flows").mkdir()
    included = cli.folder / "flows" / "relay.yaml"
    included.write_text("relay: {source: /shop}\n", encoding="utf-8")
    shown = (await cli("config", "--json")).json()
    assert shown["relay"]["source"] == "/shop"
    assert "include" not in shown

    included.write_text("relay: {suorce: /shop}\n", encoding="utf-8")
    told = (await cli("config")).refusal(ExitCode.MISCONFIGURED)
    assert "flows/relay.yaml:1:9 relay.suorce: unknown key; did you mean 'source'?" in told
