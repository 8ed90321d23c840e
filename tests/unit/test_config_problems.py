"""Every message, word for word: they are what a person has at three in the morning."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.config.problems import ConfigProblems
from outbox.model.errors import ExitCode, Misconfigured
from tests.unit.config_cases import COMPLETE, URLS, problems_of, settings_of

PROBLEM_OF_LINE = {
    "http: {prot: 1}": "outbox.yaml:1:8 http.prot: unknown key; did you mean 'port'?",
    "http: {zzz: 1}": "outbox.yaml:1:8 http.zzz: unknown key; known here are host, port, payload_token",
    "http: {port: eighty}": (
        "outbox.yaml:1:8 http.port=eighty: must be a whole number between 0 and 65535, for example 8080"
    ),
    "http: {port: 70000}": (
        "outbox.yaml:1:8 http.port=70000: must be a whole number between 0 and 65535, for example 8080"
    ),
    "http: {port: true}": (
        "outbox.yaml:1:8 http.port=true: must be a whole number between 0 and 65535, for example 8080"
    ),
    "http: {port: }": (
        "outbox.yaml:1:8 http.port: has no value; must be a whole number between 0 and 65535, for example 8080"
    ),
    "http: {port: [1]}": "outbox.yaml:1:8 http.port: must be a whole number between 0 and 65535, for example 8080",
    "http: {host: 127}": "outbox.yaml:1:8 http.host=127: must be text; put the value in quotes",
    "http: {host: a b}": "outbox.yaml:1:8 http.host='a b': must be a host name or an address, for example 0.0.0.0",
    "http: 8080": "outbox.yaml:1:1 http: must be a mapping of keys to values",
    "htpp: {}": "outbox.yaml:1:1 htpp: unknown key; did you mean 'http'?",
    "log: {level: WARN}": (
        "outbox.yaml:1:7 log.level=WARN: must be one of debug, info, warning, error; did you mean 'warning'?"
    ),
    "log: {format: 7}": "outbox.yaml:1:7 log.format=7: must be one of json, console",
    "log: {level: off}": (
        "outbox.yaml:1:14 log.level=off: unquoted yes, no, on and off mean true or false to some readers of YAML "
        "and text to others; write true or false, or put the word in quotes"
    ),
    "on: {}": (
        "outbox.yaml:1:1 on: unquoted yes, no, on and off mean true or false to some readers of YAML "
        "and text to others; write true or false, or put the word in quotes"
    ),
    "http: {port: 010}": (
        "outbox.yaml:1:14 http.port=010: readers of YAML do not agree on this number; "
        "write plain digits, or put it in quotes for text"
    ),
    "drain: 20": "outbox.yaml:1:1 drain=20: has no unit; must be a duration between 0s and 1h, for example 20s",
    "drain: '20'": "outbox.yaml:1:1 drain=20: has no unit; must be a duration between 0s and 1h, for example 20s",
    "drain: 0": None,
    "drain: '0'": None,
    "retention: {keep: 10}": (
        "outbox.yaml:1:13 retention.keep=10: has no unit; "
        "must be a duration greater than 0s and at most 3650d, for example 30d"
    ),
    "retention: {keep: 0}": (
        "outbox.yaml:1:13 retention.keep=0: must be a duration greater than 0s and at most 3650d, for example 30d"
    ),
    "relay: {poll_idle: 0.05}": (
        "outbox.yaml:1:9 relay.poll_idle=0.05: has no unit; "
        "must be a duration greater than 0s and at most 1m, for example 75ms"
    ),
    "connections: {crm: {base_url: http://crm, timeout: 30}}": (
        "outbox.yaml:1:43 connections.crm.timeout=30: has no unit; must be a duration greater than 0s, for example 30s"
    ),
    "drain: 5 minutes": "outbox.yaml:1:1 drain='5 minutes': must be a duration between 0s and 1h, for example 20s",
    "relay: {page_bytes: 1}": (
        "outbox.yaml:1:9 relay.page_bytes=1: must be a size between 1KiB and 128MiB, for example 8MiB"
    ),
    "relay: {page_bytes: 1 MegaByte}": (
        "outbox.yaml:1:9 relay.page_bytes='1 MegaByte': must be a size between 1KiB and 128MiB, for example 8MiB"
    ),
    "relay: {source: 'my outbox'}": (
        "outbox.yaml:1:9 relay.source='my outbox': must be a URI reference without spaces, "
        "for example /outbox or https://erp.example.com/outbox"
    ),
    "relay: {poll_busy: 1s}": (
        "outbox.yaml:1:1 relay.poll_idle: is 75ms unless set, but must be at least poll_busy (1s), for example 1s"
    ),
    "relay: {poll_busy: 1s, poll_idle: 0.5s}": (
        "outbox.yaml:1:24 relay.poll_idle=0.5s: must be at least poll_busy (1s), for example 1s"
    ),
    "rabbitmq: {heartbeat: 15s}": (
        "outbox.yaml:1:1 rabbitmq.confirm_timeout: is 30s unless set, but must be greater than 2 x heartbeat (15s), "
        "for example 45s"
    ),
    "rabbitmq: {confirm_timeout: 20s}": (
        "outbox.yaml:1:12 rabbitmq.confirm_timeout=20s: must be greater than 2 x heartbeat (10s), for example 30s"
    ),
    "inbox: {lease: 2s}": "outbox.yaml:1:9 inbox.lease=2s: must be a duration between 3s and 1h, for example 15s",
    "rabbitmq: {prefetch: 2001}": (
        "outbox.yaml:1:12 rabbitmq.prefetch=2001: must be a whole number between 1 and 2000, for example 500"
    ),
    "drain: 1s\ndrain: 2s": "outbox.yaml:2:1 drain: this key is given twice, first in line 1",
    "drain: !duration 1s": (
        "outbox.yaml:1:8 drain: tags (words that begin with !) are not allowed; put the value in quotes"
    ),
    "? [a]\n: 1": "outbox.yaml:1:3: a key must be a word, not a list or a mapping",
    "connections: {CRM: {base_url: http://crm}}": (
        "outbox.yaml:1:15 connections.CRM: must be at most 63 small letters, digits and hyphens, a letter first, "
        "for example orders-to-crm"
    ),
    "connections: {crm: {}}": "outbox.yaml:1:15 connections.crm.base_url: required; must be text",
    "connections: {crm: {base_url: http://crm, timeout: 0s}}": (
        "outbox.yaml:1:43 connections.crm.timeout=0s: must be a duration greater than 0s, for example 30s"
    ),
    "drain: [": (
        "outbox.yaml:1:9: not valid YAML: while parsing a flow node, "
        "expected the node content, but found '<stream end>'"
    ),
    "- a": "outbox.yaml:1:1: the top level must be a mapping such as 'postgres:' and 'flows:'",
    "a: 1\n---\nb: 2": (
        "outbox.yaml:2:1: not valid YAML: expected a single document in the stream, but found another document"
    ),
    "drain: \x07": "outbox.yaml:1:8: not valid YAML: a character that YAML does not allow",
    "drain: ${NOPE}": "outbox.yaml:1:1 drain: the environment variable NOPE is not set",
    "drain: ${no pe}": (
        "outbox.yaml:1:1 drain: ${ must be followed by the name of an environment variable and }; write $${ for ${"
    ),
}


@pytest.mark.parametrize(("text", "problem"), PROBLEM_OF_LINE.items(), ids=PROBLEM_OF_LINE)
def test_a_mistake_in_the_file_is_answered_in_plain_words(text: str, problem: str | None, tmp_path: Path) -> None:
    assert problems_of(text, tmp_path) == ([] if problem is None else [problem])


PROBLEM_OF_CHANGE = {
    ("attempts: 3", "attemts: 3"): (
        "outbox.yaml:23:13 flows.orders-to-crm.retry.attemts: unknown key; did you mean 'attempts'?"
    ),
    ("first: 250ms", "first: 1h"): (
        "outbox.yaml:23:5 flows.orders-to-crm.retry.max: is 5m unless set, but must be at least first (1h), "
        "for example 1h"
    ),
    ("use: rest", "use: rset"): (
        "outbox.yaml:15:7 flows.orders-to-crm.adapter.use=rset: unknown adapter, known are odoo, rest; "
        "did you mean 'rest'?"
    ),
    ("use: rest", "use: [rest]"): (
        "outbox.yaml:15:7 flows.orders-to-crm.adapter.use: unknown adapter, known are odoo, rest"
    ),
    ("      use: rest\n", ""): (
        "outbox.yaml:14:5 flows.orders-to-crm.adapter.use: required; name the adapter to use, known are odoo, rest"
    ),
    ("connection: crm", "connection: crn"): (
        "outbox.yaml:16:7 flows.orders-to-crm.adapter.connection=crn: unknown connection, known are crm; "
        "did you mean 'crm'?"
    ),
    ("path: /deals", "path: [deals]"): "outbox.yaml:17:7 flows.orders-to-crm.adapter.path: must be text",
    ("path: /deals", "path: /deals\n      methd: PUT"): (
        "outbox.yaml:18:7 flows.orders-to-crm.adapter.methd: unknown key; did you mean 'method'?"
    ),
    ("path: /deals", "path: /deals\n      conection: crm"): (
        "outbox.yaml:18:7 flows.orders-to-crm.adapter.conection: unknown key; did you mean 'connection'?"
    ),
    ("path: /deals", "path: /deals\n      headers: {Host: x}"): (
        "outbox.yaml:18:17 flows.orders-to-crm.adapter.headers.Host: Host is set by the adapter"
    ),
    ("path: /deals", "path: /deals\n      headers: {'X 1': x}"): (
        "outbox.yaml:18:17 flows.orders-to-crm.adapter.headers.'X 1': must match the pattern ^[A-Za-z-]+$"
    ),
    ("path: /deals", "path: /deals\n      window: 2d"): (
        "outbox.yaml:18:7 flows.orders-to-crm.adapter.window=2d: "
        "must be a duration greater than 0s and at most 1d, for example 1h"
    ),
    ("path: /deals", "path: /deals\n      window: 24"): (
        "outbox.yaml:18:7 flows.orders-to-crm.adapter.window=24: has no unit; "
        "must be a duration greater than 0s and at most 1d, for example 1h"
    ),
    ("first: 250ms", "first: 250"): (
        "outbox.yaml:23:26 flows.orders-to-crm.retry.first=250: has no unit; "
        "must be a duration greater than 0s and at most 7d, for example 1s"
    ),
    ("path: /deals", "path: /deals\n      signing_key: short"): (
        "outbox.yaml:18:7 flows.orders-to-crm.adapter.signing_key: must have at least 8 characters"
    ),
    ("path: /deals", "path: /deals\n      method: PUT\n      copies: 2"): (
        "outbox.yaml:14:5 flows.orders-to-crm.adapter: PUT makes no copies "
        "(in /deals, user='sidecar' password=SecretStr('**********'))"
    ),
    ("password: s3cret-password", "password: [s3cret-password]"): (
        "outbox.yaml:18:30 flows.orders-to-crm.adapter.login.password: must be text or file: and the path of a file"
    ),
    ("[order.confirmed, 'stock.*.#']", "[]"): "outbox.yaml:13:5 flows.orders-to-crm.events: must not be empty",
    ("[order.confirmed, 'stock.*.#']", "[order.con*]"): (
        "outbox.yaml:13:14 flows.orders-to-crm.events[0]=order.con*: must be words of letters, digits, _ and - with "
        "dots between them, at most 255 characters; * stands for one whole word, # for any number; "
        "for example order.confirmed"
    ),
    ("[order.confirmed, 'stock.*.#']", "order.confirmed"): (
        "outbox.yaml:13:5 flows.orders-to-crm.events: must be a list"
    ),
    (", technical: it@example.com", ""): (
        "outbox.yaml:12:5 flows.orders-to-crm.owner.technical: required; must be text"
    ),
    ("required: true", "default: x, required: true"): (
        "outbox.yaml:20:71 flows.orders-to-crm.mapping[0].required=true: "
        "must not be set beside default: a field with a default is never missing"
    ),
    (", default: won", ""): (
        "outbox.yaml:21:9 flows.orders-to-crm.mapping[1].default: required, because there is no source_field"
    ),
    ("target_field: note", "target_field: stage"): (
        "outbox.yaml:19:5 flows.orders-to-crm.mapping: must not fill the same target_field twice ('stage')"
    ),
    ("${CRM_TOKEN}", "12345"): "outbox.yaml:8:5 connections.crm.bearer: must be text; put the value in quotes",
    ("${CRM_TOKEN}", "''"): "outbox.yaml:8:5 connections.crm.bearer: must not be empty",
    ("${CRM_TOKEN}", "file:token"): (
        "outbox.yaml:8:5 connections.crm.bearer: file: must be followed by a path from the root, "
        "for example file:/run/secrets/token"
    ),
    ("${CRM_TOKEN}", "file:/no/such/file"): (
        "outbox.yaml:8:5 connections.crm.bearer: cannot read the file /no/such/file: No such file or directory"
    ),
}


@pytest.mark.parametrize(("change", "problem"), PROBLEM_OF_CHANGE.items(), ids=[new for _, new in PROBLEM_OF_CHANGE])
def test_a_mistake_in_a_flow_is_answered_in_plain_words(change: tuple[str, str], problem: str, tmp_path: Path) -> None:
    old, new = change
    assert COMPLETE.count(old) == 1
    assert problems_of(COMPLETE.replace(old, new), tmp_path, {**URLS, "CRM_TOKEN": "t0ken"}) == [problem]


def test_everything_wrong_at_once_is_reported_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    text = """\
rabbitmq: {heartbeat: 20s, prefech: 3}
http: {port: -1}
connections:
  crm: {base_url: https://crm, bearer: "${NOPE}", max_connections: 0}
flows:
  Orders:
    events: [order.confirmed]
    adapter: {use: rest, connection: cmr, copies: 0}
    retry: {first: 10m, atempts: 1}
"""
    environ = {"OUTBOX_HTTP_PORT": "eighty", "OUTBOX_PG_ULR": "postgresql://a:b@c", "OUTBOX_AMQP_URL": "http://a:b@c"}
    assert problems_of(text, tmp_path, environ) == [
        (
            "outbox.yaml:1:1 rabbitmq.confirm_timeout: is 30s unless set, "
            "but must be greater than 2 x heartbeat (20s), for example 1m"
        ),
        "outbox.yaml:1:28 rabbitmq.prefech: unknown key; did you mean 'prefetch'?",
        "outbox.yaml:4:32 connections.crm.bearer: the environment variable NOPE is not set",
        "outbox.yaml:4:51 connections.crm.max_connections=0: must be a whole number between 1 and 1000, for example 20",
        (
            "outbox.yaml:6:3 flows.Orders: must be at most 63 small letters, digits and hyphens, a letter first, "
            "for example orders-to-crm"
        ),
        "outbox.yaml:6:3 flows.Orders.description: required; must be text",
        "outbox.yaml:8:5 flows.Orders.adapter.path: required; must be text",
        "outbox.yaml:8:26 flows.Orders.adapter.connection=cmr: unknown connection, known are crm; did you mean 'crm'?",
        "outbox.yaml:8:43 flows.Orders.adapter.copies=0: must be a whole number of at least 1, for example 1",
        "outbox.yaml:9:5 flows.Orders.retry.max: is 5m unless set, but must be at least first (10m), for example 10m",
        "outbox.yaml:9:25 flows.Orders.retry.atempts: unknown key; did you mean 'attempts'?",
        "OUTBOX_AMQP_URL: must begin with amqp:// or amqps://, for example amqp://relay@localhost:5672/",
        "OUTBOX_HTTP_PORT=eighty: must be a whole number between 0 and 65535, for example 8080",
        "OUTBOX_PG_ULR: unknown variable; did you mean 'OUTBOX_PG_URL'?",
        (
            "postgres.url: required; set OUTBOX_PG_URL or postgres.url in outbox.yaml, "
            "for example postgresql://relay@localhost:5432/erp"
        ),
    ]


def test_the_error_lists_its_problems_and_the_next_step_and_ends_with_78(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems) as caught:
        settings_of("drain: x\nhtpp: {}", tmp_path)
    text = str(caught.value).replace(f"{tmp_path}/", "")
    assert text == (
        "the configuration has 2 problems:\n"
        "  outbox.yaml:1:1 drain=x: must be a duration between 0s and 1h, for example 20s\n"
        "  outbox.yaml:2:1 htpp: unknown key; did you mean 'http'?\n"
        "  next step: correct the configuration and start again"
    )
    assert isinstance(caught.value, Misconfigured)
    assert caught.value.exit_code is ExitCode.MISCONFIGURED


def test_a_name_with_control_characters_cannot_disturb_a_terminal(tmp_path: Path) -> None:
    (problem,) = problems_of('"\\e[31mred": 1', tmp_path)
    assert problem.startswith("outbox.yaml:1:1 '\\x1b[31mred': unknown key")
