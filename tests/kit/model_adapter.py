"""What a flow knows of the model target: a mapping and an adapter, which a person changes now and then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from outbox.model.adapter import Capabilities, Delivery, Request
from outbox.model.awaited import Lack, Patience, ReferencesAwaited
from outbox.model.errors import MappingError, ReferenceMissing
from outbox.model.mapping import Reference
from outbox.model.recovery import (
    Asking,
    AsyncJob,
    ClientNamedCreate,
    IdempotencyKey,
    LookupThenCreate,
    NoRecovery,
    RecoveryStrategy,
    UpsertByReference,
)
from tests.kit.model_target import KEY_HEADER, WINDOW_SECONDS, Nature, Style

# How late a call may leave after it was stored; the margin of a key and the settle time hold it and what follows.
MARGIN_SECONDS = 100.0
SETTLE_SECONDS = 60.0
LAST_EDITION = 2

STRATEGIES: Mapping[Style, RecoveryStrategy] = {
    Style.KEY: IdempotencyKey(WINDOW_SECONDS, MARGIN_SECONDS),
    Style.KEY_CACHES_ERRORS: IdempotencyKey(WINDOW_SECONDS, MARGIN_SECONDS, caches_errors=True),
    Style.KEY_THEN_LOOK_UP: IdempotencyKey(WINDOW_SECONDS, MARGIN_SECONDS),
    Style.UPSERT: UpsertByReference(SETTLE_SECONDS),
    Style.UPSERT_BY_KEY: UpsertByReference(SETTLE_SECONDS),
    Style.NAMED_CREATE: ClientNamedCreate(SETTLE_SECONDS),
    Style.NAMED_THEN_LOOK_UP: ClientNamedCreate(SETTLE_SECONDS),
    Style.LOOK_UP: LookupThenCreate(),
    Style.JOB: AsyncJob(WINDOW_SECONDS, MARGIN_SECONDS, poll_seconds=0.0),
    Style.NONE: NoRecovery(),
}
# Longer than most of the times that pass.
WAIT_SECONDS = 600.0
CAN_BE_ASKED = frozenset({Style.KEY_THEN_LOOK_UP, Style.NAMED_THEN_LOOK_UP, Style.LOOK_UP})


@dataclass
class ModelMapping:
    """Two editions make different requests of the same event; the last one cannot map some of them any more.

    Some need the id of a customer, ``key``, and wait until it is linked.
    """

    edition: int = 0
    key: str = ""
    is_linked: bool = False

    def apply(self, payload: bytes) -> Mapping[str, object]:
        document: dict[str, object] = json.loads(payload)
        is_unmappable = document["nature"] == Nature.UNMAPPABLE
        if is_unmappable or (document["nature"] == Nature.LATER_UNMAPPABLE and self.edition == LAST_EDITION):
            raise MappingError("nature", "cannot be mapped")
        if document["nature"] == Nature.REFERRING and not self.is_linked:
            missing = ReferenceMissing("nature", "nature", entity="customer", system="crm", key=self.key)
            raise ReferencesAwaited([Lack(Reference("customer", "crm", self.key), Patience(WAIT_SECONDS), missing)])
        return document | {"edition": self.edition}


@dataclass(frozen=True)
class ModelAdapter:
    """The part of an adapter that decides; calls go to the target directly."""

    style: Style

    def capabilities(self, event_type: str) -> Capabilities:  # noqa: ARG002 - there is one type
        asking = Asking(SETTLE_SECONDS) if self.style in CAN_BE_ASKED else None
        return Capabilities(STRATEGIES[self.style], "model", asking)

    def max_batch(self) -> int:
        return 1

    def render(self, delivery: Delivery) -> Request:
        body = delivery.document | {
            "message_id": delivery.message_id,
            "key": delivery.key,
            "sequence": delivery.sequence,
        }
        return Request(
            "POST",
            "/",
            json.dumps(body).encode(),
            {KEY_HEADER: delivery.idempotency_key},
            reference=self._reference(delivery),
        )

    def _reference(self, delivery: Delivery) -> str | None:
        match self.style:
            case Style.KEY | Style.JOB | Style.NONE:
                return None
            case Style.UPSERT_BY_KEY:
                return delivery.key or delivery.message_id
            case _:
                return delivery.message_id
