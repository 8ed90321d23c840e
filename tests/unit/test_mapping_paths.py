from __future__ import annotations

from decimal import Decimal

import pytest

from outbox.model.expressions import BadExpression, Expression
from outbox.model.paths import EACH, Path, parse_expression, parse_path, parse_source, parse_target
from tests.unit.mapping_cases import compiled, mapped, problems, refused

ORDER = """{
  "ref": "so-1", "order-id": 7, "a.b": 8, "currency": "EUR", "customer": null, "total": 12.50,
  "lines": [{"no": 1, "sku": "A", "qty": 2, "price": 0.10, "tags": ["x", "y"]},
            {"no": 2, "sku": "B", "qty": 3, "price": 9.90, "tags": []}]
}"""


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a.b", ("a", "b")),
        ("lines[].sku", ("lines", EACH, "sku")),
        ("lines[0].sku", ("lines", 0, "sku")),
        ("lines[-1]", ("lines", -1)),
        ('"order-id"."a.b"', ("order-id", "a.b")),
        ("a[].b[].c", ("a", EACH, "b", EACH, "c")),
        ("@", ()),
        ("[0].x", (0, "x")),
    ],
)
def test_a_plain_path_is_read_and_written_as_it_was(text: str, steps: tuple[object, ...]) -> None:
    path = parse_path(text)

    assert path == Path(steps)  # type: ignore[arg-type]
    assert str(path) == text


def test_a_path_can_begin_at_the_document() -> None:
    assert parse_path("$.customer.name") == Path(("customer", "name"), is_from_document=True)


@pytest.mark.parametrize("text", ["lines[*].sku", "lines[?qty > `2`]", "sum(a)", "a || b", "a | b", "{x: a}", "x[1:]"])
def test_what_is_more_than_a_path_is_an_expression(text: str) -> None:
    assert isinstance(parse_source(text), Expression)
    with pytest.raises(BadExpression, match="must be a plain path"):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has an empty part"),
        ("a..b", "has an empty part at character 3"),
        ("a.", "has an empty part at character 3"),
        ("$.a..b", "has an empty part at character 5"),
        ("order-id", "has '-' at character 6, which JMESPath cannot take there; a name with other characters"),
        ("lines.0.sku", "has a number as a part at character 7; a place in a list is written lines[0]"),
        ("lines[", "ends too early, at character 7"),
        ("lines[0", "ends too early, at character 8"),
        ("a b", "is no JMESPath expression: 'b' at character 3 cannot stand there"),
        ("foo(a)", "calls foo(), which does not exist here; known are abs, ceil"),
        ("avg(a)", "it is not exact: use sum() and the transform divide"),
        ("contains(a)", "calls contains() with 1 arguments, it takes 2"),
        ("a[?b > `0.12345678901234567`]", "has a number of so many digits that it would be rounded"),
        ("a[?b > `1e400`]", "has a number of so many digits that it would be rounded"),
        ("a[?b == `word`]", "has a literal in backticks that is no JSON; text is written 'like this'"),
        ("a[::0]", "has a slice whose step is 0"),
        ("$.a[?b]", "$ can only begin a plain path such as $.currency"),
        ("!" * 100 + "a", "is nested too deep"),
        ("(" * 900, "is nested too deep"),
        ("a" * 1001, "must have at most 1000 characters"),
        (f"a[{'9' * 5000}]"[:900], "ends too early"),
    ],
)
def test_a_malformed_path_is_refused_with_its_place_and_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse_source(text)

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lines.0", "targets cannot be lists by place"),
        ("lines[0]", "targets cannot be lists by place"),
        ("@", "must begin with a name"),
        ("$.a", "must begin with a name"),
        ("[].a", "must begin with a name"),
        ("a[][].b", "has a list inside of a list"),
        ("sum(a)", "must be a plain path"),
    ],
)
def test_a_target_is_made_of_names_and_lists(text: str, problem: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse_target(text)

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("lines[].sku", ["A", "B"]),
        ("lines[].tags[]", ["x", "y"]),
        ("lines[-1].sku", "B"),
        ('"order-id"', 7),
        ('"a.b"', 8),
        ("lines[?qty > `2`].sku", ["B"]),
        ("lines[?price == `0.1`].sku", ["A"]),
        ("sum(lines[].price)", Decimal("10.00")),
        ("length(lines)", 2),
        ("customer || ref", "so-1"),
        ("max_by(lines, &price).sku", "B"),
        ("to_string(total)", "12.50"),
        ("to_number('0.10')", Decimal("0.10")),
        ("join('-', lines[].sku)", "A-B"),
        ("ceil(total)", 13),
        ("sort_by(lines, &price)[0].no", 1),
        ("type(total)", "number"),
        ("contains(lines[].qty, `2`)", True),
        ("contains([`true`], `1`)", False),
        ("contains(currency, 'UR')", True),
        ("not_null(customer, currency)", "EUR"),
    ],
)
def test_values_are_found_exactly(source: str, value: object) -> None:
    found = mapped(ORDER, {"source_field": source, "target_field": "x"})["x"]

    assert (found, str(found)) == (value, str(value))


