"""What the relay tells of contracts; part of the union in `outbox.model.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeprecatedPublished:
    """Events of a deprecated version are among those of a page; ``deprecated_on`` is the contract's date."""

    stream: str
    type: str
    version: int
    deprecated_on: str
    events: int


ContractEvents = DeprecatedPublished
