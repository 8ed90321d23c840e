"""Contracts of another revision: a directory, or what git has of the same directory."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path, PurePosixPath

from outbox.config.contracts import MAX_CONTRACT_BYTES, is_looked_at, read_contract_files
from outbox.flow.contract import NO_CONTRACTS, ContractSet
from outbox.flow.contract_set import compile_contracts
from outbox.model.errors import Misconfigured

# A repository on a network file system.
_GIT_SECONDS = 60


def contracts_in(directory: Path) -> ContractSet:
    """Compile the contracts of a directory.

    Raises:
        ConfigProblems: with every problem of every file.
    """
    return compile_contracts(str(directory), read_contract_files(directory))


def contracts_at(revision: str, directory: Path) -> ContractSet:
    """Compile the contracts of another directory, or those that a directory had at a revision of git.

    Args:
        revision: a directory, or whatever git takes for a commit.
        directory: where the contracts are now; empty contracts are returned if it was not there then.

    Raises:
        Misconfigured: neither, or a file of that revision is no contract.
    """
    if Path(revision).is_dir():
        return contracts_in(Path(revision))
    if (
        revision.startswith("-")
        or _git(directory, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") is None
    ):
        raise Misconfigured(
            f"--against {revision}: there is no such directory, and git knows no such commit in {directory}",
            "give a directory, or a branch, tag or commit that was fetched",
        )
    if not _git(directory, "ls-tree", "-r", "--name-only", revision, "."):
        return NO_CONTRACTS
    texts = _texts(_git(directory, "archive", "--format=tar", revision, ".") or b"")
    return compile_contracts(f"{revision}:{directory}", texts) if texts else NO_CONTRACTS


def _texts(archive: bytes) -> dict[str, str]:
    texts: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for entry in files:
            path = PurePosixPath(entry.name)
            if not entry.isfile() or not is_looked_at(path):
                continue
            file = files.extractfile(entry)
            if entry.size > MAX_CONTRACT_BYTES:
                raise Misconfigured(f"{entry.name} of that revision is larger than a contract", "compare with another")
            if file is not None:
                # What is no UTF-8 is no JSON either, and is told as that.
                texts[str(path)] = file.read().decode("utf-8-sig", "replace")
    return texts


def _git(directory: Path, *arguments: str) -> bytes | None:
    """Return what git says, None: it refuses."""
    git = shutil.which("git")
    if git is None:
        raise Misconfigured("git is not installed here", "give --against the directory of the other revision")
    if not directory.is_dir():
        raise Misconfigured(f"{directory} is no directory", "give the directory of the contracts with --dir")
    ended = subprocess.run(  # noqa: S603 - git itself, and arguments that are no options
        [git, "-C", str(directory), *arguments], capture_output=True, timeout=_GIT_SECONDS, check=False
    )
    return ended.stdout if ended.returncode == 0 else None
