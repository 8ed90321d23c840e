"""docs/alerts.md against the settings and values that it describes."""

from __future__ import annotations

import re
from pathlib import Path

import click
import typer

from adapters.registry import ADAPTERS
from outbox.cli.main import app
from outbox.config.alerts import AlertSettings, Channel
from outbox.config.audience import addressees_of, unheard, unused_channels
from outbox.config.expected import expected_at
from outbox.config.load import load
from outbox.config.quantities import seconds_text
from outbox.model.addresses import Route
from outbox.model.alert_rules import NEXT_STEPS, AlertRule

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    rows = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def _first(heading: str) -> set[str]:
    return {name for row in _rows(heading) for name in re.findall(r"`([^`]+)`", row[0])}


def test_the_example_is_valid_and_reaches_whom_it_names(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for name, text in {"crm": "token", "oncall": "token", "ops_channel": "https://hooks.example.com/x"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    file = tmp_path / "outbox.yaml"
    file.write_text(block.replace("file:/run/secrets/", f"file:{tmp_path}/"), encoding="utf-8")
    settings = load(
        path=file,
        environ={
            "OUTBOX_PG_URL": "postgresql://db/erp",
            "OUTBOX_AMQP_URL": "amqp://mq/",
            "MAIL_PASSWORD": "pass%20word",
        },
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )
    told = addressees_of(settings, "orders-to-crm")
    assert told.routes == (Route("mail", ("integration@example.com", "sales-ops@example.com")), Route("ops"))
    assert told.link == "https://grafana.example.com/d/outbox?var-flow=orders-to-crm"
    assert addressees_of(settings, None).link is None
    assert unused_channels(settings) == ("oncall",)
    assert unheard(settings, "orders-to-crm") == unheard(settings, None) == ()


def test_every_rule_setting_and_channel_setting_has_a_row_and_every_row_is_one() -> None:
    assert _first("rule") == set(AlertRule)
    assert _first("setting of a channel") == set(Channel.model_fields)
    assert _first("key of `alerts`") == set(AlertSettings.model_fields)


def test_the_defaults_are_those_of_the_settings() -> None:
    for key, _, default in _rows("key of `alerts`"):
        (expected,) = {one.default for one in expected_at(AlertSettings, (key.strip("`"),))}
        if isinstance(expected, float):
            assert default == seconds_text(expected), key


def test_every_next_step_names_a_command_that_exists() -> None:
    verbs = typer.main.get_group(app)
    context = click.Context(verbs)
    assert set(NEXT_STEPS) == set(AlertRule)
    for step in NEXT_STEPS.values():
        verb, *rest = re.findall(r"outbox ([a-z]+(?: [a-z-]+)*)", step)[0].split()
        command = verbs.get_command(context, verb)
        assert command is not None, step
        # Typer's own kind of group, which need not be click's.
        while rest and hasattr(command, "get_command"):
            command = command.get_command(context, rest.pop(0))
            assert command is not None, step
        assert {word for word in rest if word.startswith("--")} <= {name for one in command.params for name in one.opts}
