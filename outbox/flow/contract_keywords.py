"""The words of JSON Schema 2020-12, and where in a schema other schemas stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

SchemaPath = tuple[str | int, ...]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What stands under these: one schema, a list of them, or a mapping of names to them.
ONE_SCHEMA = frozenset(
    {
        *("additionalProperties", "propertyNames", "unevaluatedProperties", "items", "contains", "unevaluatedItems"),
        *("not", "if", "then", "else"),
    }
)
SCHEMA_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SCHEMA_MAPS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
# These say nothing of what is valid.
ANNOTATIONS = frozenset(
    {
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"),
        *("contentEncoding", "contentMediaType", "contentSchema"),
    }
)
_PLAIN = frozenset(
    {
        *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
        *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains"),
        *("maxProperties", "minProperties", "required", "dependentRequired", "format"),
        *("$ref", "$anchor", "$dynamicRef", "$dynamicAnchor"),
    }
)
KEYWORDS = ONE_SCHEMA | SCHEMA_LISTS | SCHEMA_MAPS | ANNOTATIONS | _PLAIN
# A schema's owner may say more, which nobody here reads.
EXTENSION_PREFIX = "x-"
# From when nobody should send a version any more; at the top of its contract.
DEPRECATED_ON = "x-deprecated-on"


def subschemas(schema: Mapping[str, object], path: SchemaPath = ()) -> Iterator[tuple[SchemaPath, object]]:
    """Yield what stands directly in a schema where a schema should, with its path."""
    for keyword, value in schema.items():
        if keyword in ONE_SCHEMA:
            yield (*path, keyword), value
        elif keyword in SCHEMA_LISTS and isinstance(value, list):
            for place, member in enumerate(value):
                yield (*path, keyword, place), member
        elif keyword in SCHEMA_MAPS and isinstance(value, dict):
            for name, member in value.items():
                yield (*path, keyword, name), member


def every_schema(schema: object, path: SchemaPath = ()) -> Iterator[tuple[SchemaPath, Mapping[str, object]]]:
    """Yield a schema and all that stand in it, however deep, each with its path; boolean schemas are left out."""
    pending: list[tuple[SchemaPath, object]] = [(path, schema)]
    while pending:
        at, one = pending.pop()
        if isinstance(one, dict):
            yield at, one
            pending += subschemas(one, at)
