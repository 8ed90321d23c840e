"""Any document through any mapping ends in a document or in a MappingError, and numbers stay what they were."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from adapters.json_text import encode
from outbox.config.mapping import Transform
from outbox.flow.mapping import FieldRule, Mapping
from outbox.model.errors import MappingError, Misconfigured
from tests.unit.mapping_cases import compiled

NAMES = st.sampled_from(["a", "b", "c"])
_NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.decimals(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(max_size=8) | st.sampled_from(["0.10", "1e400", "2026-03-29T02:30:00", "-0", "1.234,50", "\u0000"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | _TEXTS | _NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)
_STEPS = st.sampled_from(["", "[]", "[0]", "[-1]"])
PATHS = st.lists(st.tuples(NAMES, _STEPS), min_size=1, max_size=3).map(
    lambda parts: ".".join(name + step for name, step in parts)
)
# Few of them contradict each other, or most examples would end before they begin.
_TARGETS = st.sampled_from(["t", "u.v", "u.w", "x", "y", "z", "i[].x", "i[].y[].z", "i[].y[].v", "i[].w.v"])
_EXPRESSIONS = st.sampled_from(
    [
        "sum(a)",
        "a || b",
        "a[?b > `0.1`].c",
        "max(a)",
        "to_number(a)",
        "a > b",
        "join('-', a)",
        "[a, b]",
        "sort_by(a, &b)",
    ]
)
_TRANSFORMS = st.sampled_from(
    [
        {name: True}
        for name in ("uppercase", "trim", "collapse_spaces", "ascii", "empty_is_missing", "string", "integer")
    ]
    + [{name: True} for name in ("first", "last", "distinct", "sum", "count", "list")]
    + [{"number": {"decimal": ",", "thousands": "."}}, {"number": {}}, {"decimal": {"places": 2}}, {"multiply": "1.19"}]
    + [{"divide": {"by": 3, "places": 2, "rounding": rounding}} for rounding in ("half_even", "up", "floor")]
    + [{"unit": {"from": "kg", "to": "lb", "places": 3, "rounding": "half_up"}}, {"unit": {"from": "kg", "to": "g"}}]
    + [{"date": {"zone": "Europe/Berlin", "to": to}} for to in ("iso", "date", "epoch_seconds", "%d.%m.%y")]
    + [{"date": {"from": origin, "to_zone": "UTC"}} for origin in ("epoch_milliseconds", "epoch_seconds", "%d.%m.%Y")]
    + [{"table": {"values": {"a": 1}, "missing": missing}} for missing in ("dead", "keep", "default")]
    + [{"xref": {"entity": "a", "system": "b"}}, {"split": "."}, {"join": "-"}, {"truncate": 3}, {"remove": "a-"}]
    + [{"replace": {"a": "bb"}}, {"pad_left": {"length": 3}}, {"normalize": "NFKC"}, {"prefix": "x"}]
).map(Transform.model_validate)


def _several(one: st.SearchStrategy[FieldRule]) -> st.SearchStrategy[list[FieldRule]]:
    return st.lists(one, min_size=1, max_size=3, unique_by=lambda rule: rule.target_field)


@st.composite
def rules(draw: st.DrawFn, depth: int = 0) -> FieldRule:
    source, template, position, fields = draw(PATHS | _EXPRESSIONS), None, None, ()
    match draw(st.integers(0, 6)):
        case 0:
            template = draw(st.sampled_from(["{a}-{b.c}", "x", "{{}}{$.a[0]}"]))
        case 1:
            position = 1
        case 2 if depth < 2:
            fields = tuple(draw(_several(rules(depth + 1))))
    has_default = draw(st.booleans())
    return FieldRule(
        None if template or position else source,
        draw(_TARGETS),
        draw(DOCUMENTS) if has_default else None,
        has_default=has_default,
        required=not has_default and draw(st.booleans()),
        template=template,
        position=position,
        when=draw(st.none() | _EXPRESSIONS),
        transforms=tuple(draw(st.lists(_TRANSFORMS, max_size=3))),
        fields=fields,
        null_is_missing=draw(st.booleans()),
    )


@given(_several(rules()), st.dictionaries(NAMES, DOCUMENTS))
def test_any_document_through_any_mapping_is_a_document_or_an_error(
    given_rules: list[FieldRule], document: dict[str, object]
) -> None:
    try:
        mapping = Mapping.compile(given_rules)
    except Misconfigured:
        return
    payload = encode(document)
    try:
        made = mapping.apply(payload)
    except MappingError as error:
        # What else is raised fails the test.
        assert error.reason  # noqa: PT017
        return
    # What was made can be written, and is told of in the same way.
    assert json.loads(encode(made)) is not None
    assert mapping.explain(payload)[0] == made
    assert mapping.needs(payload) == frozenset()


_SECRET = "s3cr3t"
_SECRETS = st.recursive(
    st.just(_SECRET) | st.just(31337) | st.just(Decimal("31337.5")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(_several(rules()), st.dictionaries(NAMES, _SECRETS))
def test_no_error_tells_a_value_of_the_payload(given_rules: list[FieldRule], document: dict[str, object]) -> None:
    try:
        Mapping.compile(given_rules).apply(encode(document))
    except MappingError as error:
        assert _SECRET not in str(error).lower()  # noqa: PT017
        assert "31337" not in str(error)  # noqa: PT017
    except Misconfigured:
        pass


@given(_NUMBERS)
def test_a_number_goes_through_paths_blocks_templates_and_transforms_as_it_is(number: int | Decimal) -> None:
    written = encode(number).decode()
    payload = f'{{"n": {written}, "l": [{{"n": {written}}}]}}'.encode()
    mapping = compiled(
        {"source_field": "n", "target_field": "plain"},
        {"source_field": "l[].n", "target_field": "list[].n"},
        {"source_field": "l", "target_field": "block", "fields": [{"source_field": "n", "target_field": "n"}]},
        {"source_field": "l[*].n | [0]", "target_field": "expression"},
    )

    made = encode(mapping.apply(payload)).decode()

    assert made == (
        f'{{"plain":{written},"list":[{{"n":{written}}}],"block":[{{"n":{written}}}],"expression":{written}}}'
    )


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20))
def test_arithmetic_is_exact(number: Decimal) -> None:
    mapping = compiled(
        {"source_field": "n", "target_field": "x", "transform": [{"multiply": "7"}, {"divide": "7"}, {"decimal": 4}]}
    )

    assert mapping.apply(f'{{"n": {number}}}'.encode())["x"] == number
