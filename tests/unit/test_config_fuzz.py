"""Whatever the file and the environment hold, the answer is settings or problems."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.config.flows import Flow, MappingField, Retry
from outbox.config.settings import Settings
from outbox.model.connection import Connection
from tests.unit.config_cases import URLS, RestSettings, problems_of

_FIELDS = sorted(
    {name for model in (Flow, MappingField, Retry, Connection, RestSettings, Settings) for name in model.model_fields}
    | {"url", "use", "connection", "port", "heartbeat", "crm", "flow", "<<", "on", "[key]", "", "user", "password"}
)
_WORDS = [
    "rest",
    "crm",
    "10s",
    "${NOPE}",
    "${A}",
    "$${",
    "file:/nope",
    "file:",
    "postgresql://u:p@h/d",
    "amqp://h",
    "on",
]
_KEYS = st.sampled_from(_FIELDS) | st.text(max_size=5) | st.integers(-3, 3)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(_WORDS)
    | st.dates()
    | st.binary(max_size=5)
    | st.builds(lambda digits, unit: "9" * digits + unit, st.integers(1, 5000), st.sampled_from(["", "s", "B", "GiB"]))
)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=25,
)
_SECTIONS = st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), _DATA, max_size=4)
_FLOWS = st.fixed_dictionaries(
    {
        "flows": st.dictionaries(
            st.sampled_from(["flow", "F", "1"]), st.dictionaries(_KEYS, _DATA, max_size=5) | _DATA
        ),
        "connections": st.dictionaries(
            st.sampled_from(["crm", "C"]), st.dictionaries(_KEYS, _DATA, max_size=5) | _DATA
        ),
    }
)
_ENVIRONMENT = st.dictionaries(
    st.sampled_from(["OUTBOX_HTTP_PORT", "OUTBOX_DRAIN", "OUTBOX_PG_URL", "OUTBOX_PG_URL_FILE", "A", "OUTBOX_X"]),
    st.text(st.characters(exclude_characters="\0"), max_size=20) | st.sampled_from(_WORDS),
)
_RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


@_RELAXED
@given(data=_DATA | _SECTIONS | _FLOWS, environ=_ENVIRONMENT)
def test_any_data_gives_settings_or_problems(data: object, environ: dict[str, str], tmp_path: Path) -> None:
    text = yaml.dump(data, allow_unicode=True)
    for problem in problems_of(text, tmp_path, {**URLS, **environ}):
        assert "\n" not in problem


@_RELAXED
@given(text=st.text(max_size=60) | st.text("{}[]&*!|>'\"%@`:-?,#\n \tab<", max_size=40))
def test_any_text_gives_settings_or_problems(text: str, tmp_path: Path) -> None:
    for problem in problems_of(text.encode("utf-8", "replace").decode(), tmp_path):
        assert "\n" not in problem


@_RELAXED
@given(content=st.binary(max_size=60))
def test_any_bytes_give_settings_or_problems(content: bytes, tmp_path: Path) -> None:
    problems_of(content.decode("utf-8", "surrogateescape"), tmp_path)


@pytest.mark.parametrize("text", ["9" * 5000, "'" + "9" * 5000 + "B'", "'" + "9" * 400 + "s'", "9" * 400 + ".5"])
@pytest.mark.parametrize("field", ["drain: {}", "rabbitmq: {{max_payload_bytes: {}}}", "http: {{port: {}}}"])
def test_a_number_too_large_for_anything_is_a_problem(field: str, text: str, tmp_path: Path) -> None:
    assert len(problems_of(field.format(text), tmp_path)) == 1
