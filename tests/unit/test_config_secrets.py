"""A secret is never in a message: wherever it stands, and whatever is wrong with it or around it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from outbox.config.problems import ConfigProblems
from outbox.config.references import MAX_SECRET_BYTES
from tests.unit.config_cases import COMPLETE, URLS, problems_of, settings_of

CANARY = "c4n4ry-v4lue"

# Each with one place for a secret, marked CANARY, and something wrong with exactly that place.
WRONG_PLACES = {
    "postgres address of another kind": "postgres: {url: 'mysql://u:CANARY@h/d'}",
    "postgres address without a scheme": "postgres: {url: 'u:CANARY@h/d'}",
    "postgres address with a space": "postgres: {url: 'postgresql://u:CANARY @h/d'}",
    "postgres address as a list": "postgres: {url: [CANARY]}",
    "postgres address as a key": "postgres: {url: {password: CANARY}}",
    "postgres address one level too high": "postgres: 'postgresql://u:CANARY@h/d'",
    "postgres address under a wrong name": "postgres: {ulr: 'postgresql://u:CANARY@h/d'}",
    "broker address of another kind": "rabbitmq: {url: 'http://u:CANARY@h'}",
    "broker address with a wrong port": "rabbitmq: {url: 'amqp://u:CANARY@h:x'}",
    "broker address with an open bracket": "rabbitmq: {url: 'amqp://u:CANARY@[h'}",
    "address with a password where none belongs": "relay: {source: 'https://u:CANARY@h/ x'}",
    "address with a token where none belongs": "relay: {source: 'https://h/ x?token=CANARY'}",
    "bearer as a list": "connections: {c: {base_url: http://h, bearer: [CANARY]}}",
    "bearer under a wrong name": "connections: {c: {base_url: http://h, baerer: CANARY}}",
    "bearer given twice": "connections: {c: {base_url: http://h, bearer: CANARY, bearer: CANARY}}",
    "bearer as a connection": "connections: {c: CANARY}",
    "bearer with a tag": "connections: {c: {base_url: http://h, bearer: !CANARY x}}",
    "bearer with a tag handle": "connections: {c: {base_url: http://h, bearer: !CANARY!x x}}",
    "bearer as an alias": "connections: {c: {base_url: http://h, bearer: *CANARY}}",
    "bearer as a relative file": "connections: {c: {base_url: http://h, bearer: 'file:CANARY'}}",
    "bearer with an open reference": "connections: {c: {base_url: http://h, bearer: '${CANARY'}}",
    "bearer of a broken document": "connections: {c: {base_url: http://h, bearer: CANARY, : [}}",
    "password in a base_url": "connections: {c: {base_url: 'https://u:CANARY@h/?x'}}",
    "referenced base_url": "connections: {c: {base_url: '${SECRET}'}}",
    "referenced number": "http: {port: '${SECRET}'}",
    "referenced duration": "drain: ${SECRET}",
    "referenced choice": "log: {level: '${SECRET}'}",
    "referenced mapping": "log: ${SECRET}",
    "referenced event": "flows: {f: {description: d, events: ['a b ${SECRET}'], adapter: {}}}",
    "referenced adapter": "flows: {f: {adapter: {use: '${SECRET}', connection: '${SECRET}X'}}}",
}
WRONG_ADAPTERS = {
    "short key": "signing_key: CAN",
    "key as a list": "signing_key: [CANARY]",
    "login as text": "login: CANARY",
    "password as a list": "login: {user: u, password: [CANARY]}",
    "password under a wrong name": "login: {user: u, passwd: CANARY}",
    "header with an API key": "headers: {X-Api-Key: 'CANARY !'}",
    "referenced header": "headers: {X-Tenant: '${SECRET} !'}",
    "referenced path in the author's message": "{path: '${SECRET}', method: PUT, copies: 2}",
    "referenced duration": "{path: p, window: '${SECRET}'}",
}


def _environ() -> dict[str, str]:
    return {**URLS, "SECRET": CANARY, "CRM_TOKEN": CANARY}


@pytest.mark.parametrize("text", WRONG_PLACES.values(), ids=WRONG_PLACES)
def test_a_secret_in_the_wrong_place_of_the_file_is_not_in_the_message(text: str, tmp_path: Path) -> None:
    urls: Mapping[str, str] = {} if text.startswith(("postgres", "rabbitmq")) else _environ()
    problems = problems_of(text.replace("CANARY", CANARY), tmp_path, urls)
    assert problems != []
    assert CANARY not in "\n".join(problems)


@pytest.mark.parametrize("text", WRONG_ADAPTERS.values(), ids=WRONG_ADAPTERS)
def test_a_secret_of_an_adapter_is_not_in_the_message(text: str, tmp_path: Path) -> None:
    settings = text.strip("{}") if text.startswith("{") else text
    flow = f"{{description: d, events: [e], adapter: {{use: rest, connection: c, {settings}}}}}"
    document = f"connections: {{c: {{base_url: http://h}}}}\nflows: {{f: {flow}}}"
    problems = problems_of(document.replace("CANARY", CANARY), tmp_path, _environ())
    assert problems != []
    assert CANARY not in "\n".join(problems)


@pytest.mark.parametrize("line", range(len(COMPLETE.splitlines())))
@pytest.mark.parametrize(
    "damage", ["{line}: x", "{indent}zzz: 1\n{line}", "{indent}- {rest}", "{line}]", "{indent}'{rest}"]
)
def test_no_damage_to_any_line_of_a_file_makes_a_secret_visible(line: int, damage: str, tmp_path: Path) -> None:
    text = COMPLETE.replace("s3cret-password", CANARY).replace("/deals", f"/deals\n      signing_key: {CANARY}")
    lines = text.splitlines()
    indent = " " * (len(lines[line]) - len(lines[line].lstrip()))
    lines[line] = damage.format(line=lines[line], indent=indent, rest=lines[line].strip())
    problems = problems_of("\n".join(lines), tmp_path, _environ())
    assert CANARY not in "\n".join(problems)


@pytest.mark.parametrize("variable", ["OUTBOX_PG_URL", "OUTBOX_AMQP_URL"])
@pytest.mark.parametrize(
    "url", ["u:CANARY@h", "x://u:CANARY@h", "postgresql://CANARY h", "amqp://u:CANARY@", "file:CANARY"]
)
def test_a_secret_in_a_wrong_variable_is_not_in_the_message(variable: str, url: str, tmp_path: Path) -> None:
    environ = {**URLS, variable: url.replace("CANARY", CANARY), f"{variable}X": CANARY, f"{variable}_FILE": CANARY}
    problems = problems_of("", tmp_path, environ)
    assert problems != []
    assert CANARY not in "\n".join(problems)


def test_the_whole_traceback_holds_no_secret(tmp_path: Path) -> None:
    text = COMPLETE.replace("s3cret-password", f"[{CANARY}]").replace("path: /deals", "window: ${SECRET}")
    with pytest.raises(ConfigProblems) as caught:
        settings_of(text, tmp_path, {**_environ(), "OUTBOX_PG_URL": f"x://u:{CANARY}@h"})
    assert len(caught.value.problems) == 4
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_secret_is_read_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:from-file@h/d\n", encoding="utf-8")
    (tmp_path / "token").write_text("to-ken\r\n", encoding="utf-8")
    environ = {"OUTBOX_AMQP_URL": URLS["OUTBOX_AMQP_URL"], "OUTBOX_PG_URL_FILE": str(tmp_path / "url")}
    text = f"connections: {{c: {{base_url: http://h, bearer: 'file:{tmp_path}/token'}}}}"
    settings = settings_of(text, tmp_path, environ)
    assert settings.postgres.url.get_secret_value() == "postgresql://u:from-file@h/d"
    bearer = settings.connections["c"].bearer
    assert bearer is not None
    assert bearer.get_secret_value() == "to-ken"


def test_a_field_that_is_no_secret_does_not_read_files(tmp_path: Path) -> None:
    assert settings_of("relay: {source: 'file:/etc/passwd'}", tmp_path).relay.source == "file:/etc/passwd"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot read the file FILE: No such file or directory"),
        (b"", "the file FILE is empty"),
        (b"\r\n\n", "the file FILE is empty"),
        (CANARY.encode() + b"\xff", "the file FILE is not UTF-8 text"),
        (CANARY.encode() * (MAX_SECRET_BYTES // 12 + 1), "the file FILE is larger than 64KiB"),
        (
            f"x://{CANARY}".encode(),
            "must begin with postgresql:// or postgres://, for example postgresql://relay@localhost:5432/erp",
        ),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named_but_not_quoted(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    environ = {"OUTBOX_AMQP_URL": URLS["OUTBOX_AMQP_URL"], "OUTBOX_PG_URL_FILE": str(file)}
    assert problems_of("", tmp_path, environ) == [f"OUTBOX_PG_URL_FILE: {problem.replace('FILE', 'secret')}"]


def test_a_directory_or_an_impossible_path_is_no_secret_file(tmp_path: Path) -> None:
    text = "connections: {c: {base_url: http://h, bearer: %s}}"
    assert problems_of(text % "file:/", tmp_path) == [
        f"outbox.yaml:1:39 connections.c.bearer: cannot read the file /: {os.strerror(21)}"
    ]
    assert problems_of(text % '"file:/a\\0b"', tmp_path) == [
        "outbox.yaml:1:39 connections.c.bearer: cannot read the file '/a\\x00b': this is no path"
    ]


def test_references_are_replaced_within_text_and_can_be_escaped(tmp_path: Path) -> None:
    text = "relay: {source: '/${A}/$B/$/${A}'}\nconnections: {c: {base_url: http://h, bearer: 'x$${A}'}}"
    settings = settings_of(text, tmp_path, {**URLS, "A": "${B}"} | {"A": "a$1"})
    assert settings.relay.source == "/a$1/$B/$/a$1"
    bearer = settings.connections["c"].bearer
    assert bearer is not None
    assert bearer.get_secret_value() == "x${A}"
