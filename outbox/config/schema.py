"""The form of the settings file as JSON Schema 2020-12, for editors and for checks elsewhere.

What it refuses, loading refuses too, apart from spellings that nobody would choose (1 for true). Not the other way
round: rules between settings, ranges of quantities and what a name refers to are for loading alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from outbox.config.environment import VARIABLES
from outbox.config.expected import expected_at
from outbox.config.flows import AdapterChoice
from outbox.config.include import INCLUDE
from outbox.config.ownership import parse_amount
from outbox.config.quantities import bytes_text, number_text, seconds_text
from outbox.config.rules import Matching
from outbox.config.settings import Settings
from outbox.model.units import parse_bytes, parse_rate, parse_seconds

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = r"\$\{"
_NUMBER = r"\s*[0-9]{1,15}(\.[0-9]{1,15})?\s*"
_SECONDS = rf"^({_NUMBER}(ms|s|m|h|d)\s*|\s*0+(\.0+)?\s*)$|{_REFERENCE}"
_BYTES = rf"^{_NUMBER}(B|KiB|MiB|GiB|kB|MB|GB)\s*$|{_REFERENCE}"
_RATE = rf"^{_NUMBER}/\s*(s|m|h|d)\s*$|{_REFERENCE}"
_QUANTITIES: Mapping[object, JsonSchemaValue] = {
    # Of numbers without a unit only 0 says something.
    parse_seconds: {
        "anyOf": [{"type": "string", "pattern": _SECONDS}, {"const": 0}],
        "examples": ["250ms", "30s", "5m", "24h", "30d"],
    },
    parse_bytes: {
        "anyOf": [{"type": "string", "pattern": _BYTES}, {"type": "integer", "minimum": 0}],
        "examples": ["512B", "256KiB", "15MiB"],
    },
    parse_amount: {
        "type": "string",
        "pattern": rf"^[0-9]*\.?[0-9]*$|{_REFERENCE}",
        "minLength": 1,
        "examples": ["0.01"],
    },
    parse_rate: {"type": "string", "pattern": _RATE, "examples": ["20/s", "100/m", "5000/d"]},
}
_UNITS = (repr(_SECONDS), repr(_BYTES))
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def settings_schema(adapters: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return the schema of the whole file, also of one that is included.

    Args:
        adapters: the settings model of each adapter that a flow may use.
    """
    schema = Settings.model_json_schema(schema_generator=_Generator)
    parts: dict[str, Any] = schema["$defs"]
    parts[AdapterChoice.__name__] = _choice(adapters, parts)
    parts.pop(BaseModel.__name__, None)
    # Variables may give what the file does not, and what an included file has not stands in another one.
    del schema["required"]
    for path in VARIABLES.values():
        for expected in expected_at(Settings, path[:-1]):
            part = parts.get(expected.annotation.__name__, {})
            if path[-1] in part.get("required", ()):
                part["required"].remove(path[-1])
    properties = {INCLUDE: _include()} | {name: _or_nothing(part) for name, part in schema["properties"].items()}
    whole = {"$schema": _DIALECT} | schema | {"title": "outbox.yaml", "properties": properties}
    _tell_bounds(whole)
    return whole


def _or_nothing(part: JsonSchemaValue) -> JsonSchemaValue:
    """Let a section stand there without anything in it."""
    if part.get("type") == "object":
        return part | {"type": ["object", "null"]}
    return {"anyOf": [part, {"type": "null"}]} if "$ref" in part else part


def _include() -> JsonSchemaValue:
    return {
        "description": "Files and patterns, relative to this file, that hold more of the settings.",
        "type": ["array", "null"],
        "items": {"type": "string", "minLength": 1},
        "examples": [["flows/*.yaml"]],
    }


