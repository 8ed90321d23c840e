"""A request as it came: the bytes, the headers, and the address that the sender called. Nothing of it is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from outbox.intake.problems import Problem, RefusedRequest


class Headers:
    """Headers by name, whatever the case; one that stands twice is refused when it is asked for.

    Which of two values a proxy in front has looked at, and which one was signed, nobody knows.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def get(self, name: str) -> str | None:
        """Return a header's value without the space around it, or None.

        Raises:
            RefusedRequest: it stands twice.
        """
        values = self._values.get(name.lower())
        if values is None:
            return None
        if len(values) > 1:
            raise RefusedRequest(Problem.HEADER_REPEATED, f"{name} stands {len(values)} times")
        return values[0].strip(" \t")

    def names(self) -> list[str]:
        """Return the names, in small letters."""
        return sorted(self._values)


@dataclass(frozen=True, slots=True)
class Received:
    """One request. ``body``: the bytes as they came; ``url``: the public one, as the sender has called it."""

    body: bytes
    headers: Headers
    method: str
    url: str
