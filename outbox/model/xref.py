"""Cross-reference: which record of another system stands for which of ours. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outbox.model.storable import is_storable

# The same bounds as the constraints of xref.link.
MAX_KEY_BYTES = 255
MAX_ID_BYTES = 1024
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Source(StrEnum):
    """Where a link comes from."""

    RECEIPT = "receipt"
    IMPORT = "import"
    PERSON = "person"


class LinkVerdict(StrEnum):
    """What became of a link; the words of ``xref.link`` in SQL."""

    LINKED = "linked"
    KNOWN = "known"
    REPLACED = "replaced"
    KEY_TAKEN = "key_taken"
    ID_TAKEN = "id_taken"

    def is_conflict(self) -> bool:
        """Say whether it contradicts another link and was refused."""
        return self in (LinkVerdict.KEY_TAKEN, LinkVerdict.ID_TAKEN)


@dataclass(frozen=True, slots=True)
class Registry:
    """Whose ids: an entity (customer) in a system (crm)."""

    entity: str
    system: str

    def __str__(self) -> str:
        return f"{self.entity} in {self.system}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A canonical key and the external id that stands for it."""

    canonical_key: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Linked:
    """What became of a pair. ``former_id``, ``former_key``: what stood, or stands, in its way."""

    pair: Pair
    verdict: LinkVerdict
    former_id: str | None = None
    former_key: str | None = None

    def conflict(self) -> str | None:
        """Say what the pair contradicts; None: nothing."""
        match self.verdict:
            case LinkVerdict.KEY_TAKEN:
                also = f", and its id belongs to {self.former_key!r}" if self.former_key is not None else ""
                return f"the key has the id {self.former_id!r}{also}"
            case LinkVerdict.ID_TAKEN:
                return f"the id belongs to the key {self.former_key!r}"
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Link:
    """A row of ``xref.link``."""

    entity: str
    system: str
    canonical_key: str
    external_id: str
    linked_at: datetime
    source: str
    linked_by: str


@dataclass(frozen=True, slots=True)
class Change:
    """A row of ``xref.change``."""

    changed_at: datetime
    entity: str
    system: str
    canonical_key: str
    external_id: str | None
    former_id: str | None
    former_key: str | None
    action: str
    source: str
    who: str
    database_user: str
    why: str | None


def name_problem(name: str) -> str | None:
    """Say what is wrong with the name of an entity or system; None: nothing."""
    if _NAME.fullmatch(name):
        return None
    return "must be small letters, digits, _ and -, a letter first, at most 63, for example customer"


def key_problem(key: str) -> str | None:
    """Say what is wrong with a canonical key; None: nothing."""
    return _text_problem(key, MAX_KEY_BYTES)


def id_problem(external_id: str) -> str | None:
    """Say what is wrong with an external id; None: nothing."""
    return _text_problem(external_id, MAX_ID_BYTES)


def _text_problem(text: str, max_bytes: int) -> str | None:
    if not text.strip():
        return "is empty"
    if text != text.strip():
        return "has spaces before or behind it"
    if not is_storable(text):
        return "has a character that cannot be stored, NUL or half of a surrogate pair"
    if len(text.encode()) > max_bytes:
        return f"is longer than {max_bytes} bytes"
    return None
