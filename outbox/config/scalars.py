"""What an unquoted word of YAML means. Words that two versions of YAML read differently are refused.

Plain JSON values and text are the same everywhere. ``on``, ``NO``, ``010``, ``1:30`` and ``1e3`` are not: a
country becomes false and a time becomes a number, depending on who reads the file.
"""

from __future__ import annotations

import math
import re

from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
# Numbers of YAML 1.2 that are text, or another number, in YAML 1.1.
_NUMBER_OF_YAML_1_2 = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
# Longer than any number that means something here, shorter than what Python refuses to parse.
_MAX_NUMBER_CHARACTERS = 40

_YAML_1_1 = Resolver()
_TAG = "tag:yaml.org,2002:"


class AmbiguousScalarError(Exception):
    """An unquoted word that must be written differently; the text says how."""


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means.

    Raises:
        AmbiguousScalarError: with what to write instead.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    number = _number(text)
    if number is not None:
        return number
    tag = str(_YAML_1_1.resolve(ScalarNode, text, (True, False))).removeprefix(_TAG)  # type: ignore[no-untyped-call]
    if tag == "bool":
        raise AmbiguousScalarError(
            "unquoted yes, no, on and off mean true or false to some readers of YAML and text to others; "
            "write true or false, or put the word in quotes"
        )
    if tag in {"int", "float"} or _NUMBER_OF_YAML_1_2.fullmatch(text):
        raise AmbiguousScalarError(
            "readers of YAML do not agree on this number; write plain digits, or put it in quotes for text"
        )
    return text


def _number(text: str) -> int | float | None:
    if len(text) > _MAX_NUMBER_CHARACTERS:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else None
    return None
