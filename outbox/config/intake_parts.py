"""What a source's settings are made of: where a value stands, and how a generic HMAC is made."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from outbox.config.rules import broken_rule, matching
from outbox.config.strict import Strict
from outbox.model.expressions import BadExpression
from outbox.model.paths import parse_source

# RFC 9110, 5.6.2: a header's name is a token.
HeaderName = Annotated[
    str, matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", "must be the name of a header, for example X-Shopify-Topic")
]
# What the outbox takes as a type: no pattern, because it is the type of one event.
OneType = Annotated[
    str,
    matching(
        r"(?=.{1,255}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*",
        "must be words of letters, digits, _ and - with dots between them, at most 255 characters, for example "
        "shop.order_created",
    ),
]
_PLACE = re.compile(r"\{([^{}]*)\}")
_PLACES = frozenset({"body", "timestamp", "method", "url"})


def _check_path(path: str | None) -> str | None:
    if path is not None:
        try:
            parse_source(path)
        except BadExpression as error:
            raise broken_rule(str(error)) from None
    return path


_Path = Annotated[str | None, AfterValidator(_check_path)]


class OriginSettings(Strict):
    """Where a value of an event comes from; one of them."""

    headers: Annotated[
        tuple[HeaderName, ...] | None, Field(min_length=1, max_length=8, description="These headers, joined by /.")
    ] = None
    path: Annotated[
        _Path, Field(description="What stands there in the body; JMESPath, as in mappings. A list is joined by /.")
    ] = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.headers is None) == (self.path is None):
            raise broken_rule("set headers, or path", field="path")
        return self


class TypeSettings(Strict):
    """The type of an event: always the same, or what a header or the body says, through a table."""

    constant: Annotated[OneType | None, Field(description="Every event has this type.")] = None
    header: Annotated[HeaderName | None, Field(description="What this header says.")] = None
    path: Annotated[_Path, Field(description="What stands there in the body; JMESPath.")] = None
    types: Annotated[
        dict[str, OneType],
        Field(
            default_factory=dict,
            description="Our type for each of the sender's; others are refused. Empty: the sender's words are types.",
        ),
    ]

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(value is not None for value in (self.constant, self.header, self.path)) != 1:
            raise broken_rule("set constant, header, or path", field="constant")
        if self.constant is not None and self.types:
            raise broken_rule("must not be set beside constant, which is a type already", field="types")
        return self


class HmacSettings(Strict):
    """How a sender signs that has no scheme of its own here."""

    header: Annotated[HeaderName, Field(description="The header with the signature.")]
    algorithm: Annotated[Literal["sha1", "sha256", "sha512"], Field(description="The hash.")] = "sha256"
    encoding: Annotated[Literal["hex", "base64", "base64url"], Field(description="How the signature is written.")] = (
        "hex"
    )
    prefix: Annotated[str, Field(max_length=64, description="What stands before it, for example sha256=.")] = ""
    signed: Annotated[
        str, Field(max_length=500, description="What is signed: text with {body}, {timestamp}, {method}, {url}.")
    ] = "{body}"
    timestamp_header: Annotated[
        HeaderName | None, Field(description="The header with the time; without it no time is signed.")
    ] = None
    timestamp_unit: Annotated[Literal["s", "ms"], Field(description="What it counts since 1970.")] = "s"

    @model_validator(mode="after")
    def _check_signed(self) -> Self:
        places = _PLACE.findall(self.signed)
        unknown = [place for place in places if place not in _PLACES]
        if unknown or "body" not in places:
            raise broken_rule("must have {body}, and no other than {timestamp}, {method} and {url}", field="signed")
        if ("timestamp" in places) != (self.timestamp_header is not None):
            # A time that is not signed can be set by whoever sends the request again.
            raise broken_rule("{timestamp} and timestamp_header belong together: set both or none", field="signed")
        return self
