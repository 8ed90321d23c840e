"""docs/intake.md against the settings, problems and metrics that it describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from adapters.registry import ADAPTERS
from outbox.app_intake import commands_of, senders, source_of
from outbox.config.intake import CommandClient, CommandsSettings, CommandType, IntakeSettings, IntakeSource
from outbox.config.intake_parts import HmacSettings, TypeSettings
from outbox.config.load import load
from outbox.intake.problems import KINDS
from outbox.telemetry.metrics import Metrics

TEXT = (Path(__file__).parents[2] / "docs" / "intake.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SECRET = "whsec_" + "QUFB" * 10


def rows(section: str, first: str) -> dict[str, list[str]]:
    """Return the rows of the table in a section whose first column is called so, by their first word."""
    _, _, rest = re.split(rf"^(###?) {re.escape(section)}$", TEXT, maxsplit=1, flags=re.MULTILINE)
    table = rest.split(f"| {first} |", 1)[1].split("\n\n", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {re.findall(r"`([a-z0-9_-]+)", row[0])[0]: row for row in cells}


@pytest.mark.parametrize(
    ("section", "first", "model"),
    [
        ("Sources", "key", IntakeSource),
        ("Sources", "in `type`", TypeSettings),
        ("hmac", "in `hmac`", HmacSettings),
        ("Commands", "key", CommandsSettings),
        ("The port", "key", IntakeSettings),
    ],
)
def test_every_key_has_a_row_and_every_row_a_key(section: str, first: str, model: type[BaseModel]) -> None:
    assert set(rows(section, first)) == set(model.model_fields)


def test_every_key_of_a_command_and_a_client_is_told() -> None:
    told = " ".join(" ".join(rows("Commands", "key")[name]) for name in ("types", "clients"))
    assert {*CommandType.model_fields, *CommandClient.model_fields} <= set(re.findall(r"`([a-z_]+)`", told))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_can_be_run(number: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    file = tmp_path / "outbox.yaml"
    file.write_text(re.sub(r"file:/run/secrets/[a-z-]+", f"file:{secret}", EXAMPLES[number]), encoding="utf-8")

    intake = load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    ).intake

    assert senders(intake)
    assert len([source_of(name, source) for name, source in intake.sources.items()]) == len(intake.sources)
    assert set(commands_of(intake).commands) == set(intake.commands.types)


def test_every_scheme_has_a_section_with_an_example() -> None:
    schemes = set(re.findall(r"^### ([a-z-]+)$", TEXT, re.MULTILINE))
    assert schemes == {*re.findall(r"^ +scheme: ([a-z-]+)$", "".join(EXAMPLES), re.MULTILINE)}


def test_every_problem_has_a_row_with_its_status() -> None:
    assert {name: row[1] for name, row in rows("Problems", "problem").items()} == {
        problem.value: str(kind.status) for problem, kind in KINDS.items()
    }


def test_every_metric_has_a_row() -> None:
    text = Metrics(lanes=(), flows=(), senders=["shop"]).exposition().decode()
    there = {name for name in re.findall(r"^# TYPE (intake_\w+) ", text, re.MULTILINE) if not name.endswith("_created")}
    assert set(rows("What was refused", "metric")) == there
