"""The account that private servers run under: never root's."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from sandbox.errors import SandboxError

_NOBODY = 65534
_OTHERS_MAY_ENTER = 0o001
_FOLDER_PREFIX = "outbox-sandbox-"


class Account(NamedTuple):
    """Whom a server process runs as; None means: as whoever runs us."""

    user: int | None
    group: int | None
    extra_groups: tuple[int, ...] | None


def server_account() -> Account:
    """Drop to nobody when root: PostgreSQL refuses root, and RabbitMQ has no need of it."""
    if os.geteuid() != 0:
        return Account(user=None, group=None, extra_groups=None)
    return Account(user=_NOBODY, group=_NOBODY, extra_groups=())


def is_reachable(path: Path) -> bool:
    """Say whether the server account can get to a path; below root's home, for example, it cannot."""
    if os.geteuid() != 0:
        return os.access(path, os.R_OK)
    resolved = path.resolve()
    folders = [resolved, *resolved.parents] if resolved.is_dir() else list(resolved.parents)
    return all(folder.stat().st_mode & _OTHERS_MAY_ENTER for folder in folders)


def make_folder() -> Path:
    """Make a temporary folder that belongs to the server account."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - mkdtemp below is safe
        if parent.is_dir() and is_reachable(parent):
            folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
            give(folder)
            return folder
    raise SandboxError(
        "no temporary folder that an unprivileged user can enter",
        next_step="set TMPDIR to a folder with mode 1777",
    )


def give(path: Path) -> Path:
    """Hand a file or folder, with everything in it, to the server account."""
    account = server_account()
    if account.user is not None and account.group is not None:
        shutil.chown(path, account.user, account.group)
        for child in path.rglob("*") if path.is_dir() else ():
            shutil.chown(child, account.user, account.group)
    return path


def reachable_programs(programs: Path, *, copy: Path) -> Path:
    """Copy programs that the server account cannot reach, such as a wheel's in a home folder."""
    if is_reachable(programs):
        return programs
    installation, package = programs.parents[:2]
    shutil.copytree(installation, copy / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        # Where a wheel has its shared libraries; its programs look for them by this relative path.
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    give(copy)
    return copy / package.name / installation.name / programs.name


def write_private(path: Path, text: str) -> Path:
    """Write a file that only the server account can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return give(path)
