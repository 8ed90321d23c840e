"""Parts of the REST adapter's settings: shapes of requests, and how the target is asked."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from adapters import path_template
from adapters.rest_rules import Condition, Rule
from adapters.rest_same import SameDecimal, SameText
from adapters.settings_parts import DottedPath, HeaderName, HeaderValue
from outbox.model.connection import broken_rule
from outbox.model.units import Seconds

REFERENCE = "{reference}"
# Each process reads this many deliveries for each call that it may make.
_MAX_BATCH = 1000


def checked_path(path: str) -> str:
    """Return a path template.

    Raises:
        ValueError: it is none.
    """
    problem = path_template.problem_of(path)
    if problem is not None:
        raise ValueError(f"{problem}, for example /deals or /deals/{{id}}")
    return path


class Idempotency(BaseModel):
    """How the target recognises a repeated request, and for how long it promises to.

    ``field``: where the key stands in the body, instead of in a header.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
    margin: Annotated[Seconds, Field(ge=0, allow_inf_nan=False)] = 60.0
    header: HeaderName = "Idempotency-Key"
    quoted: bool = False
    field: DottedPath | None = None
    caches_errors: bool = False

    @model_validator(mode="after")
    def _margin_leaves_time(self) -> Self:
        if self.margin >= self.window:
            raise ValueError(
                f"margin ({self.margin:g} s) must be shorter than window ({self.window:g} s), "
                "or no request could ever be repeated"
            )
        return self

    @model_validator(mode="after")
    def _key_has_one_place(self) -> Self:
        given = {"header", "quoted"} & self.model_fields_set
        if self.field is not None and given:
            raise broken_rule(f"must not stand beside {min(given)}: the key has one place", field="field")
        return self


class ApiVersion(BaseModel):
    """The version of the target's API that the settings are written for; stored with what is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: HeaderValue
    header: HeaderName | None = None


class BodyShape(BaseModel):
    """What of the document is sent, and under which path of the body."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    select: DottedPath | None = None
    wrap: DottedPath | None = None


class LookUpRequest(BaseModel):
    """How the target is asked for a record by its reference; ``{reference}`` stands for it in path and query.

    The path must see what is committed: a search index that lags behind makes "absent" a lie. ``records``: where the
    list of what was found is; without it the answer is the record. ``same``: fields of the record and what they must
    be, with placeholders for fields of the document and ``{reference}``; a record in which they differ is somebody
    else's. ``absent``: the answers that say that there is no such record, by default 404 and 410 with JSON, which a
    page of some proxy is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(checked_path)]
    query: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    records: DottedPath | None = None
    external_id: DottedPath | None = None
    same: dict[DottedPath, SameText | SameDecimal] = Field(default_factory=dict)
    absent: tuple[Condition, ...] = ()

    @model_validator(mode="after")
    def _says_what_a_record_is(self) -> Self:
        if self.records is None and self.external_id is None and not self.same:
            raise broken_rule(
                "required, or same or records: something of an answer must say that it is the record",
                field="external_id",
            )
        return self

    @model_validator(mode="after")
    def _asks_for_the_reference(self) -> Self:
        if REFERENCE not in self.path and not any(REFERENCE in value for value in self.query.values()):
            raise ValueError(
                f"{REFERENCE} must stand in path or query, or the answer would be the same for every record"
            )
        return self


class CheckRequest(BaseModel):
    """A question that changes nothing, such as who we are. ``version``: where the answer has the target's version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(checked_path)]
    query: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    version: DottedPath | None = None

    @model_validator(mode="after")
    def _is_about_no_document(self) -> Self:
        if path_template.has_placeholder(self.path):
            raise broken_rule("must have no placeholders: no document is there when it is asked", field="path")
        return self


class JobRequest(BaseModel):
    """How a job that the target has accepted is asked about, at the address that it gave.

    ``status``: the field that says how it stands, and which of its values mean what; every other means "not over".
    ``longest``: a job that is not over so long after its call is parked for a person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: DottedPath
    applied: Annotated[frozenset[str], Field(min_length=1)]
    rejected: frozenset[str] = frozenset()
    retry: frozenset[str] = frozenset()
    external_id: DottedPath | None = None
    poll: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = 5.0
    longest: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = 86_400.0


class ByReference(BaseModel):
    """Which field of a result names the record, and where the record itself has that name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: DottedPath
    record: DottedPath


class Batch(BaseModel):
    """Many records in one call, each with a result of its own.

    ``records``: where the list of them stands in the body, without it the body is the list. ``results``: where the list
    of results stands in the answer, without it the answer is the list. ``match``: how a result finds its record, by
    default by its place. ``rules``, ``status`` and ``external_id`` are about one result. ``atomic``: all records of a
    call take effect or none, so that one refused as a whole did nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max: Annotated[int, Field(ge=2, le=_MAX_BATCH)]
    records: DottedPath | None = None
    results: DottedPath | None = None
    match: ByReference | None = None
    rules: tuple[Rule, ...] = ()
    status: DottedPath | None = None
    external_id: DottedPath | None = None
    atomic: bool = False

    @model_validator(mode="after")
    def _says_what_success_is(self) -> Self:
        if self.status is None and self.external_id is None and not self.rules:
            raise broken_rule(
                "required, or status or rules: something of a result must say that it succeeded", field="external_id"
            )
        return self
