"""Which events may not be published because of their contract. Pure; called by the relay for every event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from outbox.flow.contract import ContractSet, check_body
from outbox.model.contract import breach, contract_name
from outbox.model.envelope import Envelope


@dataclass(frozen=True)
class ContractGate:
    """The contracts, and what becomes of events that cannot be judged by one.

    ``without``: their type and version have none. ``claimed``: their payload was too large to be read here.
    """

    contracts: ContractSet
    without: Literal["allow", "reject"] = "allow"
    claimed: Literal["reject", "allow"] = "reject"

    @cached_property
    def deprecated(self) -> Mapping[tuple[str, int], str]:
        """Return the dates of deprecated types and versions."""
        dates = {key: one.deprecated_on for key, one in self.contracts.contracts.items()}
        return {key: date for key, date in dates.items() if date is not None}

    def refusal(self, event: Envelope) -> str | None:
        """Return why an event may not be published, without anything of its payload; None: it may."""
        contract = self.contracts.contract(event.type, event.version)
        if contract is None:
            return None if self.without == "allow" else self._unknown(event)
        if event.claimed_bytes is not None:
            return None if self.claimed == "allow" else _unread(event, event.claimed_bytes)
        violations = check_body(contract, event.payload)
        return breach(event.type, event.version, violations) if violations else None

    def complaint(self, event_type: str, version: int, body: bytes) -> str | None:
        """Return what is wrong with a payload that comes from outside, without anything of it; None: nothing."""
        contract = self.contracts.contract(event_type, version)
        if contract is None:
            return None if self.without == "allow" else "has no contract"
        return "; ".join(map(str, check_body(contract, body))) or None

    def _unknown(self, event: Envelope) -> str:
        known = ", ".join(map(str, self.contracts.versions(event.type)))
        others = f"; known versions are {known}" if known else ""
        return f"{contract_name(event.type, event.version)} has no contract, and contracts.without is reject{others}"


def _unread(event: Envelope, payload_bytes: int) -> str:
    return (
        f"payload has {payload_bytes} bytes, too many to be checked against contract "
        f"{contract_name(event.type, event.version)}; contracts.claimed: allow would publish it unchecked"
    )
