"""What changed between two revisions of a directory of contracts, and whom it breaks. Pure.

A published version is a promise both ways: what producers were told to send must stay accepted, and what consumers were
told to expect must stay all that comes. So a version may change in neither direction; whatever does is a new version.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from outbox.flow.contract import Contract, ContractKey, ContractSet
from outbox.flow.contract_compared import Reason
from outbox.flow.contract_keywords import DEPRECATED_ON
from outbox.flow.contract_narrowing import narrowings
from outbox.flow.schema_view import View, is_same
from outbox.model.contract import contract_name
from outbox.model.exact_json import exact_json

# Longer ones are told by their beginning.
_MAX_SHOWN_CHARACTERS = 60


class Effect(StrEnum):
    """What a change does."""

    BREAKS_PRODUCERS = "breaks producers"
    BREAKS_CONSUMERS = "breaks consumers"
    UNKNOWN = "cannot be judged"
    COMPATIBLE = "compatible"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one contract. ``path`` leads to the value that it is about, ``rule`` is the keyword."""

    contract: str
    path: str
    rule: str
    effect: Effect
    text: str

    def __str__(self) -> str:
        path = f" {self.path}" if self.path else ""
        return f"{self.contract}{path}: {self.effect}: {self.rule}: {self.text}"


def changes(old: ContractSet, new: ContractSet) -> list[Change]:
    """Return every change from one revision to another, by contract."""
    found: list[Change] = []
    for key in sorted(old.contracts.keys() | new.contracts.keys()):
        before, after = old.contracts.get(key), new.contracts.get(key)
        if before is None:
            found.append(_told(key, Effect.COMPATIBLE, "file", "is new"))
        elif after is None:
            found.append(_told(key, Effect.BREAKS_PRODUCERS, "file", "was removed"))
            found.append(_told(key, Effect.BREAKS_CONSUMERS, "file", "was removed"))
        else:
            found += _changed(key, _view(old, before), _view(new, after))
            if before.deprecated_on != after.deprecated_on:
                text = f"was {_shown(before.deprecated_on)}, is {_shown(after.deprecated_on)}"
                found.append(_told(key, Effect.COMPATIBLE, DEPRECATED_ON, text))
    return found


def _changed(key: ContractKey, old: View, new: View) -> list[Change]:
    found = [_change(key, reason, is_for_consumers=False) for reason in narrowings(old, new)]
    found += [_change(key, reason, is_for_consumers=True) for reason in narrowings(new, old, tells_removed=True)]
    if not found and not is_same(old, new):
        found.append(_told(key, Effect.COMPATIBLE, "file", "was changed, and breaks nobody"))
    return list(dict.fromkeys(found))


def _change(key: ContractKey, reason: Reason, *, is_for_consumers: bool) -> Change:
    was, now = (reason.demanded, reason.allowed) if is_for_consumers else (reason.allowed, reason.demanded)
    broken = Effect.BREAKS_CONSUMERS if is_for_consumers else Effect.BREAKS_PRODUCERS
    text = f"was {_shown(was)}, is {_shown(now)}"
    return Change(contract_name(*key), reason.path, reason.rule, broken if reason.is_known else Effect.UNKNOWN, text)


def _told(key: ContractKey, effect: Effect, rule: str, text: str) -> Change:
    return Change(contract_name(*key), "", rule, effect, text)


def _view(contracts: ContractSet, contract: Contract) -> View:
    return View(contracts.schemas, contract.file, contract.schema)


def _shown(value: object) -> str:
    if value is None:
        return "not there"
    text = _json(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[: _MAX_SHOWN_CHARACTERS - 1]}…"


def _json(value: object) -> str:
    """Write JSON with every digit, and a space behind each comma."""
    match value:
        case list():
            return f"[{', '.join(map(_json, value))}]"
        case dict():
            return f"{{{', '.join(f'{exact_json(name)}: {_json(member)}' for name, member in value.items())}}}"
        case _:
            return exact_json(value)
