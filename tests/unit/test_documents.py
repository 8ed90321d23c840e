"""What the documents claim is compared with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import yaml

from adapters.registry import ADAPTERS
from outbox.cli.main import VERBS
from outbox.config.difference import TAKEN_UP
from outbox.config.environment import FILE_VARIABLES, VARIABLES
from outbox.config.include import INCLUDE
from outbox.config.inventory import warnings_of
from outbox.config.load import load
from outbox.config.ownership import Alert, Owner, Tolerance
from outbox.config.reloading import ReloadSettings
from outbox.config.settings import Settings
from outbox.model.alerts import Rule
from outbox.model.delivery import TRANSITIONS, State
from outbox.model.errors import ExitCode
from outbox.model.partitions import PartitionState
from outbox.model.recovery import RecoveryStrategy

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def _column(text: str, heading: str, number: int = 0) -> list[str]:
    """Return a column of the table whose first heading is given."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    cells = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells.append(re.split(r"(?<!\\)\|", line)[number + 1].strip())
    return cells


def _code(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_promise_of_the_readme_names_a_test_that_exists() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    proofs = _code(_column(README, "question", 2))
    assert len(proofs) == len(_column(README, "question"))
    missing = [proof for proof in proofs if not re.search(rf"def {proof}\b", tests)]
    assert not missing


def test_the_readme_lists_every_variable() -> None:
    known = {"OUTBOX_CONFIG", *VARIABLES, *FILE_VARIABLES}
    assert _code(_column(README, "variable")) == known


def test_the_readme_lists_every_exit_code() -> None:
    assert [int(code) for code in _column(README, "exit code")] == sorted(ExitCode)


def test_the_readme_lists_every_command() -> None:
    listed = " ".join(_code(_column(README, "command")))
    assert all(re.search(rf"\b{verb}\b", listed) for verb in VERBS)


def test_the_settings_of_the_readme_are_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    secret = tmp_path / "crm"
    secret.write_text("token", encoding="utf-8")
    file = tmp_path / "outbox.yaml"
    file.write_text(block.replace("file:/run/secrets/crm", f"file:{secret}"), encoding="utf-8")
    settings = load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://relay@localhost/erp", "OUTBOX_AMQP_URL": "amqp://localhost/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )
    assert set(settings.flows) == set(yaml.safe_load(block)["flows"])


def test_the_settings_of_the_page_about_flows_are_valid_and_told(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    secret = tmp_path / "crm"
    secret.write_text("token", encoding="utf-8")
    file = tmp_path / "outbox.yaml"
    file.write_text(block.replace("file:/run/secrets/crm", f"file:{secret}"), encoding="utf-8")
    settings = load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://relay@localhost/erp", "OUTBOX_AMQP_URL": "amqp://localhost/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )
    (flow,) = settings.flows.values()
    assert warnings_of(flow) == ()
    told = _code(_column(page, "setting of a flow"))
    assert told == {
        "description",
        "direction",
        "source_of_truth",
        "runbook",
        "expect_every",
        *(f"owner.{name}" for name in Owner.model_fields),
        *(f"alert.{name}" for name in Alert.model_fields),
        *(f"tolerance.{name}" for name in Tolerance.model_fields),
    }
    assert _code(_column(page, "rule")) == set(Rule)


def test_the_architecture_lists_every_state() -> None:
    assert _code(_column(ARCHITECTURE, "state")) == set(State)


def test_the_diagram_shows_every_transition_and_no_other() -> None:
    (diagram,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", ARCHITECTURE, re.DOTALL)
    drawn = re.findall(r"^ +([a-z_]+) --> ([a-z_]+):", diagram, re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {(State(one), other) for one, others in TRANSITIONS.items() for other in others}


def test_the_architecture_lists_every_recovery_strategy() -> None:
    assert _code(_column(ARCHITECTURE, "strategy")) == {kind.__name__ for kind in get_args(RecoveryStrategy)}


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 250


def test_the_architecture_lists_every_state_of_a_partition() -> None:
    # Those of the default partition, and what a person has done, are told in the text.
    others = {PartitionState.DETACHED, PartitionState.UNUSED, PartitionState.USED}
    assert _code(_column(ARCHITECTURE, "partition")) == set(PartitionState) - others


def test_the_page_of_the_settings_lists_every_key_and_what_a_running_process_takes_up() -> None:
    keys, fates = _column(CONFIGURATION, "key"), _column(CONFIGURATION, "key", 2)
    told = {name: fate for cell, fate in zip(keys, fates, strict=True) for name in _code([cell])}
    assert set(told) == {INCLUDE, *Settings.model_fields}
    taken_up = {name for name, fate in told.items() if fate == "taken up"}
    assert taken_up == {INCLUDE, *TAKEN_UP}
    assert _code(_column(CONFIGURATION, "key of `reload`")) == set(ReloadSettings.model_fields)
