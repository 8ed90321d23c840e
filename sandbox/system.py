"""The system that a server's programs come from: this one, or another Debian in a root folder.

A server from another root folder sees the same working folder at the same path, so its settings do not differ. What is
mounted for that is mounted in a namespace of its own and is gone with its processes, however they end. Only root may
do this; the server itself runs as the server account.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.privileges import Account, server_account

# Starts a command whose mounts nobody else sees, and which are gone with it.
NAMESPACE = ("unshare", "--mount", "--propagation", "private")

_SEARCHED = "/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED = ("unshare", "mount", "chroot")
_AS_IT_IS = Account(user=None, group=None, extra_groups=None)

# The tmpfs holds nothing but the point where the working folder is mounted: the root folder itself stays as it is.
_ENTER = r"""
set -eu
root=$1 folder=$2 owner=$3
shift 3
parent=${folder%/*}
umask 022
mount -t proc proc "$root/proc"
mkdir -p "$root$parent"
mount -t tmpfs -o mode=1777,size=1m tmpfs "$root$parent"
mkdir "$root$folder"
mount --bind "$folder" "$root$folder"
umask 077
exec chroot --userspec="$owner" --groups= "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class System:
    """Where programs are, and how they are started."""

    root: Path | None = None

    @property
    def account(self) -> Account:
        """Whom to start a command as; one that enters another root folder drops its rights on the way."""
        return server_account() if self.root is None else _AS_IT_IS

    def find(self, program: str) -> Path | None:
        """Find a program as its own system would."""
        if self.root is None:
            found = shutil.which(program)
            return Path(found) if found else None
        folders = [self.root / folder.lstrip("/") for folder in _SEARCHED.split(":")]
        return next((path for folder in folders if os.access(path := folder / program, os.X_OK)), None)

    def command(self, command: Sequence[str | Path], *, working_folder: Path) -> list[str | Path]:
        """Return what starts a command that needs this folder and nothing else of ours."""
        if self.root is None:
            return list(command)
        account = server_account()
        program, *arguments = command
        return [
            *NAMESPACE,
            *("sh", "-c", _ENTER, "sh", self.root, working_folder, f"{account.user}:{account.group}"),
            self.inside(Path(program)),
            *arguments,
        ]

    def inside(self, path: Path) -> Path:
        """Return a path as programs of this system see it."""
        return path if self.root is None else Path("/") / path.relative_to(self.root)


def why_other_systems_cannot_run() -> str | None:
    """Say what keeps programs of another root folder from running here; None when they can."""
    if os.geteuid() != 0:
        return "needs root: programs of another Debian run in a chroot"
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        return f"there is no {', no '.join(missing)} here"
    answer = subprocess.run(
        [*NAMESPACE, "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if answer.returncode == 0 else f"this machine gives no mount namespace: {answer.stderr.strip()}"
