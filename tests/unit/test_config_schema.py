"""The schema of the settings file: what editors are told agrees with what loading says."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from pydantic import BaseModel

from adapters.registry import ADAPTERS
from outbox.config.document import read_document
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.schema import settings_schema
from outbox.config.settings import Settings
from tests.unit.config_cases import URLS

ROOT = Path(__file__).parents[2]
MODELS: dict[str, type[BaseModel]] = {name: kind.settings for name, kind in ADAPTERS.items()}
SCHEMA = settings_schema(MODELS)
VALIDATOR = Draft202012Validator(SCHEMA)
PARTS = validators.extend(Draft202012Validator, {"required": lambda *_: None})(SCHEMA)
Key = str | int


def _blocks() -> dict[str, str]:
    """Return every example of settings in the project by its place; other YAML has none of their sections."""
    blocks = {}
    for file in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL)):
            blocks[f"{file.name}-{number}"] = block
    files = [ROOT / "sandbox" / "demo.yaml", *sorted((ROOT / "examples").rglob("*.yaml"))]
    blocks |= {file.name: file.read_text(encoding="utf-8") for file in files}
    sections = {"include", *Settings.model_fields}
    return {
        name: block
        for name, block in blocks.items()
        if isinstance(data := yaml.safe_load(block), dict) and sections & data.keys()
    }


BLOCKS = _blocks()

WHOLE = """\
relay: {source: /erp, lanes: 2, page_bytes: 1MiB, claim_check: {enabled: true, above: 64KiB}}
http: {host: 0.0.0.0, port: 8080}
log: {format: json}
rabbitmq: {tls: {ca_file: /tls/ca.pem}, topology: policies, heartbeat: 5s}
drain: 10s
connections:
  crm:
    base_url: https://crm.example.com
    oauth2: {token_url: https://login.example.com/token, client_id: a, client_secret: b, parameters: {audience: x}}
    allowed_networks: [10.0.0.0/8]
    timeout: 5s
  partner: {base_url: https://p.example.com, basic: {user: a, password: b}, max_answer_bytes: 4096}
flows:
  orders:
    description: d
    owner: {business: a, technical: b}
    events: [order.confirmed, 'stock.*.#']
    rate_limit: 20/s
    on_stale: skip
    direction: inbound
    expect_every: 1d
    alert: {late_after: 30m}
    tolerance: {count: 0, amount: "0.01"}
    runbook: docs/runbooks/orders.md
    retry: {attempts: 3, first: 250ms, max: 1m}
    circuit: {failures: 3}
    mapping:
      - {source_field: a, target_field: b, required: true}
      - {target_field: c, default: {free: [1]}}
    adapter:
      use: rest
      connection: crm
      idempotency: {window: 24h, quoted: true}
      statuses: {409: already_applied}
      rules:
        - {status: [422, 5xx], path: error.code, equals: 7, outcome: throttled, scope: flow}
        - {status: 418, outcome: retry}
      operations:
        order.confirmed:
          {method: PUT, path: '/deals/{id}', headers: {X-Kind: a}, recovery: look_up, settle: 0,
           body: {wrap: data}, look_up: {path: /deals, query: {ref: '{reference}'}, external_id: id}}
        '*': {method: POST, path: /events, body: none}
  webhooks:
    description: d
    events: ['#']
    retry: {schedule: [5s, 5m]}
    adapter: {use: webhook, connection: partner, secrets: [whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB], remembers: 3d}
"""
EXAMPLE = read_document(WHOLE).data


def loads(data: object, folder: Path) -> list[str]:
    """Return what loading finds wrong."""
    file = folder / "outbox.yaml"
    file.write_text(json.dumps(data), encoding="utf-8")
    urls = URLS | {"OUTBOX_AMQP_URL": "amqps://relay:mq-password@mq/"}
    try:
        load(path=file, environ=urls, adapters=MODELS)
    except ConfigProblems as error:
        return [problem.problem for problem in error.problems]
    return []


def places(data: object, path: tuple[Key, ...] = ()) -> Iterator[tuple[Key, ...]]:
    if path:
        yield path
    for key, child in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(child, (*path, key))


PLACES = sorted(places(EXAMPLE), key=str)
# What a name means is looked up where it is used, and a free key has no spelling.
NAMES = {("connections", "crm"), ("connections", "partner")}


def changed(path: tuple[Key, ...], change: object) -> object:
    """Return the example with one key misspelt (None), or with another value."""
    data = copy.deepcopy(EXAMPLE)
    *above, last = path
    here: object = data
    for key in above:
        here = here[key]  # type: ignore[index]
    if change is None and isinstance(here, dict):
        here[f"{last}x"] = here.pop(last)
    else:
        here[last] = change  # type: ignore[index]
    return data


def test_the_schema_is_one_and_its_references_lead_somewhere() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA)
    for name in re.findall(r'"#/\$defs/([^"]+)"', text):
        assert name.replace("%20", " ") in SCHEMA["$defs"]
    assert not re.search(r'"(ge|gt|le|lt)":', text)


def test_every_section_is_in_it_and_described() -> None:
    assert set(SCHEMA["properties"]) == {"include", *Settings.model_fields}
    models = [part for part in SCHEMA["$defs"].values() if part.get("type") == "object"]
    assert all(part.get("description") for part in models)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_example_of_the_project_is_valid_by_it(name: str) -> None:
    data = read_document(BLOCKS[name]).data
    flows = data.get("flows")
    # What a flow must have is left out where one thing of it is explained.
    is_whole = all("adapter" in flow for flow in flows.values()) if isinstance(flows, dict) else True
    validator = VALIDATOR if is_whole else PARTS
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize("name", ["configuration.md-0", "configuration.md-1"])
def test_the_example_tells_editors_where_the_schema_is(name: str) -> None:
    assert re.match(r"# yaml-language-server: \$schema=(\.\./)?outbox\.schema\.json\n", BLOCKS[name])
    assert yaml.safe_load(BLOCKS[name])


def test_the_example_of_this_test_is_valid_for_both(tmp_path: Path) -> None:
    assert loads(EXAMPLE, tmp_path) == []
    assert [error.message for error in VALIDATOR.iter_errors(EXAMPLE)] == []


@settings(max_examples=60)
@given(path=st.sampled_from(PLACES), change=st.sampled_from([None, [], {}, [["x"]], {"a": {"b": 1}}, 3.5, -7, "zzz!"]))
def test_what_it_refuses_is_refused_and_wrong_kinds_and_unknown_keys_are(
    path: tuple[Key, ...], change: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = changed(path, change)
    problems = loads(data, tmp_path_factory.mktemp("example", numbered=True))
    is_valid = VALIDATOR.is_valid(data)
    if not is_valid:
        assert problems, (path, change)
    is_about_form = change is None or isinstance(change, list | dict)
    if problems and is_about_form and path not in NAMES and any(map(_is_of_form, problems)):
        assert not is_valid, (path, change, problems)


def _is_of_form(problem: str) -> bool:
    return problem.startswith(("unknown key", "required; must be", "must be", "must not be empty"))


REFUSED = [
    "flows: {a: {}}",
    "htpp: {}",
    "drain: 20",
    "drain: 20 minutes",
    "relay: {page_bytes: 1 MegaByte}",
    "log: {level: WARN}",
    "http: {port: 70000}",
    "connections: {CRM: {base_url: https://a}}",
    ("flows: {a: {description: d, events: [e], adapter: {use: webhook, connection: c, secrets: [s], operations: {}}}}"),
    "flows: {a: {description: d, events: [e], adapter: {use: rst, connection: c}}}",
    "flows: {a: {description: d, events: [e], adapter: {connection: c}}}",
    "include: flows/*.yaml",
]


@pytest.mark.parametrize("text", REFUSED)
def test_it_refuses_what_it_can_judge(text: str) -> None:
    assert not VALIDATOR.is_valid(read_document(text).data)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "flows:\nhttp:\n",
        "drain: 0",
        "drain: '${DRAIN}'",
        "http: {port: '${PORT}'}",
        "http: {port: '8080'}",
        "log: {level: '${LEVEL}'}",
        "relay: {claim_check: {enabled: '${ON}', above: 65536}}",
        "relay: {source: '${NODE}'}",
        "postgres: {statement_timeout: 5s}",
        "include: [flows/*.yaml]",
        "connections: {crm: {base_url: '${CRM}', bearer: 'file:/run/secrets/crm'}}",
    ],
)
def test_it_takes_references_units_and_what_variables_or_other_files_complete(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(read_document(text).data)] == []
