"""What a mapping may do with a value: one model for each transform that has settings of its own."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from outbox.config.quantities import seconds_text
from outbox.config.rules import broken_rule, matching
from outbox.config.strict import Strict
from outbox.model.awaited import Patience
from outbox.model.exact_numbers import number_of
from outbox.model.measures import UNITS, factor_between, is_finite_decimal, kind_of_unit
from outbox.model.units import Seconds

# Where a validation's context has the rows of CSV files: by file, key, value and delimiter.
TABLES = "tables"
TableName = tuple[str, str, str, str]
# Longer texts are not made by mappings.
_MAX_CHARACTERS = 10_000
# Directives that mean the same in every locale.
_DIRECTIVES = frozenset("YymdHMSfzj%")
_WORDS = ("iso", "date", "epoch_seconds", "epoch_milliseconds")


def _exact_number(value: object) -> object:
    """Read a number exactly. A float is none: nobody knows any more what was written."""
    if isinstance(value, bool | float):
        raise broken_rule("must be a number, for example 1.19")
    if isinstance(value, str):
        number = number_of(value)
        if number is None:
            raise broken_rule("must be a number, for example 1.19")
        return Decimal(number)
    return value


def _check_factor(number: Decimal) -> Decimal:
    if number == 0:
        raise broken_rule("must not be 0")
    return number


def _check_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise broken_rule("must be a time zone of the IANA database, for example Europe/Berlin or UTC") from None
    return name


def _check_format(text: str) -> str:
    if text in _WORDS:
        return text
    found = re.findall(r"%(.?)", text)
    unknown = [letter for letter in found if letter not in _DIRECTIVES or not letter]
    if not found or unknown:
        wrong = f"; %{unknown[0]} means something else in every language" if unknown and unknown[0] else ""
        raise broken_rule(
            f"must be one of {', '.join(_WORDS)}, or a pattern of %Y %y %m %d %H %M %S %f %z %j, "
            f"for example %d.%m.%Y{wrong}"
        )
    return text


def _check_true(value: bool) -> bool:
    if not value:
        raise broken_rule("must be true; leave the transform out where it is not wanted")
    return value


def also_written(kind: Any) -> BeforeValidator:  # noqa: ANN401 - a type, as the typing module has it
    """Tell editors of a short form; it is spelled out before a model sees it."""
    return BeforeValidator(lambda value: value, json_schema_input_type=kind)


ExactNumber = Annotated[Decimal, BeforeValidator(_exact_number), AfterValidator(_check_factor)]
ZoneName = Annotated[str, AfterValidator(_check_zone)]
TimeFormat = Annotated[str, AfterValidator(_check_format)]
Flag = Annotated[bool, AfterValidator(_check_true)]
Places = Annotated[int, Field(ge=0, le=50)]
Rounding = Literal["half_even", "half_up", "half_down", "up", "down", "ceiling", "floor"]
Count = Annotated[int, Field(ge=1, le=_MAX_CHARACTERS)]
Text = Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)]
# Also of a flow's links: the names of the cross-reference.
XrefName = Annotated[
    str,
    matching(r"[a-z][a-z0-9_-]{0,62}", "must be small letters, digits, _ and -, a letter first, for example customer"),
]
UnitName = Literal[UNITS]  # type: ignore[valid-type]  # the names of one table
# A month: whoever waits for longer is better off with a dead letter.
_MAX_WAIT_SECONDS = 31 * 86400
_USUAL_WAIT_SECONDS = 3600.0
_PLACES_WORDS = "Digits behind the decimal point."
_ROUNDING_WORDS = "How to round; without it a digit that would be lost is an error."


class Pad(Strict):
    """Fills a text up."""

    length: Annotated[Count, Field(description="Characters that the text is to have at least.")]
    fill: Annotated[str, Field(min_length=1, max_length=1, description="The character to fill with.")] = " "


class Number(Strict):
    """How a text writes a number."""

    decimal: Annotated[Literal[".", ","], Field(description="What stands before the fraction.")] = "."
    thousands: Annotated[
        Literal[".", ",", " ", "'", "_"] | None, Field(description="What stands between thousands; null: nothing.")
    ] = None

    @model_validator(mode="after")
    def _check_signs(self) -> Self:
        if self.decimal == self.thousands:
            raise broken_rule("must not be the same as decimal", field="thousands")
        return self


class DecimalPlaces(Strict):
    """A number with a fixed number of digits behind the point."""

    places: Annotated[Places, Field(description=_PLACES_WORDS)]
    rounding: Annotated[Rounding | None, Field(description=_ROUNDING_WORDS)] = None


class Divide(Strict):
    """Division; most quotients have no exact decimal."""

    by: Annotated[ExactNumber, Field(description="The divisor.")]
    places: Annotated[Places | None, Field(description=_PLACES_WORDS)] = None
    rounding: Annotated[Rounding | None, Field(description=_ROUNDING_WORDS)] = None

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        _check_rounding(self.places, self.rounding)
        return self


class Unit(Strict):
    """From one unit into another, by exact factors."""

    from_: Annotated[UnitName, Field(alias="from", description="The unit of the value.")]
    to: Annotated[UnitName, Field(description="The unit that is wanted.")]
    places: Annotated[Places | None, Field(description=_PLACES_WORDS)] = None
    rounding: Annotated[Rounding | None, Field(description=_ROUNDING_WORDS)] = None

    @model_validator(mode="after")
    def _check_units(self) -> Self:
        if kind_of_unit(self.from_) != kind_of_unit(self.to):
            raise broken_rule(
                f"must be a unit of {kind_of_unit(self.from_)} like {self.from_}, not of {kind_of_unit(self.to)}",
                field="to",
            )
        _check_rounding(self.places, self.rounding)
        if self.places is None and not is_finite_decimal(factor_between(self.from_, self.to)):
            raise broken_rule(
                f"required, because {self.from_} to {self.to} has no exact decimal; set rounding as well",
                field="places",
            )
        return self


class Date(Strict):
    """A date or a time, read and written."""

    from_: Annotated[
        TimeFormat, Field(alias="from", description="How it is written: one of the words below, or a pattern.")
    ] = "iso"
    to: Annotated[TimeFormat, Field(description="How it is to be written, in the same words.")] = "iso"
    zone: Annotated[
        ZoneName | None, Field(description="Time zone of times that tell no offset; a date is its midnight.")
    ] = None
    to_zone: Annotated[ZoneName | None, Field(description="Time zone to write it in; null: the one it is in.")] = None
    ambiguous: Annotated[
        Literal["refuse", "earlier", "later"],
        Field(description="The hour that a zone has twice when its clocks go back."),
    ] = "refuse"


class Table(Strict):
    """Another value for each of some known ones."""

    values: Annotated[
        dict[str, str | int | bool | Decimal | None] | None,
        Field(description="Known values and what becomes of them."),
    ] = None
    file: Annotated[
        str | None, Field(min_length=1, description="A CSV file with a header, beside the file that names it.")
    ] = None
    key: Annotated[str | None, Field(min_length=1, description="Its column with the known values.")] = None
    value: Annotated[str | None, Field(min_length=1, description="Its column with what becomes of them.")] = None
    delimiter: Annotated[Literal[",", ";", "\t", "|"], Field(description="What stands between its columns.")] = ","
    missing: Annotated[
        Literal["dead", "keep", "default"],
        Field(description="For another value: a dead letter, the value as it is, or as if there were none."),
    ] = "dead"

    _rows: dict[str, str] = PrivateAttr(default_factory=dict)

    def rows(self) -> Mapping[str, str | int | bool | Decimal | None]:
        """Return what is known, wherever it came from."""
        return self._rows if self.values is None else self.values

    @model_validator(mode="after")
    def _check_origin(self, given: ValidationInfo) -> Self:
        if (self.values is None) == (self.file is None):
            raise broken_rule("give either values or file", field="values")
        for name in ("key", "value"):
            if self.file is not None and getattr(self, name) is None:
                raise broken_rule("required beside file: the name of a column", field=name)
            if self.file is None and getattr(self, name) is not None:
                raise broken_rule("must not be set without file", field=name)
        # A model opens no file: whoever reads the settings has read the rows.
        if given.context is not None and TABLES in given.context:
            self._rows = given.context[TABLES].get((self.file, self.key, self.value, self.delimiter), {})
        return self


class Xref(Strict):
    """The id that another system gave to what this value names here, or our key for such an id."""

    entity: Annotated[XrefName, Field(description="What is looked up, for example customer.")]
    system: Annotated[XrefName, Field(description="Whose id is wanted, or given, for example crm.")]
    to: Annotated[
        Literal["id", "key"],
        Field(description="What is wanted: the id that the system gave to our key, or our key for such an id."),
    ] = "id"
    missing: Annotated[
        Literal["dead", "wait", "create_first"],
        Field(
            description="For one that is not known: a dead letter, or the delivery waits until it is linked, after "
            "another flow was asked to bring the record into the system (create_first), or without."
        ),
    ] = "dead"
    flow: Annotated[
        str | None,
        Field(min_length=1, description="The flow that is asked with create_first; it links this entity and system."),
    ] = None
    within: Annotated[
        Seconds | None,
        Field(
            gt=0,
            le=_MAX_WAIT_SECONDS,
            description="For how long it is waited for, then the delivery is a dead letter; null: an hour.",
        ),
    ] = None

    def told(self) -> tuple[str, ...]:
        """Return what people are told of it besides that it is looked up; nothing of what is usual."""
        patience = self.patience()
        to_key = ("to key",) if self.to == "key" else ()
        if patience is None:
            return to_key
        asked = "" if patience.creator is None else f"asks {patience.creator}, "
        return (*to_key, f"({asked}waits {seconds_text(patience.within_seconds)})")

    def patience(self) -> Patience | None:
        """Return how long is waited for one that is not known; None: not at all."""
        if self.missing == "dead":
            return None
        return Patience(_USUAL_WAIT_SECONDS if self.within is None else self.within, self.flow)

    @model_validator(mode="after")
    def _check_wait(self) -> Self:
        if self.missing == "dead" and self.within is not None:
            raise broken_rule("must not be set unless missing says to wait", field="within")
        if self.missing == "create_first" and self.to == "key":
            raise broken_rule(
                "must be id beside create_first: a record of ours is what a flow can be asked for", field="to"
            )
        if self.missing == "create_first" and self.flow is None:
            raise broken_rule(
                "required beside create_first: the flow that brings the record into the system", field="flow"
            )
        if self.missing != "create_first" and self.flow is not None:
            raise broken_rule("must not be set unless missing is create_first", field="flow")
        return self


def _check_rounding(places: int | None, rounding: str | None) -> None:
    if rounding is not None and places is None:
        raise broken_rule("must not be set without places", field="rounding")
