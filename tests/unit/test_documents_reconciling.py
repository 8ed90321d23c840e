"""docs/reconciling.md against the settings and values that it describes."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer

from adapters.registry import ADAPTERS
from adapters.rest_settings import RestSettings
from outbox.cli.main import app
from outbox.config.load import load
from outbox.config.ownership import Tolerance
from outbox.config.reconcile import CommittedQuery, Reconcile
from outbox.config.settings import AdapterChoice, Flow, Settings
from outbox.flow.reconcile import NEXT_STEPS as BOOK_STEPS
from outbox.flow.reconcile_names import NEXT_STEPS as NAME_STEPS
from outbox.model.reconciliation import Place, Verdict
from outbox.wiring_reconcile import reconcile_notes, subject_of

PAGE = (Path(__file__).parents[2] / "docs" / "reconciling.md").read_text(encoding="utf-8")


def _column(heading: str) -> set[str]:
    rows = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_the_example_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    secret = tmp_path / "crm"
    secret.write_text("token", encoding="utf-8")
    file = tmp_path / "outbox.yaml"
    file.write_text(block.replace("file:/run/secrets/crm", f"file:{secret}"), encoding="utf-8")
    settings = load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )
    ((name, flow),) = settings.flows.items()
    subject = subject_of(name, flow)
    assert (subject.amount, subject.currency, subject.role) == (("order", "total"), ("order", "currency"), "reporting")
    counted = [
        event
        for event in (".order.confirmed", ".order.cancelled", ".other.confirmed")
        if any(re.search(pattern, event) for pattern in subject.patterns)
    ]
    assert counted == [".order.confirmed"]


@pytest.mark.parametrize(
    ("totals", "about"),
    [
        (None, "as far as the inbox"),
        ({"amount": None}, "no amount"),
        ({"currency": None}, "no currency"),
        ({}, None),
    ],
)
def test_what_cannot_be_compared_is_noted(totals: dict[str, None] | None, about: str | None) -> None:
    asked = {"path": "/x", "query": {"q": "{from}/{to}"}, "external_id": "id", "amount": "a", "currency": "c"}
    adapter = AdapterChoice(
        use="rest",
        connection="crm",
        settings=RestSettings.model_validate(
            {
                "operations": {"*": {"method": "POST", "path": "/x"}},
                "totals": None if totals is None else asked | totals,
            }
        ),
    )
    flow = Flow(
        description="x", events=("x",), adapter=adapter, reconcile=Reconcile(amount="total", currency="currency")
    )
    settings = Settings.model_construct(flows={"orders": flow})
    assert [about is not None and about in note for _, note in reconcile_notes(settings)] == ([True] if about else [])


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert _column("setting") == {
        *(f"reconcile.{field}" for field in Reconcile.model_fields),
        *(f"committed.{field}" for field in CommittedQuery.model_fields),
        *(f"tolerance.{field}" for field in Tolerance.model_fields),
    }


def test_every_next_step_names_a_command_that_exists() -> None:
    verbs = typer.main.get_group(app)
    context = click.Context(verbs)
    for step in (*BOOK_STEPS.values(), *NAME_STEPS.values()):
        for words in re.findall(r'"outbox ([^"]+)"', step):
            verb, *rest = words.split()
            command = verbs.get_command(context, verb)
            assert command is not None, words
            if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
                assert command.get_command(context, rest[0]) is not None, words
            options = {name for one in command.params for name in one.opts}
            assert {word for word in rest if word.startswith("-")} <= options, words


def test_every_verdict_and_every_place_has_a_row() -> None:
    assert _column("verdict") == set(Verdict)
    assert _column("where") == set(Place) - {Place.APPLIED}
