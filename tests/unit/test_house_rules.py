"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("outbox", "adapters", "sandbox", "tests", "bench")
MAX_LINES = 300

# Somebody's home, or the folder of some build.
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|work|root|Users)/")
OUTSIDE = re.compile(r"\.\.[/]shared")
CREATED = re.compile(r"create (?:or replace )?function\s+([a-z_.]+)\s*\(")
QUERIES = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval", "cursor", "prepare"})
# One query in several dialects: `Statement` of outbox.client.connections. Made of constants, then run by its name.
DIALECTS = frozenset({"numbered", "placed", "named"})
# The import contracts keep the driver out of everything else.
KNOW_SQL = ("outbox/postgres/", "outbox/client/")
# The lock_timeout of a migration is a constant, and "set" takes no parameter.
MAY_FORMAT_SQL = {"outbox/postgres/migrate.py"}

SQL_FUNCTIONS = sorted([*(ROOT / "sql" / "functions").glob("*.sql"), *(ROOT / "sql" / "once").glob("once.*.sql")])


def texts() -> Iterator[tuple[str, str]]:
    kinds = {".py", ".sql", ".md", ".toml", ".yaml", ".yml", ".json", ".html", ".css", ".js"}
    folders = (*CODE, "sql", "docs", "deploy", "examples")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")] + list(ROOT.iterdir())
    for file in sorted(files):
        if file.is_file() and (file.suffix in kinds or file.name in {"Makefile", "Dockerfile"}):
            yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")


def test_no_file_of_code_is_longer_than_a_person_reads() -> None:
    too_long = {
        name: lines
        for name, text in texts()
        if name.endswith((".py", ".sql")) and (lines := len(text.splitlines())) > MAX_LINES
    }
    assert not too_long


def test_nothing_names_a_path_of_one_machine() -> None:
    assert [name for name, text in texts() if MACHINE_PATH.search(text)] == []


def test_nothing_needs_a_folder_outside_of_the_project() -> None:
    assert [name for name, text in texts() if OUTSIDE.search(text)] == []


@pytest.mark.parametrize("file", SQL_FUNCTIONS, ids=lambda file: file.stem)
def test_a_file_holds_the_one_function_that_it_is_named_after(file: Path) -> None:
    assert CREATED.findall(file.read_text(encoding="utf-8")) == [file.stem]


@pytest.mark.parametrize("file", SQL_FUNCTIONS, ids=lambda file: file.stem)
def test_a_function_tells_its_contract_and_nobody_may_call_it_unasked(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.search(rf"^comment on function {re.escape(file.stem)} is$", text, re.MULTILINE)
    assert f"revoke all on function {file.stem} from public;" in text


@pytest.mark.parametrize("file", SQL_FUNCTIONS, ids=lambda file: file.stem)
def test_a_function_with_the_rights_of_its_owner_pins_its_search_path(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if re.search(r"\bsecurity\s+definer\b", text):
        assert re.search(r"^set search_path = pg_catalog, pg_temp$", text, re.MULTILINE)


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [int(file.name[:4]) for file in sorted((ROOT / "sql" / "migrations").glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_query_is_put_together_from_pieces() -> None:
    found = {
        f"{name}:{call.lineno}"
        for name, text in texts()
        if name.startswith(KNOW_SQL) and name.endswith(".py") and name not in MAY_FORMAT_SQL
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call)
        and (
            (_is_query(call) and not _is_constant(call.args[0]) and not _is_dialect(call.args[0]))
            or not all(_is_constant(keyword.value) for keyword in call.keywords if keyword.arg in DIALECTS)
        )
    }
    assert not found


def _is_query(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in QUERIES and bool(call.args)


def _is_dialect(query: ast.expr) -> bool:
    return isinstance(query, ast.Attribute) and query.attr in DIALECTS


def _is_constant(query: ast.expr) -> bool:
    """A literal, also one written over several lines, or a name in capitals."""
    return (isinstance(query, ast.Constant) and isinstance(query.value, str)) or (
        isinstance(query, ast.Name) and query.id.isupper()
    )


def test_nothing_but_its_tests_knows_the_benchmark() -> None:
    found = [
        name
        for name, text in texts()
        if name.endswith(".py")
        and not name.startswith(("bench/", "tests/"))
        and re.search(r"^\s*(?:from|import) bench\b", text, re.MULTILINE)
    ]
    assert not found


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_what_every_reader_looks_for_is_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_a_test_is_named_by_a_sentence() -> None:
    short = [
        f"{name} {node.name}"
        for name, text in texts()
        if name.startswith("tests/") and name.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and node.name.count("_") < 3
    ]
    assert not short
