"""What the CRM remembers: its ledger of effects, and the idempotency keys that the ledger implies.

The ledger must be written in the moment of the effect and never be changed: it is the evidence.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.changes import Changes
from sandbox.ledger_file import append_line, complete_lines, open_ledger


class SimulatedClock:
    """The CRM's clock, which a test can put forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Tell the CRM's time."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        self._ahead += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class NewDeal:
    """What a client asks to be created."""

    order_ref: str
    customer: str
    revision: int
    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One effect: a deal that was created, with what is needed to answer a repeated request."""

    n: int
    at: str
    idempotency_key: str
    body_sha256: str
    order_ref: str
    customer: str
    revision: int
    amount: str
    deal_id: str
    response: Mapping[str, Mapping[str, object]]


class Ledger:
    """An append-only file with one JSON document a line; one line is one effect."""

    def __init__(self, path: Path) -> None:
        self._file = open_ledger(path)
        self._changes = Changes()
        self._lines = [LedgerLine(**line) for line in complete_lines(self._file)]
        self._by_deal_id = {line.deal_id: line for line in self._lines}
        self._by_order_ref: dict[str, list[LedgerLine]] = {}
        for line in self._lines:
            self._by_order_ref.setdefault(line.order_ref, []).append(line)

    @property
    def lines(self) -> Sequence[LedgerLine]:
        """Every effect, in the order in which they happened."""
        return self._lines

    def deal(self, deal_id: str) -> LedgerLine | None:
        """Find a deal by its id."""
        return self._by_deal_id.get(deal_id)

    def deals_of(self, order_ref: str) -> Sequence[LedgerLine]:
        """Find the deals of an order: more than one if it took effect more than once."""
        return self._by_order_ref.get(order_ref, ())

    def append(self, deal: NewDeal, *, idempotency_key: str, body_sha256: str, at: datetime) -> LedgerLine:
        """Create the deal: this is the effect."""
        n = len(self._lines) + 1
        deal_id = f"D-{n:06d}"
        created_at = at.isoformat()
        line = LedgerLine(
            n=n,
            at=created_at,
            idempotency_key=idempotency_key,
            body_sha256=body_sha256,
            order_ref=deal.order_ref,
            customer=deal.customer,
            revision=deal.revision,
            amount=deal.amount,
            deal_id=deal_id,
            response={
                "deal": {
                    "id": deal_id,
                    "external_ref": deal.order_ref,
                    "customer": deal.customer,
                    "revision": deal.revision,
                    "amount": deal.amount,
                    "currency": deal.currency,
                    "created_at": created_at,
                }
            },
        )
        append_line(self._file, json.dumps(asdict(line)).encode() + b"\n")
        self._lines.append(line)
        self._by_deal_id[deal_id] = line
        self._by_order_ref.setdefault(line.order_ref, []).append(line)
        self._changes.notify()
        return line

    async def reached(self, count: int, *, within_seconds: float = 30.0) -> None:
        """Wait until there are ``count`` effects."""
        await self._changes.until(lambda: len(self._lines) >= count, within_seconds=within_seconds)

    def stop_waiting(self) -> None:
        """Turn away those who wait in ``reached``."""
        self._changes.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Granted:
    """The key is new or forgotten: the request may have its effect."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The key had its effect already: its response is to be repeated."""

    line: LedgerLine


@dataclass(frozen=True, slots=True)
class OtherBody:
    """The key was used with another body."""


@dataclass(frozen=True, slots=True)
class InProgress:
    """The first request with this key has not had its effect yet."""


Claim = Granted | Settled | OtherBody | InProgress


class KeyStore:
    """Idempotency keys, remembered for a window after their effect and forgotten after it."""

    def __init__(self, window_seconds: float, lines: Sequence[LedgerLine]) -> None:
        self._window = timedelta(seconds=window_seconds)
        self._settled = {line.idempotency_key: line for line in lines}
        self._in_progress: dict[str, str] = {}

    def claim(self, key: str, body_sha256: str, *, at: datetime) -> Claim:
        """Ask to have an effect under a key; what is granted must be settled or released."""
        if (first_body := self._in_progress.get(key)) is not None:
            return InProgress() if first_body == body_sha256 else OtherBody()
        line = self._settled.get(key)
        if line is None or at - datetime.fromisoformat(line.at) >= self._window:
            self._in_progress[key] = body_sha256
            return Granted()
        return Settled(line) if line.body_sha256 == body_sha256 else OtherBody()

    def settle(self, line: LedgerLine) -> None:
        """Remember the effect of a granted key."""
        self._in_progress.pop(line.idempotency_key, None)
        self._settled[line.idempotency_key] = line

    def release(self, key: str) -> None:
        """Forget a granted key that had no effect."""
        self._in_progress.pop(key, None)
