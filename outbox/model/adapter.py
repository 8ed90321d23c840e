"""The adapter protocol: what the flow runtime asks of a target system's module.

An adapter describes its call as a value (`render`), so that its hash can be stored before the first byte leaves,
and sends exactly that value (`send`). After an unknown outcome the runtime acts on the declared recovery strategy:
it sends again, looks the reference up, asks for the job, or parks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outbox.model.outcome import Found, NotTold, Reached, Receipt
from outbox.model.recovery import Asking, NoRecovery, RecoveryStrategy
from outbox.model.totals import TargetPage, Window


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an operation of a target can do, as its adapter declares it.

    Args:
        recovery: how an unknown outcome is resolved.
        version: of everything that shapes the request, the API's version included; stored with what is sent.
        asking: how `Adapter.look_up` can be used, None: not at all.
        max_batch: how many deliveries one call takes; each gets an outcome of its own.
        is_atomic: a call that is refused as a whole did nothing for any of them.
    """

    recovery: RecoveryStrategy = field(default_factory=NoRecovery)
    version: str = ""
    asking: Asking | None = None
    max_batch: int = 1
    is_atomic: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an adapter gets to see of a delivery: the mapped document, and the payload as the application wrote it."""

    flow: str
    message_id: str
    type: str
    version: int
    key: str | None
    sequence: int
    idempotency_key: str
    document: Mapping[str, object]
    traceparent: str | None = None
    payload: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One call, complete but for the credentials, which are added when it is sent.

    Rendering the same delivery twice gives the same request: no clock, no random numbers, no attempt count.
    ``reference`` is the name by which the target can be asked for the record later.
    """

    method: str
    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None

    def sha256(self) -> bytes:
        """Return the 32-byte hash that proves that a repeated request is the same request."""
        headers = [f"{name}:{self.headers[name]}\n" for name in sorted(self.headers)]
        digest = hashlib.sha256("".join([self.method, "\n", self.url, "\n", *headers]).encode())
        digest.update(self.body)
        return digest.digest()


class Adapter(Protocol):
    """One connection to one target system, shared by all deliveries of a flow."""

    def capabilities(self, event_type: str) -> Capabilities:
        """Return what this event type's operation can do.

        Raises:
            MappingError: there is no operation for it.
        """
        ...

    def max_batch(self) -> int:
        """Return how many requests one call takes at most, of the operation that takes most."""
        ...

    def render(self, delivery: Delivery) -> Request:
        """Return the call for a delivery.

        Raises:
            MappingError: the document lacks something that the call needs.
        """
        ...

    async def send(self, requests: Sequence[Request], *, leave_by: float, traceparent: str | None) -> Sequence[Receipt]:
        """Send requests in one call, once, and say how each ended; never raises for anything the target does.

        Args:
            requests: as many as `Capabilities.max_batch` at most, of one operation.
            leave_by: when the first byte must have left, by `time.monotonic`. Whatever was waited for, past this moment
                nothing leaves, and the outcome says so (`Throttled`, without a status): others may act on it by then.
            traceparent: of the first of them.
        """
        ...

    async def look_up(
        self, event_type: str, reference: str, *, leave_by: float, request: Request | None = None
    ) -> Found:
        """Ask whether a record with this reference is there; never raises for anything the target does.

        ``leave_by``: as with `send`. ``request``: what the delivery would be sent as now, to compare the record with;
        None: it cannot be rendered any more.
        """
        ...

    async def poll(self, event_type: str, job: str, *, leave_by: float) -> Receipt:
        """Ask how a job ended that the target has accepted: `Accepted` again while it runs.

        ``leave_by``: as with `send`.
        """
        ...

    async def check(self) -> Reached | NotTold | None:
        """Ask, without changing anything, whether the target can be reached and accepts our credentials.

        Never raises for anything that the target does. None: nothing is known that could be asked.
        """
        ...

    async def totals(self, window: Window, page: str | None, *, leave_by: float) -> TargetPage | NotTold | None:
        """Ask what the target has in a window, without changing anything: a page at a time, the first with None.

        Never raises for anything that the target does. None: it cannot be asked. ``leave_by``: as with `send`.
        """
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...
