"""The settings while they are put together: data, where each value came from, and what was found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from outbox.config.environment import DEFAULT_FILE, Variable
from outbox.config.files import FilesRead
from outbox.config.problems import Finding, KeyPath, Place, Position, Problem, path_text, shown_value

# Masking shorter words would garble messages and hide nothing.
_MIN_MASKED_CHARACTERS = 4


@dataclass(slots=True)
class Draft:
    """Raw settings on their way to `Settings`.

    ``substituted`` are values that hold something of the environment: they may be secrets whatever the field.
    ``showable`` are scalars of fields that are known and no secrets. ``broken`` are paths with a finding, on
    which the models need not be heard. ``secrets`` are the values that must not appear in any text. ``is_partial``: a
    file could not be read, so what is missing may stand there. ``reader`` reads files, and remembers which.
    ``fractions`` has the texts of numbers that a float need not keep.
    """

    data: dict[str, object] = field(default_factory=dict)
    file: str | None = None
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    variables: dict[KeyPath, Variable] = field(default_factory=dict)
    substituted: set[KeyPath] = field(default_factory=set)
    showable: set[KeyPath] = field(default_factory=set)
    broken: set[KeyPath] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    fractions: dict[KeyPath, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    is_partial: bool = False
    reader: FilesRead = field(default_factory=FilesRead)

    def find(self, finding: Finding) -> None:
        """Keep a finding; its value is not judged again."""
        self.findings.append(finding)
        self.broken.add(finding.path)

    def set_variable(self, path: KeyPath) -> None:
        """Put in place what the environment says; what the file says there does not matter any more."""
        *sections, name = path
        here = self.data
        for section in sections:
            child = here[str(section)]
            if not isinstance(child, dict):
                return
            here = child
        here[str(name)] = self.variables[path].text
        self.broken.discard(path)

    def is_broken(self, path: KeyPath) -> bool:
        """Say whether this value, or what it stands in, already has a finding."""
        return any(path[:length] in self.broken for length in range(1, len(path) + 1))

    def masked(self, text: str) -> str:
        """Return a text that others wrote without the secrets that it might quote."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= _MIN_MASKED_CHARACTERS:
                text = text.replace(secret, "***")
        return text

    def directory_of(self, path: KeyPath) -> Path:
        """Return the folder of the file in which this stands; names of other files are relative to it."""
        position = self._nearest(path)
        return Path((position and position.file) or self.file_name).parent

    @property
    def file_name(self) -> str:
        """Return the file to name in an advice, whether there is one or not."""
        return self.file or DEFAULT_FILE

    def problems(self) -> list[Problem]:
        """Return the findings with their places."""
        return [Problem(self._place(finding), finding.problem, finding.suggestion) for finding in self.findings]

    def _place(self, finding: Finding) -> Place:
        path = finding.path
        value = self._value_at(path) if finding.is_about_value and path in self.showable else None
        # What has a position of its own is about the file, even where the environment wins.
        if path in self.variables and finding.position is None:
            return Place(self.variables[path].name, value=shown_value(value))
        position = finding.position or self._nearest(path)
        file = None if position is None else position.file or self.file
        return Place(path_text(path), file=file, position=position, value=shown_value(value))

    def _nearest(self, path: KeyPath) -> Position | None:
        """A key that is missing is looked for where its parent stands."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.positions:
                return self.positions[path[:length]]
        return None

    def _value_at(self, path: KeyPath) -> object:
        here: object = self.data
        for key in path:
            if isinstance(here, dict):
                here = here.get(key)
            elif isinstance(here, list) and isinstance(key, int) and key < len(here):
                here = here[key]
            else:
                return None
        return here
