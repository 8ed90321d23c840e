"""Whether a target's record is what was sent, by the fields that the settings name. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from adapters import text_template
from adapters.json_text import MISSING, dig
from outbox.model.connection import broken_rule
from outbox.model.errors import MappingError

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NUMERAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")


def _checked(template: str) -> str:
    problem = text_template.problem_of(template)
    if problem is not None:
        raise broken_rule(problem)
    return template


SameText = Annotated[str, AfterValidator(_checked)]


class SameDecimal(BaseModel):
    """A number that is compared by value, also where the target or the document writes it as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimal: SameText


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a field must be: its text, None for nothing; as a number where ``is_number``."""

    text: str | None
    is_number: bool = False

    def fits(self, value: object) -> bool:
        """Say whether a record's field is this. Numbers of an answer are their text."""
        if self.text is None or value is None or value is MISSING:
            return self.text is None and (value is None or value is MISSING)
        if isinstance(value, bool):
            return self.text == ("true" if value else "false") and not self.is_number
        if not isinstance(value, str):
            return False
        if not self.is_number or value == self.text:
            return value == self.text
        return _NUMERAL.fullmatch(value) is not None and Decimal(value) == Decimal(self.text)


def wanted(
    same: Mapping[str, str | SameDecimal], reference: str, document: Mapping[str, object] | None
) -> dict[str, Wanted]:
    """Return what the fields of the record must be.

    Args:
        same: as the settings have it.
        reference: what ``{reference}`` stands for.
        document: what every other placeholder is taken from; None: it cannot be made any more.

    Raises:
        MappingError: what is needed for the comparison is not there, or is no number.
    """
    return {path: _wanted(template, reference, document) for path, template in same.items()}


def _wanted(template: str | SameDecimal, reference: str, document: Mapping[str, object] | None) -> Wanted:
    text = template if isinstance(template, str) else template.decimal
    names = [name for name in text_template.names_in(text) if name != "reference"]
    if document is None and names:
        raise MappingError(names[0], "cannot be compared: the request cannot be built again")
    whole = _PLACEHOLDER.fullmatch(text)
    values = {**(document or {}), "reference": reference}
    value = dig(values, whole[1]) if whole is not None else MISSING
    if whole is not None and (value is None or value is MISSING):
        return Wanted(None)
    filled = text_template.fill(text, values, needed_by="the comparison with the record")
    if isinstance(template, str):
        # The document says that it is a number: 12.50 is 12.5, which a text would not be.
        return Wanted(filled, is_number=isinstance(value, int | float | Decimal) and not isinstance(value, bool))
    if _NUMERAL.fullmatch(filled) is None:
        raise MappingError(names[0] if names else "(decimal)", "is no number, and the record is compared by it")
    return Wanted(filled, is_number=True)
