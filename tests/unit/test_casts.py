"""Versions of a type: which ones a flow takes, and the steps that lead to them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.registry import ADAPTERS
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.settings import Settings
from outbox.flow.casts import Casts, Step, gaps
from outbox.flow.contract import ContractKey
from outbox.flow.mapping import FieldRule
from outbox.flow.mapping import Mapping as Fields
from outbox.model.errors import MappingError, Misconfigured
from outbox.model.versions import topic_of, unchanged, version_of
from outbox.wiring_rabbitmq import routes
from outbox.wiring_reconcile import subject_of
from outbox.wiring_versions import casts_of
from tests.kit.cli import FLOW, one_flow

TYPE = "order.confirmed"
RENAMED = [{"source_field": "ref", "target_field": "order_ref", "required": True}]
XREF = [{"xref": {"entity": "customer", "system": "crm"}}]
BACK = [{"source_field": "order_ref", "target_field": "ref", "required": True}]


def step(to: int) -> Step:
    """Make a step that leaves a trace."""
    return Step(
        to, Fields.compile([FieldRule("trace", "trace.before"), FieldRule(None, "trace.to", to, has_default=True)])
    )


def casts(*patterns: str, up: Mapping[int, int] | None = None, down: Mapping[int, int] | None = None) -> Casts:
    steps = [{ContractKey(TYPE, one): step(to) for one, to in (side or {}).items()} for side in (up, down)]
    return Casts(patterns, steps[0], steps[1])


def trace(payload: bytes) -> list[int]:
    here, found = json.loads(payload)["trace"], []
    while isinstance(here, dict):
        found.append(here["to"])
        here = here["before"]
    return found[::-1]


@pytest.mark.parametrize(
    ("patterns", "version", "expected", "way"),
    [
        (("order.*",), 7, 7, []),
        (("order.*@2", "#"), 1, 1, []),
        (("order.confirmed@2",), 2, 2, []),
        (("order.confirmed@2",), 1, 2, [2]),
        (("order.confirmed@4",), 1, 4, [2, 4]),
        (("order.confirmed@2", "order.confirmed@4"), 1, 4, [2, 4]),
        (("order.confirmed@1",), 4, 1, [1]),
        (("*.confirmed@2",), 1, 2, [2]),
        (("stock.*@9",), 1, 1, []),
    ],
)
def test_an_event_is_taken_as_it_is_or_brought_to_a_version_that_the_flow_knows(
    patterns: tuple[str, ...], version: int, expected: int, way: list[int]
) -> None:
    taken, payload = casts(*patterns, up={1: 2, 2: 4}, down={4: 1})(TYPE, version, b'{"trace": "start"}')

    assert taken == expected
    assert (payload if not way else trace(payload)) == (way or b'{"trace": "start"}')


@pytest.mark.parametrize(("wanted", "version"), [(3, 1), (3, 4), (1, 2), (9, 1)])
def test_a_version_from_which_no_steps_lead_is_refused_by_name(wanted: int, version: int) -> None:
    with pytest.raises(MappingError, match=rf"is order\.confirmed@{version}, this flow takes version {wanted}, and no"):
        casts(f"order.confirmed@{wanted}", up={1: 2, 2: 4}, down={4: 1})(TYPE, version, b"{}")


def test_a_payload_that_does_not_fit_a_step_is_refused_by_its_field() -> None:
    needs = Step(2, Fields.compile([FieldRule("ref", "order_ref", required=True)]))

    with pytest.raises(MappingError, match=r"field 'ref' .*is missing"):
        Casts(("order.confirmed@2",), {ContractKey(TYPE, 1): needs}, {})(TYPE, 1, b"{}")


def test_every_digit_of_a_number_survives_the_steps() -> None:
    payload = b'{"trace": [12345678901234567890.10, 123456789012345678901234567890]}'

    _, taken = casts("order.confirmed@4", up={1: 2, 2: 4})(TYPE, 1, payload)

    assert b"[12345678901234567890.10,123456789012345678901234567890]" in taken


@given(
    st.dictionaries(st.integers(1, 6), st.integers(1, 6)),
    st.dictionaries(st.integers(1, 6), st.integers(1, 6)),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_a_walk_over_steps_ends_where_it_was_asked_to_or_not_at_all(
    up: dict[int, int], down: dict[int, int], version: int, wanted: int
) -> None:
    rising = {one: to for one, to in up.items() if to > one}
    falling = {one: to for one, to in down.items() if to < one}

    path = casts("order.confirmed@1", up=rising, down=falling).path(ContractKey(TYPE, version), wanted)

    assert path is None or (path[-1].to if path else version) == wanted


def test_steps_that_lead_past_what_a_flow_knows_are_a_mistake() -> None:
    keys = [ContractKey(TYPE, one) for one in (1, 2, 4)]

    assert gaps(casts("order.confirmed@3", up={1: 2, 2: 4}), keys) == [
        "the steps from order.confirmed@1 do not lead to version 3",
        "the steps from order.confirmed@2 do not lead to version 3",
    ]
    assert gaps(casts("order.confirmed@4", up={1: 2, 2: 4}), keys) == []
    assert gaps(casts("order.confirmed", up={1: 2, 2: 4}), keys) == []


def test_a_pattern_is_a_topic_and_a_version() -> None:
    assert (topic_of("order.*@2"), version_of("order.*@2")) == ("order.*", 2)
    assert (topic_of("order.*"), version_of("order.*")) == ("order.*", None)
    assert unchanged(TYPE, 2, b"x") == (2, b"x")


def settings(events: list[str], **sections: object) -> dict[str, Any]:
    content: Any = one_flow() | sections
    content["flows"][FLOW]["events"] = events
    return content


def loaded(tmp_path: Path, content: object) -> Settings:

    file = tmp_path / "outbox.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    environ = {"OUTBOX_PG_URL": "postgresql://relay@localhost/erp", "OUTBOX_AMQP_URL": "amqp://localhost/"}
    return load(path=file, environ=environ, adapters={name: kind.settings for name, kind in ADAPTERS.items()})


def test_a_queue_is_bound_by_the_types_of_a_flow_and_steps_come_from_the_settings(tmp_path: Path) -> None:
    content = settings(
        ["order.confirmed@1", "order.confirmed@2", "stock.*"],
        upcasters={"order.confirmed@1": {"to": 2, "mapping": RENAMED}},
        downcasters={"order.confirmed@3": {"to": 2, "mapping": BACK}},
    )

    found = loaded(tmp_path, content)

    assert [route.events for route in routes(found)] == [("order.confirmed", "stock.*")]
    counted = subject_of(FLOW, found.flows[FLOW]).patterns
    assert any(re.search(pattern, ".order.confirmed") for pattern in counted)
    assert casts_of(found, FLOW)(TYPE, 3, b'{"order_ref": "SO-1"}') == (2, b'{"ref":"SO-1"}')


@pytest.mark.parametrize(
    ("events", "sections", "problem"),
    [
        (["order@0"], {}, "must have the number of a version behind the @"),
        (["order@one"], {}, "must have the number of a version behind the @"),
        (["order@"], {}, "must have the number of a version behind the @"),
        (["order"], {"upcasters": {"order@2": {"to": 1, "mapping": BACK}}}, "order@2 must lead to a version above 2"),
        (["order"], {"upcasters": {"order@2": {"to": 2, "mapping": BACK}}}, "must lead to a version above 2, not to 2"),
        (["order"], {"downcasters": {"order@1": {"to": 2, "mapping": BACK}}}, "must lead to a version below 1"),
        (["order"], {"upcasters": {"order.*@1": {"to": 2, "mapping": BACK}}}, "must be an event type and the version"),
        (["order"], {"upcasters": {"order@1": {"to": 2, "mapping": []}}}, "must not be empty"),
    ],
)
def test_steps_and_versions_that_make_no_sense_are_told(
    tmp_path: Path,
    events: list[str],
    sections: dict[str, object],
    problem: str,
) -> None:
    with pytest.raises(ConfigProblems) as caught:
        loaded(tmp_path, settings(events, **sections))

    assert problem in str(caught.value)


def test_a_step_that_needs_ids_of_other_systems_is_refused(tmp_path: Path) -> None:
    xref = [{"source_field": "customer", "target_field": "partner", "transform": XREF}]

    with pytest.raises(
        ConfigProblems, match=r"upcasters\.'order@1'\.mapping\[0\]\.transform\[0\]\.xref: must not stand"
    ):
        loaded(tmp_path, settings(["order@2"], upcasters={"order@1": {"to": 2, "mapping": xref}}))


def test_a_gap_is_told_with_the_flow_that_it_concerns(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        settings(["order.confirmed@2"], upcasters={"order.confirmed@1": {"to": 3, "mapping": RENAMED}}),
    )

    with pytest.raises(
        Misconfigured, match=rf"flows\.{FLOW}\.events: the steps from order\.confirmed@1 do not lead to"
    ):
        casts_of(found, FLOW)
