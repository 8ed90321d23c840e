"""Folders that are made once and used by every later run; in the user's cache, never in the project.

A folder is there as a whole or not at all: it is made under another name and moved into place. Nothing in it changes
afterwards.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "outbox-sandbox"
_DRAFT_PREFIX = ".draft-"


def cache_folder() -> Path:
    """Return where the cache is: below XDG_CACHE_HOME, else below ~/.cache."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification has relative paths ignored.
    return (given if given.is_absolute() else Path.home() / ".cache") / _NAME


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made by `make` if it is not there.

    Args:
        name: of the folder; another content needs another name.
        make: fills the empty folder that it is given, or raises.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not folder.is_dir():
            _remove_drafts_of(folder)
            draft = Path(tempfile.mkdtemp(prefix=f"{_DRAFT_PREFIX}{name}-", dir=folder.parent))
            try:
                draft.chmod(0o755)
                make(draft)
                draft.rename(folder)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait while another run makes the same folder."""
    with folder.with_name(f".{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _remove_drafts_of(folder: Path) -> None:
    """Remove what runs that were killed have left behind."""
    for draft in folder.parent.glob(f"{_DRAFT_PREFIX}{folder.name}-*"):
        shutil.rmtree(draft, ignore_errors=True)
