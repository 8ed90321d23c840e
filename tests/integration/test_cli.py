"""The command line as people meet it: help, wrong usage, the effective settings, and one event by hand."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from outbox.model.errors import ExitCode
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database

VERBS = ("migrate", "emit", "run", "relay", "consume", "status", "config", "topology", "once")
TOO_DEEP = "[" * 60_000 + "]" * 60_000


async def test_the_help_lists_every_verb_and_every_exit_code(cli: Cli) -> None:
    ended = await cli("--help", COLUMNS="300")

    assert ended.code == ExitCode.OK
    (codes,) = re.findall(r"Exit codes: (.*)", ended.out)
    assert [int(code) for code in re.findall(r"\d+", codes)] == sorted(ExitCode)
    assert [verb for verb in VERBS if not re.search(rf"^│ {verb} ", ended.out, re.MULTILINE)] == []


async def test_the_help_of_every_verb_has_an_example(cli: Cli) -> None:
    async with asyncio.TaskGroup() as group:
        helps = {verb: group.create_task(cli(verb, "--help", COLUMNS="300")) for verb in VERBS}

    assert [verb for verb, call in helps.items() if f"outbox {verb}" not in _examples(call.result().out)] == []


def _examples(text: str) -> str:
    return text.partition("Example")[2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Usage: outbox"),
        (("publish",), "No such command 'publish'"),
        (("relay", "--dry-run"), "No such option: --dry-run"),
        (("emit", "order.confirmed"), "Missing argument"),
        (("emit", "order.confirmed", "k", "{}", "--version", "0"), "Invalid value for '--version'"),
        (("emit", "order.confirmed", "k", "{}", "--version", "2147483648"), "Invalid value for '--version'"),
        (("consume",), "there is nothing to consume: the settings name no flows; add one under flows:"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
async def test_a_wrong_call_ends_with_the_code_of_wrong_usage(
    cli: Cli, arguments: tuple[str, ...], complaint: str
) -> None:
    ended = await cli(*arguments, COLUMNS="300")

    assert ended.code == ExitCode.USAGE
    assert complaint in ended.out + ended.err


async def test_config_shows_every_setting_and_no_secret(cli: Cli) -> None:
    token = cli.folder / "token"
    token.write_text("s3cret-bearer\n")
    cli.settings(one_flow("https://crm.example.com/api", bearer=f"file:{token}"))

    text, data = await cli("config"), await cli("config", "--json")

    effective = data.json()
    assert yaml.safe_load(text.out) == effective
    assert effective["postgres"]["url"] == "postgresql://relay:***@127.0.0.1:9/erp"
    assert effective["rabbitmq"]["url"] == "amqp://relay:***@127.0.0.1:9/"
    assert effective["connections"]["crm"]["bearer"] == "***"
    assert effective["flows"][FLOW]["retry"] == {"attempts": 3, "first": "50ms", "max": "200ms", "patience": "0s"}
    for secret in ("pg-password", "mq-password", "s3cret"):
        assert secret not in text.out + data.out + text.err + data.err


async def test_every_problem_of_the_settings_is_told_at_once(cli: Cli) -> None:
    cli.settings({"rabbitmq": {"prefech": 1}, "connections": {"crm": {"base_url": "https://u:p@crm"}}})

    ended = await cli("config", OUTBOX_PG_URL="", OUTBOX_PG_URL_FILE="/nowhere/pg-url", OUTBOX_LOG_LEVEL="loud")

    message = ended.refusal(ExitCode.MISCONFIGURED)
    for part in (
        "the configuration has 4 problems:",
        "rabbitmq.prefech: unknown key; did you mean 'prefetch'?",
        "connections.crm.base_url: must not hold user or password; put the token into bearer",
        "OUTBOX_PG_URL_FILE: cannot read the file /nowhere/pg-url: No such file or directory",
        "OUTBOX_LOG_LEVEL=loud: must be one of debug, info, warning, error",
        "next step: correct the configuration and start again",
    ):
        assert part in message


@pytest.mark.parametrize("verb", ["migrate", "relay"])
async def test_a_secret_file_that_cannot_be_read_is_named_before_anything_starts(
    cli: Cli, tmp_path: Path, verb: str
) -> None:
    # A folder: nobody can read that, not even root, who runs the tests in many containers.
    ended = await cli(verb, OUTBOX_AMQP_URL="", OUTBOX_AMQP_URL_FILE=str(tmp_path))

    assert ended.refusal(ExitCode.MISCONFIGURED).startswith("the configuration has 1 problem: OUTBOX_AMQP_URL_FILE:")
    assert ": Is a directory next step:" in ended.refusal(ExitCode.MISCONFIGURED)


async def test_an_event_type_without_an_operation_is_told_before_anything_starts(cli: Cli) -> None:
    """Else every message of that type would become a dead letter, one by one."""
    flow = {
        "description": "Orders become deals",
        "events": ["order.confirmed", "order.cancelled", "stock.*"],
        "adapter": {
            "use": "rest",
            "connection": "crm",
            "operations": {"order.confirmed": {"method": "POST", "path": "/deals"}},
        },
    }
    cli.settings({"connections": {"crm": {"base_url": "https://crm.example.com"}}, "flows": {"orders": flow}})
    for verb in ("config", "run", "consume"):
        ended = await cli(verb)
        assert ended.code == ExitCode.MISCONFIGURED
        assert ended.err == (
            "error: flows.orders.events: order.cancelled has no operation in flows.orders.adapter\n"
            "  next step: add the operations, or take the events out of the flow\n"
        )


async def test_an_event_by_hand_is_what_was_typed(cli: Cli, database: Database) -> None:
    cli = replace(cli, pg_url=database.url)
    payload = '{"b":  1.10, "a": "ü \\u0000 😀", "b": 2}'

    first = await cli("emit", "order.confirmed", "SO-1", payload, "--version", "3", "--headers", '{"a": "1"}')
    second = await cli("emit", "order.confirmed", "", "17")

    rows = await database.rows("select event_id::text, key, version, payload::text, headers::text from outbox.event")
    assert [tuple(row) for row in rows] == [
        (first.out.strip(), "SO-1", 3, payload, '{"a": "1"}'),
        (second.out.strip(), None, 1, "17", None),
    ]


async def test_an_event_by_hand_with_an_idempotency_key_is_committed_once(cli: Cli, database: Database) -> None:
    cli = replace(cli, pg_url=database.url)
    call = "emit", "order.confirmed", "SO-1", '{"a": 1}', "--headers", '{"a": "1"}', "--idempotency-key", "order-1"

    first = await cli(*call)
    again = await cli(*call)
    for_programs = await cli(*call, "--json")
    other = await cli("emit", "order.confirmed", "SO-1", '{"a": 2}', "--idempotency-key", "order-1")
    without = await cli("emit", "order.confirmed", "SO-1", '{"a": 1}', "--json")

    assert (first.code, again.code) == (ExitCode.OK, ExitCode.OK)
    assert first.err == "new: the event is committed\n"
    assert again.err == "repeat: nothing was added, this event was there\n"
    assert again.out == first.out
    assert for_programs.json() == {"event_id": first.out.strip(), "is_new": False}
    assert other.refusal(ExitCode.MISCONFIGURED).startswith(
        "the idempotency key 'order-1' stands for another event. It"
    )
    assert f"for event {first.out.strip()}, with another type, key, version or payload." in other.err
    assert "next step: give every event a key of its own, or repeat the first call exactly" in other.err
    rows = await database.rows("select event_id::text, key, headers::text from outbox.event order by id")
    assert [tuple(row) for row in rows] == [
        (first.out.strip(), "SO-1", '{"a": "1"}'),
        (without.json()["event_id"], "SO-1", None),
    ]
    assert without.json()["is_new"] is True


TYPE_RULE = (
    "the event breaks event_type_is_a_routing_key next step: "
    "The type is the AMQP routing key: 1 to 255 bytes, no spaces, control characters, * or #."
)
KEY_RULE = (
    "the event breaks event_key_fits next step: "
    "A key has 1 to 512 bytes and no control characters; use null for an event without order."
)
HEADERS_RULE = (
    "the event breaks event_headers_are_a_small_object next step: Headers are a JSON object of at most 32 KiB."
)
NOT_JSON = "payload or headers are not JSON: invalid input syntax for type json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("order confirmed", "k", "{}"), TYPE_RULE),
        (("a" * 256, "k", "{}"), TYPE_RULE),
        (("a", "k" * 10_000, "{}"), KEY_RULE),
        (("a", "line\nbreak", "{}"), KEY_RULE),
        (("a", "k", "{}", "--headers", "[1]"), HEADERS_RULE),
        (("a", "k", "{}", "--headers", json.dumps({"a": "x" * 33_000})), HEADERS_RULE),
        (
            ("a", "k", "{}", "--idempotency-key", ""),
            "the event breaks emitted_key_fits next step: An idempotency key has 1 to 512 bytes.",
        ),
        (("a", "k", "no json"), f'{NOT_JSON} DETAIL: Token "no" is invalid. next step: quote the JSON for your shell'),
        (("a", "k", ""), f"{NOT_JSON} DETAIL: The input string ended unexpectedly."),
        (("a", "k", "{}", "--headers", "{"), f"{NOT_JSON} DETAIL: The input string ended unexpectedly."),
        (("a", "k", TOO_DEEP), "payload or headers are nested deeper than PostgreSQL takes next step: flatten the"),
        (
            ("a", "k\udcff", "{}"),
            "key is not valid UTF-8 at character 1 next step: check the encoding of your terminal",
        ),
    ],
    ids=lambda value: " ".join(value)[:40].encode("ascii", "replace").decode() if isinstance(value, tuple) else None,
)
async def test_an_event_by_hand_that_could_never_be_published_is_refused_with_the_rule(
    cli: Cli, database: Database, arguments: tuple[str, ...], message: str
) -> None:
    ended = await replace(cli, pg_url=database.url)("emit", *arguments)

    assert ended.refusal(ExitCode.MISCONFIGURED).startswith(message)
    assert await database.value("select count(*) from outbox.event") == 0