def test_decimals_in_expressions_keep_every_digit() -> None:
    payload = '{"a": [0.1234567890123456789012345678901, 1E-31], "id": 1234567890123456789}'

    assert mapped(payload, {"source_field": "sum(a)", "target_field": "x"}) == {
        "x": Decimal("0.1234567890123456789012345678902")
    }
    assert mapped(payload, {"source_field": "id", "target_field": "x", "when": "id == `1234567890123456789`"}) == {
        "x": 1234567890123456789
    }
    assert mapped(payload, {"source_field": "id", "target_field": "x", "when": "id == `1234567890123456788`"}) == {}


def test_what_is_missing_or_null_is_neither_more_nor_less() -> None:
    for path in ("customer", "nothing"):
        for sign in ("<", "<=", ">", ">="):
            assert mapped(ORDER, {"source_field": "ref", "target_field": "x", "when": f"{path} {sign} `0`"}) == {}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("ref > total", "cannot be evaluated: it compares values of different kinds"),
        ("lines > total", "cannot be evaluated: it compares values of different kinds"),
        ("`true` < total", "cannot be evaluated: it compares values of different kinds"),
        ("lines[?@ >= `1`]", "cannot be evaluated: it compares values of different kinds"),
        ("lines < mixed", "cannot be evaluated: it compares arrays"),
        ("sum(ref)", "cannot be evaluated: it sum() takes an array, not string"),
        ("sum(lines[].sku)", "cannot be evaluated: it sum() takes a number, not string"),
        ("sum(big)", "cannot be evaluated: it sum() cannot be calculated exactly"),
        ("max(mixed)", "cannot be evaluated: it max() compares numbers with numbers or strings with strings only"),
        ("ceil(huge)", "cannot be evaluated: it ceil() takes no number of so many digits"),
        ("to_string(lines)", "cannot be evaluated: it to_string() takes a scalar, not array"),
        ("sort_by(lines, 'x')", "cannot be evaluated: it sort_by() takes an expression such as &name as its second"),
        (
            "[@,@]" + "|[*][@,@][]" * 40,
            "cannot be evaluated: it would take too long: it visits more than a million values",
        ),
    ],
)
def test_an_expression_without_an_exact_answer_is_an_error_and_not_null(expression: str, why: str) -> None:
    payload = (
        '{"ref": "a", "total": 1, "lines": [{"sku": "x"}], "mixed": [1, "a"], "huge": 1e400, "big": [1e90, 1e-90]}'
    )

    field, target, found = refused(payload, {"source_field": expression, "target_field": "x"})

    assert (field, target) == (expression, "x")
    assert found.startswith(why)
    assert refused(payload, {"source_field": "ref", "target_field": "x", "when": expression})[2].startswith(why)


def test_a_condition_holds_as_jmespath_says() -> None:
    for when, holds in (
        ("currency == 'EUR'", True),
        ("customer", False),
        ("lines[1].tags", False),
        ("!customer", True),
    ):
        found = mapped(ORDER, {"source_field": "ref", "target_field": "x", "when": when})
        assert ("x" in found) is holds, when


def test_the_first_rule_of_a_field_whose_condition_holds_is_taken() -> None:
    rules = (
        {"source_field": "name", "target_field": "x", "when": "kind == 'b2c'"},
        {"source_field": "company", "target_field": "x", "when": "kind == 'b2b'", "default": "unknown"},
        {"target_field": "x", "default": "other"},
    )

    assert mapped('{"kind": "b2c", "name": "Anna"}', *rules) == {"x": "Anna"}
    assert mapped('{"kind": "b2b"}', *rules) == {"x": "unknown"}
    assert mapped('{"kind": "c2c"}', *rules) == {"x": "other"}
    assert "set twice" in problems(rules[2], rules[0])


def test_a_condition_cannot_leave_its_place() -> None:
    with pytest.raises(BadExpression, match="an expression begins where its rule stands"):
        parse_expression("$.a")


def test_an_expression_gives_each_document_values_of_its_own() -> None:
    mapping = compiled({"source_field": "missing || `[1]`", "target_field": "x"})
    first = mapping.apply(b"{}")["x"]
    assert isinstance(first, list)
    first.append(2)

    assert mapping.apply(b"{}") == {"x": [1]}
