"""Where settings come from, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from outbox.config import flows as flows_module
from outbox.config import inbox as inbox_module
from outbox.config import settings as settings_module
from outbox.config.environment import VARIABLES
from outbox.config.expected import expected_at
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.settings import Settings
from outbox.model.backoff import Backoff
from outbox.model.delivery import RetryPolicy
from tests.unit.config_cases import COMPLETE, URLS, RestSettings, problems_of, settings_of


def test_two_addresses_in_the_environment_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(path=None, environ=URLS, adapters={})
    assert settings.postgres.url.get_secret_value() == URLS["OUTBOX_PG_URL"]
    assert settings.rabbitmq.url.get_secret_value() == URLS["OUTBOX_AMQP_URL"]
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert (settings.relay.poll_busy, settings.relay.poll_idle) == (0.001, 0.075)
    assert settings.rabbitmq.max_payload_bytes == 64 * 1024 * 1024
    assert settings.drain == 20
    assert settings.flows == {}


def test_a_complete_file_becomes_typed_settings(tmp_path: Path) -> None:
    settings = settings_of(COMPLETE, tmp_path, {**URLS, "CRM_TOKEN": "t0ken"})
    flow = settings.flows["orders-to-crm"]
    bearer = settings.connections["crm"].bearer
    assert bearer is not None
    assert bearer.get_secret_value() == "t0ken"
    assert flow.events == ("order.confirmed", "stock.*.#")
    assert (flow.adapter.use, flow.adapter.connection) == ("rest", "crm")
    assert isinstance(flow.adapter.settings, RestSettings)
    assert flow.adapter.settings.path == "/deals"
    assert flow.retry.policy() == RetryPolicy(3, Backoff(first_seconds=0.25, max_seconds=300.0))
    assert [entry.has_default for entry in flow.mapping] == [False, True, True]


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = settings_of("", tmp_path)
    with pytest.raises(ValidationError):
        settings.http.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeffdrain: 20s\n", "http:\nflows:\nconnections: {}\n"])
def test_an_empty_file_or_section_means_the_defaults(text: str, tmp_path: Path) -> None:
    assert settings_of(text, tmp_path) == settings_of("http: {}", tmp_path)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    text = "postgres: {url: '${NOPE}'}\nhttp: {port: eighty, host: '::1'}\nrelay: {source: /file}\nlog: {level: debug}"
    environ = {**URLS, "OUTBOX_HTTP_PORT": "0", "OUTBOX_RELAY_SOURCE": "/env", "OUTBOX_DRAIN": "1m"}
    settings = settings_of(text, tmp_path, environ)
    assert (settings.http.port, settings.http.host) == (0, "::1")
    assert (settings.relay.source, settings.drain, settings.log.level) == ("/env", 60, "debug")


def test_the_file_is_the_one_asked_for_then_the_variables_then_the_one_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seconds in (("asked.yaml", 1), ("variable.yaml", 2), ("outbox.yaml", 3)):
        Path(name).write_text(f"drain: {seconds}s", encoding="utf-8")
    variable = {**URLS, "OUTBOX_CONFIG": "variable.yaml"}
    assert load(path=Path("asked.yaml"), environ=variable, adapters={}).drain == 1
    assert load(path=None, environ=variable, adapters={}).drain == 2
    assert load(path=None, environ=URLS, adapters={}).drain == 3


def test_a_file_that_is_asked_for_must_exist(tmp_path: Path) -> None:
    for path, environ, place in (
        (Path("/no/such.yaml"), {}, "--config"),
        (None, {"OUTBOX_CONFIG": "/no/such.yaml"}, "OUTBOX_CONFIG"),
    ):
        with pytest.raises(ConfigProblems) as caught:
            load(path=path, environ=environ, adapters={})
        assert [str(problem) for problem in caught.value.problems] == [
            f"{place}: cannot read the file /no/such.yaml: No such file or directory"
        ]
    assert problems_of("#" * (1024 * 1024 + 1), tmp_path) == ["--config: the file outbox.yaml is larger than 1024KiB"]
    assert problems_of("drain: \udcff", tmp_path) == ["--config: the file outbox.yaml is not UTF-8 text"]


def test_what_the_environment_says_is_judged_even_without_the_file(tmp_path: Path) -> None:
    assert problems_of("a: [", tmp_path, {"OUTBOX_HTTP_PORT": "x"}) == [
        (
            "outbox.yaml:1:5: not valid YAML: while parsing a flow node, "
            "expected the node content, but found '<stream end>'"
        ),
        "OUTBOX_HTTP_PORT=x: must be a whole number between 0 and 65535, for example 8080",
    ]


PROBLEM_OF_VARIABLE = {
    ("OUTBOX_HTTP_PRT", "80"): "OUTBOX_HTTP_PRT: unknown variable; did you mean 'OUTBOX_HTTP_PORT'?",
    ("OUTBOX_HTTP_PORT", ""): "OUTBOX_HTTP_PORT: is set but empty; give it a value or remove it",
    ("OUTBOX_DRAIN", "20"): "OUTBOX_DRAIN=20: has no unit; must be a duration between 0s and 1h, for example 20s",
    ("OUTBOX_LOG_FORMAT", "JSON"): "OUTBOX_LOG_FORMAT=JSON: must be one of json, console; did you mean 'json'?",
    ("OUTBOX_PG_URL", "mysql://u:pw@h/d"): (
        "OUTBOX_PG_URL: must begin with postgresql:// or postgres://, for example postgresql://relay@localhost:5432/erp"
    ),
    ("OUTBOX_AMQP_URL", "amqp://u:p w@h/"): (
        "OUTBOX_AMQP_URL: must not contain spaces or line breaks; in a password write them as %20 and so on"
    ),
    ("OUTBOX_AMQP_URL", "amqp://u:pw@h:port/"): (
        "OUTBOX_AMQP_URL: must name a host, and a port only as a number, for example amqp://relay@localhost:5672/"
    ),
    ("OUTBOX_PG_URL_FILE", "/run/x"): "OUTBOX_PG_URL_FILE: must not be set beside OUTBOX_PG_URL; remove one of them",
    ("OUTBOX_HTTP_PORT", "tcp://10.0.0.7:80"): (
        "OUTBOX_HTTP_PORT=tcp://10.0.0.7:80: was set by Kubernetes for a Service of that name; "
        "set enableServiceLinks: false on the pod or rename the Service"
    ),
}


@pytest.mark.parametrize(("variable", "problem"), PROBLEM_OF_VARIABLE.items(), ids=lambda value: str(value)[:40])
def test_a_mistake_in_a_variable_is_answered_with_its_name(
    variable: tuple[str, str], problem: str, tmp_path: Path
) -> None:
    assert problems_of("", tmp_path, {**URLS, variable[0]: variable[1]}) == [problem]


def test_what_kubernetes_says_about_a_service_called_outbox_is_no_mistake(tmp_path: Path) -> None:
    links = {
        "OUTBOX_SERVICE_HOST": "10.0.0.1",
        "OUTBOX_SERVICE_PORT_HTTP": "80",
        "OUTBOX_PORT": "tcp://10.0.0.1:80",
        "OUTBOX_PORT_80_TCP": "tcp://10.0.0.1:80",
        "OUTBOX_PORT_80_TCP_ADDR": "10.0.0.1",
        "OUTBOX_ADMIN_PORT": "tcp://10.0.0.2:80",
    }
    assert problems_of("", tmp_path, {**URLS, **links}) == []
    assert len(problems_of("", tmp_path, {**URLS, "OUTBOX_ADMIN_PORT": "80"})) == 1


def test_a_variable_of_ours_that_the_file_mentions_is_known(tmp_path: Path) -> None:
    settings = settings_of("relay: {source: '${OUTBOX_NODE}'}", tmp_path, {**URLS, "OUTBOX_NODE": "/node"})
    assert settings.relay.source == "/node"


def test_no_adapter_at_all_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "outbox.yaml"
    path.write_text(
        "flows: {a: {description: d, events: [e], adapter: {use: rest, connection: crm}}}", encoding="utf-8"
    )
    with pytest.raises(ConfigProblems) as caught:
        load(path=path, environ=URLS, adapters={})
    assert [problem.problem for problem in caught.value.problems] == [
        "unknown adapter, there is no adapter",
        "unknown connection, there is no connection",
    ]


def test_every_setting_has_a_description() -> None:
    silent = [
        f"{model.__name__}.{name}"
        for module in (settings_module, flows_module, inbox_module)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_every_variable_sets_something_that_exists() -> None:
    for path in VARIABLES.values():
        assert expected_at(Settings, path) != []


def test_the_inbox_remembers_as_long_as_a_copy_can_come(tmp_path: Path) -> None:
    days = 86_400
    assert settings_of("", tmp_path).remembered_seconds() == 61 * days
    settings = settings_of("{retention: {keep: 10d, partition_every: 7d}, inbox: {queue_life: 5d}}", tmp_path)
    assert settings.remembered_seconds() == 22 * days
    assert settings_of("inbox: {keep: 90d}", tmp_path).remembered_seconds() == 90 * days
    (problem,) = problems_of("inbox: {keep: 60d}", tmp_path)
    assert "at least retention.keep, retention.partition_every and inbox.queue_life together (61d)" in problem
