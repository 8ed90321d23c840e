"""What a run over several versions found: a table for people, JSON for programs, an exit code for scripts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_FAILURES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """How the tests of one combination ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One combination. ``problem`` says why nothing, or not everything, was run; ``is_run`` whether pytest was."""

    combination: str
    postgres: str
    rabbitmq: str
    counts: Counts
    seconds: float
    is_run: bool
    problem: str | None = None

    @property
    def verdict(self) -> str:
        """One word for the table."""
        if not self.is_run:
            return "SKIPPED"
        return "failed" if self.has_failed else "passed"

    @property
    def has_failed(self) -> bool:
        """Say whether something was run and is not right."""
        return self.is_run and (self.counts.failed > 0 or self.problem is not None)


def read_counts(junit: Path) -> Counts:
    """Count what pytest reported; errors of fixtures are failures."""
    passed, skipped, failures = 0, 0, []
    for case in ET.parse(junit).getroot().iter("testcase"):  # noqa: S314 - pytest has just written it
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failures.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return Counts(passed, len(failures), skipped, tuple(failures))


def exit_code(results: Sequence[Result]) -> int:
    """1 when anything failed, or when nothing was run at all; what could not be prepared is told, and no failure."""
    return int(any(result.has_failed for result in results) or not any(result.is_run for result in results))


def write_json(results: Sequence[Result], path: Path) -> None:
    """Write everything for programs."""
    content = [{**asdict(result), "verdict": result.verdict} for result in results]
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def show(results: Sequence[Result], console: Console) -> None:
    """Show the table, then what failed and what was skipped, each with its reason."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("combination", "PostgreSQL", "RabbitMQ", "result"):
        table.add_column(heading, no_wrap=True)
    for heading in ("passed", "failed", "skipped", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        counts = result.counts
        table.add_row(
            *(result.combination, result.postgres, result.rabbitmq, result.verdict),
            *(str(counts.passed), str(counts.failed), str(counts.skipped), f"{result.seconds:.0f}"),
        )
    console.print(table)
    for result in results:
        if result.problem is not None:
            console.print(f"{result.combination} {result.verdict}: {escape(result.problem)}")
        for failure in result.counts.failures[:_FAILURES_SHOWN]:
            console.print(f"{result.combination} failed: {escape(failure)}")
        if len(result.counts.failures) > _FAILURES_SHOWN:
            console.print(f"{result.combination} and {len(result.counts.failures) - _FAILURES_SHOWN} more")
