"""The settings of a mapping: a list of rules, each of which fills one field of the target's document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from outbox.config.rules import broken_rule
from outbox.config.strict import Strict
from outbox.config.transforms import (
    Count,
    Date,
    DecimalPlaces,
    Divide,
    ExactNumber,
    Flag,
    Number,
    Pad,
    Table,
    Text,
    Unit,
    Xref,
    also_written,
)
from outbox.model.expressions import BadExpression
from outbox.model.paths import parse_expression, parse_source, parse_target
from outbox.model.templates import parse_template

# The one setting of a transform that people give alone, as in `decimal: 2`.
_ALONE = {"pad_left": "length", "pad_right": "length", "decimal": "places", "divide": "by"}
# Transforms whose settings all have defaults: the word alone will do.
_SETTINGS = frozenset({"number", "date"})


def _check_source(text: str) -> str:
    return _checked(text, parse_source)


def _check_target(text: str) -> str:
    return _checked(text, parse_target)


def _check_when(text: str) -> str:
    return _checked(text, parse_expression)


def _check_template(text: str) -> str:
    return _checked(text, parse_template)


def _checked(text: str, parse: Any) -> str:  # noqa: ANN401 - one of the parsers, whose results differ
    try:
        parse(text)
    except BadExpression as error:
        raise broken_rule(str(error)) from None
    return text


def steps_of(value: object) -> object:
    """Return transforms as a list of mappings, whatever short form they were given in; what is none stays as it is."""
    if value is None:
        return value
    steps = list(value) if isinstance(value, list | tuple) else [value]
    return [_step_of(step) for step in steps]


def _step_of(step: object) -> object:
    if isinstance(step, str):
        return {step: {} if step in _SETTINGS else True}
    if not isinstance(step, dict):
        return step
    return {
        name: {_ALONE[name]: value}
        if name in _ALONE and not isinstance(value, Mapping | Strict)
        else {}
        if name in _SETTINGS and value is True
        else value
        for name, value in step.items()
    }


class Transform(Strict):
    """One step of what is done with a value; has exactly one of its keys."""

    uppercase: Annotated[Flag | None, Field(description="Large letters.")] = None
    lowercase: Annotated[Flag | None, Field(description="Small letters.")] = None
    trim: Annotated[Flag | None, Field(description="No spaces at both ends.")] = None
    collapse_spaces: Annotated[Flag | None, Field(description="Each run of spaces and line breaks is one space.")] = (
        None
    )
    truncate: Annotated[Count | None, Field(description="At most so many characters.")] = None
    replace: Annotated[
        dict[Text, str] | None, Field(min_length=1, max_length=100, description="Texts and what stands for them.")
    ] = None
    remove: Annotated[Text | None, Field(description="None of these characters.")] = None
    prefix: Annotated[Text | None, Field(description="A text before it.")] = None
    suffix: Annotated[Text | None, Field(description="A text behind it.")] = None
    pad_left: Annotated[Pad | None, also_written(Pad | int), Field(description="Filled up on the left.")] = None
    pad_right: Annotated[Pad | None, also_written(Pad | int), Field(description="Filled up on the right.")] = None
    normalize: Annotated[
        Literal["NFC", "NFD", "NFKC", "NFKD"] | None, Field(description="One of the normal forms of Unicode.")
    ] = None
    ascii: Annotated[Flag | None, Field(description="Letters without marks; what has no ASCII form is an error.")] = (
        None
    )
    empty_is_missing: Annotated[Flag | None, Field(description="An empty text counts as missing.")] = None
    string: Annotated[Flag | None, Field(description="A number or a boolean as text, every digit of it.")] = None
    number: Annotated[Number | None, Field(description="A text as a number, exactly.")] = None
    integer: Annotated[Flag | None, Field(description="A number without a fraction; one that has one is an error.")] = (
        None
    )
    decimal: Annotated[
        DecimalPlaces | None, also_written(DecimalPlaces | int), Field(description="A number with fixed places.")
    ] = None
    multiply: Annotated[ExactNumber | None, Field(description="The product with a number.")] = None
    divide: Annotated[Divide | None, also_written(Divide | int | str), Field(description="The quotient.")] = None
    unit: Annotated[Unit | None, Field(description="The quantity in another unit.")] = None
    date: Annotated[Date | None, Field(description="A date or time in another form or time zone.")] = None
    table: Annotated[Table | None, Field(description="What a table has for the value.")] = None
    xref: Annotated[Xref | None, Field(description="The id of the same thing in another system.")] = None
    split: Annotated[Text | None, Field(description="The parts of a text between these separators, as a list.")] = None
    join: Annotated[str | None, Field(max_length=100, description="The texts of a list, with this between.")] = None
    first: Annotated[Flag | None, Field(description="The first entry of a list; of an empty one: missing.")] = None
    last: Annotated[Flag | None, Field(description="The last entry of a list; of an empty one: missing.")] = None
    distinct: Annotated[Flag | None, Field(description="Each text or number of a list once, in order.")] = None
    sum: Annotated[Flag | None, Field(description="The sum of a list of numbers, exactly.")] = None
    count: Annotated[Flag | None, Field(description="How many entries a list has.")] = None
    list: Annotated[Flag | None, Field(description="A list of this one value; a list stays one.")] = None

    @property
    def name(self) -> str:
        """Return which transform this is."""
        return next(iter(self.model_fields_set))

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        given = sorted(self.model_fields_set)
        if len(given) != 1 or getattr(self, given[0]) is None:
            raise broken_rule("must have one transform, with its settings; a chain is a list of them")
        return self


WORDS = tuple(
    sorted(_SETTINGS | {name for name, field in Transform.model_fields.items() if Flag in get_args(field.annotation)})
)
_Word = Literal[WORDS]  # type: ignore[valid-type]  # the names of the model's own fields
Transforms = Annotated[
    tuple[Transform, ...],
    Field(max_length=50),
    BeforeValidator(steps_of, json_schema_input_type=_Word | Transform | list[_Word | Transform]),
]


class MappingField(Strict):
    """One field of the target document: a value of the event, or a constant."""

    source_field: Annotated[
        str | None,
        AfterValidator(_check_source),
        Field(
            min_length=1,
            description="Path of the value in the event, or another JMESPath expression; without it the default is a "
            "constant.",
        ),
    ] = None
    target_field: Annotated[
        str, AfterValidator(_check_target), Field(min_length=1, description="Path of the value in the target document.")
    ]
    template: Annotated[
        str | None,
        AfterValidator(_check_template),
        Field(min_length=1, description="A text with paths in braces, instead of source_field."),
    ] = None
    position: Annotated[
        int | None,
        Field(ge=0, le=1_000_000, description="The place in its list instead of a value; the first is this number."),
    ] = None
    when: Annotated[
        str | None,
        AfterValidator(_check_when),
        Field(min_length=1, description="JMESPath expression; the rule is left out where it does not hold."),
    ] = None
    transform: Annotated[Transforms, Field(description="What is done with the value, one after another.")] = ()
    fields: Annotated[
        tuple[MappingField, ...] | None,
        Field(min_length=1, description="Rules for the object, or for each object of the list, that the value is."),
    ] = None
    default: Annotated[Any, Field(description="The value where the event has none; any JSON value.")] = None
    required: Annotated[bool, Field(description="An event without the value becomes a dead letter.")] = False
    null_is: Annotated[
        Literal["value", "missing"], Field(description="Whether null is sent, or counts as missing.")
    ] = "value"

    @property
    def has_default(self) -> bool:
        """Say whether a default was given; null is one."""
        return "default" in self.model_fields_set

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        origins = [name for name in ("source_field", "template", "position") if getattr(self, name) is not None]
        if len(origins) > 1:
            raise broken_rule(f"must not be set beside {origins[0]}", field=origins[1])
        if not origins and not self.has_default:
            raise broken_rule("required, because there is no source_field", field="default")
        if self.required and self.has_default:
            raise broken_rule(
                "must not be set beside default: a field with a default is never missing", field="required"
            )
        if self.fields is not None and origins != ["source_field"]:
            raise broken_rule("needs a source_field: the object or list that its rules are for", field="fields")
        if not origins and self.transform:
            raise broken_rule("must not be set for a constant: write the default as it is to be", field="transform")
        return self


def asked_flows(fields: Iterable[MappingField]) -> Iterator[str]:
    """Yield the flows that are asked for records whose ids these rules need."""
    for one in fields:
        yield from (step.xref.flow for step in one.transform if step.xref is not None and step.xref.flow is not None)
        yield from asked_flows(one.fields or ())
