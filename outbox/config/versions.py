"""The settings of upcasters and downcasters: how a payload of one version becomes one of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from outbox.config.mapping import MappingField
from outbox.config.rules import broken_rule, matching
from outbox.config.strict import Strict
from outbox.config.transforms import also_written
from outbox.model.versions import version_of

_MAX_VERSION = 2**31 - 1

CastKey = Annotated[
    str,
    matching(
        r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*@[1-9][0-9]{0,8}",
        "must be an event type and the version that it has, for example order.confirmed@1",
    ),
]


class CastSettings(Strict):
    """One step from a version to another."""

    to: Annotated[int, Field(ge=1, le=_MAX_VERSION, description="The version that it becomes.")]
    mapping: Annotated[
        tuple[MappingField, ...],
        Field(min_length=1),
        also_written(str | list[MappingField]),
        Field(description="The new payload, made as a flow's document is, or the file with its rules."),
    ]


def _towards(is_up: bool) -> Callable[[dict[str, CastSettings]], dict[str, CastSettings]]:
    def check(casts: dict[str, CastSettings]) -> dict[str, CastSettings]:
        for key, cast in casts.items():
            version = version_of(key) or 0
            # Steps in one direction can never lead round in a circle.
            if (cast.to > version) is not is_up or cast.to == version:
                side = "above" if is_up else "below"
                raise broken_rule(f"{key} must lead to a version {side} {version}, not to {cast.to}")
        return casts

    return check


Upcasters = Annotated[
    dict[CastKey, CastSettings],
    AfterValidator(_towards(is_up=True)),
    Field(default_factory=dict, description="How a payload of an older version becomes one of a newer."),
]
Downcasters = Annotated[
    dict[CastKey, CastSettings],
    AfterValidator(_towards(is_up=False)),
    Field(default_factory=dict, description="How a payload of a newer version becomes one of an older."),
]