def _choice(adapters: Mapping[str, type[BaseModel]], parts: dict[str, Any]) -> JsonSchemaValue:
    """Return what may stand in a flow's adapter section; the parts of each adapter get its name before theirs."""
    cases = []
    for use, model in sorted(adapters.items()):
        own = model.model_json_schema(schema_generator=_Generator, ref_template=f"#/$defs/{use}.{{model}}")
        parts |= {f"{use}.{name}": part for name, part in own.pop("$defs", {}).items()}
        properties = {"use": {"const": use}, "connection": {"type": "string"}} | own.get("properties", {})
        parts[f"{use} adapter"] = own | {"properties": properties}
        cases.append(
            {
                "if": {"properties": {"use": {"const": use}}, "required": ["use"]},
                "then": {"$ref": _ref(f"{use} adapter")},
            }
        )
    return {
        "description": AdapterChoice.__doc__,
        "type": "object",
        "required": ["use", "connection"],
        "properties": {
            "use": _or_reference({"enum": sorted(adapters)}) | {"description": "Name of the adapter."},
            "connection": {"type": "string", "description": "Name of an entry of connections."},
        },
        "allOf": cases,
    }


def _tell_bounds(node: object) -> None:
    """Turn the bounds of quantities, which JSON Schema can't compare, into words."""
    if isinstance(node, list):
        for child in node:
            _tell_bounds(child)
    if not isinstance(node, dict):
        return
    for child in node.values():
        _tell_bounds(child)
    bounds = {name: node.pop(name) for name in _BOUNDS if isinstance(node.get(name), int | float)}
    if bounds:
        limits = " and ".join(f"{_BOUNDS[name]} {_written(limit, node)}" for name, limit in bounds.items())
        node["description"] = f"{node.get('description', '')} Allowed: {limits}.".strip()


def _written(number: float, schema: JsonSchemaValue) -> str:
    """Write a number as people write it where this schema holds."""
    text = str(schema)
    if repr(_SECONDS) in text:
        return seconds_text(number)
    return bytes_text(int(number)) if repr(_BYTES) in text else number_text(number)


def _ref(name: str) -> str:
    return f"#/$defs/{name.replace(' ', '%20')}"


def _or_reference(schema: JsonSchemaValue, quoted: str | None = None) -> JsonSchemaValue:
    """Let `${NAME}` stand for a value that is no text; ``quoted``: what is taken in quotes as well."""
    pattern = _REFERENCE if quoted is None else rf"^(?:{quoted})$|{_REFERENCE}"
    return {"anyOf": [schema, {"type": "string", "pattern": pattern}]}


class _Generator(GenerateJsonSchema):
    """Writes models as people write them: quantities with units, references to variables, no machine's defaults."""

    _is_key = False

    def field_title_should_be_set(self, _schema: object) -> bool:
        """Leave out titles: they repeat the names."""
        return False

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        quantity = _QUANTITIES.get(schema["function"]["function"])
        return super().function_before_schema(schema) if quantity is None else dict(quantity)

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_after_schema(schema)
        check = schema["function"]["function"]
        if isinstance(check, Matching):
            return inner | {"pattern": self._pattern(rf"^(?:{check.pattern})$")}
        return inner

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        inner = super().str_schema(schema)
        return inner | {"pattern": self._pattern(inner["pattern"])} if "pattern" in inner else inner

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_reference(super().int_schema(schema), r"\s*[-+]?[0-9]+\s*")

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _or_reference(super().float_schema(schema), r"\s*[-+]?[0-9.]+\s*")

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _or_reference(super().bool_schema(schema), "true|false")

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        return _or_reference(super().literal_schema(schema))

    def is_instance_schema(self, _schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        """Write nothing: these are the adapters' settings, which stand in place of it."""
        return {}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        self._is_key, was_key = True, self._is_key
        keys = self.generate_inner(schema.get("keys_schema", core_schema.any_schema()))
        self._is_key = was_key
        names = {key: keys[key] for key in ("pattern", "minLength") if key in keys}
        values = self.generate_inner(schema.get("values_schema", core_schema.any_schema()))
        inner: JsonSchemaValue = {"type": "object", "additionalProperties": values}
        return (
            inner
            | ({"propertyNames": names} if names else {})
            | ({"minProperties": schema["min_length"]} if schema.get("min_length") else {})
        )

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if "anyOf" in inner and isinstance(default, int | float) and any(part in str(inner) for part in _UNITS):
            default = _written(default, inner)
        return inner | {"default": default} if isinstance(default, str | int | float) else inner

    def _pattern(self, pattern: str) -> str:
        return pattern if self._is_key else rf"(?:{pattern})|{_REFERENCE}"
