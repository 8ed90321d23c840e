"""Values that stand elsewhere: `${NAME}` in the environment, `file:/path` in a file. Never quotes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from outbox.config.draft import Draft
from outbox.config.files import FilesRead, UnreadableFileError, shown_path
from outbox.config.problems import Finding, KeyPath, shown

FILE_PREFIX = "file:"
# A key or a token is far smaller; a path of something else by mistake usually is not.
MAX_SECRET_BYTES = 64 * 1024

_REFERENCE = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<other>\$\{)", re.ASCII)


def substitute(draft: Draft, environ: Mapping[str, str]) -> set[str]:
    """Replace `${NAME}` in every text of the files, `$${` becomes `${`; keys stay as they are.

    Returns:
        the names that were mentioned.
    """
    names: set[str] = set()
    for key, value in draft.data.items():
        draft.data[key] = substituted(value, (key,), draft, environ, names)
    return names


def substituted(value: object, path: KeyPath, draft: Draft, environ: Mapping[str, str], names: set[str]) -> object:
    """Return a value with what it refers to; the names that are mentioned are added, what is wrong is found."""
    if isinstance(value, dict):
        return {key: substituted(child, (*path, key), draft, environ, names) for key, child in value.items()}
    if isinstance(value, list):
        return [substituted(child, (*path, index), draft, environ, names) for index, child in enumerate(value)]
    if not isinstance(value, str) or path in draft.variables:
        return value

    def replace(match: re.Match[str]) -> str:
        if match["escape"]:
            return "${"
        if match["other"]:
            draft.find(
                Finding(path, "${ must be followed by the name of an environment variable and }; write $${ for ${")
            )
            return ""
        name = match["name"]
        names.add(name)
        draft.substituted.add(path)
        if name not in environ:
            draft.find(Finding(path, f"the environment variable {shown(name)} is not set"))
        return environ.get(name, "")

    return _REFERENCE.sub(replace, value)


def read_secret(text: str, files: FilesRead) -> str:
    """Return the content of the file that a secret names, without the newline at its end.

    Raises:
        UnreadableFileError: with the reason.
    """
    name = text.removeprefix(FILE_PREFIX)
    if not name.startswith("/"):
        # The text is not quoted: it may be the secret itself.
        raise UnreadableFileError("file: must be followed by a path from the root, for example file:/run/secrets/token")
    content = files.text(Path(name), max_bytes=MAX_SECRET_BYTES).rstrip("\r\n")
    if not content:
        raise UnreadableFileError(f"the file {shown_path(name)} is empty")
    return content
