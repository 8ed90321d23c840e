"""Takes what exactly-once rests on out of the code, one thing at a time, and expects the tests to notice.

Each mutation is made in a copy of the project, where the fewest tests that should catch it are run; the same tests
must pass in the copy before. `python -m sandbox.soak_mutations` ends with 1 if a mutation survives.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.binaries import PROJECT
from sandbox.errors import SandboxError
from sandbox.servers import Servers, private_servers

EXIT_SURVIVED = 1
EXIT_UNAVAILABLE = 69

_COPIED = ("outbox", "adapters", "sql", "sandbox", "tests", "pyproject.toml")
_DEADLINE_SECONDS = 600.0
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_OUTPUT_SHOWN = 4000
_WIDTH = 160
# As pytest uses them: some tests failed.
_TESTS_FAILED = 1


@dataclass(frozen=True, slots=True)
class Change:
    """A text in a file, which must be there once, and what stands in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """One thing taken out, and the tests that should miss it."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a mutation; ``caught_by`` is empty when it survived."""

    name: str
    caught_by: str
    seconds: float


_ACCEPT = "sql/functions/inbox.accept.sql"
_BEGIN = "sql/functions/inbox.begin_calls.sql"
_SETTLE = "sql/functions/inbox.settle.sql"
_TRANSITIONS = "sql/functions/inbox.refuse_transition.sql"
_UNIQUE = "sql/migrations/0011_replay.sql"
_RECOVERY = "outbox/model/recovery.py"
_WALK = (
    "tests/integration/test_inbox_machine.py::"
    "test_whatever_happens_each_event_takes_effect_once_and_in_order[few-{style}]"
)
_WINDOW = "return sent_age_seconds < self.window_seconds - self.margin_seconds"

MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "the dedup insert",
        (
            Change(
                _ACCEPT,
                "\n         where i.known_id is null\n",
                "\n",
            ),
            Change(_UNIQUE, "    add constraint delivery_is_unique unique (flow, message_id, generation),\n", ""),
        ),
        (
            "tests/integration/test_inbox_accept.py::test_a_message_that_comes_again_is_counted_and_changes_nothing",
            "tests/integration/test_inbox_accept.py::test_a_duplicate_of_an_applied_delivery_is_not_applied_again",
        ),
    ),
    Mutation(
        "the epoch check",
        (
            Change(_SETTLE, "else r.epoch = (select l.epoch", "else 0 < (select l.epoch"),
            Change(_SETTLE, " or d.lane_epoch <> r.epoch", ""),
        ),
        ("tests/integration/test_inbox_fence.py",),
    ),
    Mutation(
        "the applying write",
        (
            Change(_BEGIN, "state = 'applying', lane_epoch = w.epoch, due_at = null,", "due_at = clock_timestamp(),"),
            Change(
                _SETTLE,
                "d.state <> 'applying' or d.lane_epoch <> r.epoch",
                "d.state not in ('ready', 'retry', 'in_doubt')",
            ),
            # Without the write the states follow each other as the trigger does not allow.
            Change(_TRANSITIONS, "    when (old.state", "    when (false and old.state"),
        ),
        (_WALK.format(style="none"),),
    ),
    Mutation(
        "the settle's state check",
        (Change(_SETTLE, " or d.state <> 'applying' or d.lane_epoch <> r.epoch", ""),),
        ("tests/integration/test_inbox_settle.py::test_a_result_settles_only_a_call_that_is_under_way",),
    ),
    Mutation(
        "the window check",
        (Change(_RECOVERY, _WINDOW, "return sent_age_seconds >= 0"),),
        ("tests/unit/test_recovery.py",),
    ),
)


def mutate(root: Path, changes: Iterable[Change]) -> None:
    """Make the changes in a copy of the project.

    Raises:
        SandboxError: a text is not there as often as it should be, so the mutation would prove nothing.
    """
    for change in changes:
        file = root / change.file
        text = file.read_text(encoding="utf-8")
        if change.old not in text:
            raise SandboxError(
                f"{change.file} has no {' '.join(change.old.split())!r} any more",
                next_step="bring MUTATIONS in sandbox/soak_mutations.py up to date",
            )
        file.write_text(text.replace(change.old, change.new), encoding="utf-8")


class Laboratory:
    """Runs tests in copies of the project, on servers that all runs share."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self._folder = folder
        self._environment = {**os.environ, **servers.environment(), "INBOX_SHRINKS": "no"}

    def copy(self, name: str) -> Path:
        """Make a copy of the project as it is now."""
        root = self._folder / name
        root.mkdir()
        for part in _COPIED:
            source = PROJECT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, root / part)
        return root

    def failed(self, root: Path, tests: Sequence[str]) -> list[str]:
        """Run tests in a copy until one fails; return what failed.

        Raises:
            SandboxError: they could not be run.
        """
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
            cwd=root,
            env={**self._environment, "PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
        found = _FAILED.findall(run.stdout)
        if run.returncode not in (0, _TESTS_FAILED) or bool(run.returncode) != bool(found):
            raise SandboxError(
                f"the tests could not be run:\n{(run.stdout + run.stderr)[-_OUTPUT_SHOWN:]}",
                next_step="run them by hand",
            )
        return found


def _tried(laboratory: Laboratory, mutation: Mutation, number: int) -> Result:
    begun = time.monotonic()
    root = laboratory.copy(f"mutation-{number}")
    try:
        mutate(root, mutation.changes)
        caught_by = laboratory.failed(root, mutation.tests)
    finally:
        shutil.rmtree(root)
    return Result(mutation.name, caught_by[0] if caught_by else "", time.monotonic() - begun)


def check_mutations(mutations: Sequence[Mutation], console: Console) -> list[Result]:
    """Try the mutations one after the other.

    Raises:
        SandboxError: the tests fail without any mutation, or a mutation has nothing to change.
    """
    with (
        tempfile.TemporaryDirectory(prefix="outbox-mutations-") as folder,
        private_servers(is_durable=False) as servers,
    ):
        laboratory = Laboratory(Path(folder), servers)
        console.print("the tests, with nothing taken out")
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        already = laboratory.failed(laboratory.copy("as-it-is"), tests)
        if already:
            raise SandboxError(f"{already[0]} fails with nothing taken out", next_step="make it pass first")
        results = []
        for number, mutation in enumerate(mutations):
            results.append(_tried(laboratory, mutation, number))
            console.print(_line(results[-1]), markup=False, highlight=False, soft_wrap=True)
        return results


def _line(result: Result) -> str:
    return f"without {result.name}: " + (f"caught by {result.caught_by}" if result.caught_by else "SURVIVED")


def _table(results: Sequence[Result]) -> Table:
    table = Table("taken out", "caught by", "seconds", title="mutations")
    for result in results:
        table.add_row(result.name, escape(result.caught_by) or "SURVIVED", f"{result.seconds:.0f}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every mutation, and print what caught it; 0 if all are caught, 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.soak_mutations", description=main.__doc__)
    parser.add_argument("--only", help="a part of the name of the mutations to try")
    only = parser.parse_args(arguments).only or ""
    # A table in a file is as wide as it needs to be.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    try:
        results = check_mutations([one for one in MUTATIONS if only in one.name], console)
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    console.print(_table(results))
    return 0 if all(result.caught_by for result in results) else EXIT_SURVIVED


if __name__ == "__main__":
    sys.exit(main())
