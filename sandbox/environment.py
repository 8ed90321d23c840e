"""The virtual environment: made once, refreshed when pyproject.toml changes. Standard library only."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.binaries import PROJECT, VENV, has_apt
from sandbox.errors import SandboxError
from sandbox.packages import install_package, root_prefix

_PYTHON = VENV / "bin" / "python"
_STAMP = VENV / "installed-from"
_REQUIREMENTS = PROJECT / "pyproject.toml"
_EXTRAS = "test,check"
_OUTPUT_LINES_SHOWN = 15


def is_installed() -> bool:
    """Say whether the environment runs and has what pyproject.toml asks for."""
    return _runs() and _STAMP.is_file() and _STAMP.read_text() == fingerprint(_REQUIREMENTS)


def install() -> None:
    """Make the environment if it is not there or does not run, and install the project with its tools."""
    if not _runs():
        _make()
    pip_install("--editable", f"{PROJECT}[{_EXTRAS}]")
    # Written last: an installation that was interrupted is done again.
    _STAMP.write_text(fingerprint(_REQUIREMENTS))


def pip_install(*arguments: str) -> None:
    """Install into the environment."""
    installed = _run([_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *arguments])
    if installed.returncode != 0:
        raise SandboxError(
            f"pip could not install {arguments[-1]}:\n{_tail(installed)}",
            next_step="check the network and pip's configuration, then run the command again",
        )


def has_module(name: str) -> bool:
    """Say whether the environment can import something."""
    return _run([_PYTHON, "-c", f"import {name}"]).returncode == 0


def install_extra(name: str) -> None:
    """Install one of the project's extras into the environment."""
    pip_install("--editable", f"{PROJECT}[{name}]")


def fingerprint(requirements: Path) -> str:
    """Identify what the environment was installed from."""
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def _runs() -> bool:
    return os.access(_PYTHON, os.X_OK) and _run([_PYTHON, "-S", "-c", ""]).returncode == 0


def _make() -> None:
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = _run(command)
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if made.returncode != 0 and "ensurepip" in made.stdout and has_apt():
        # Debian keeps the part of Python that makes environments in a package of its own.
        as_root = root_prefix()
        if as_root is not None:
            install_package(package, as_root=as_root)
            made = _run(command)
    if made.returncode != 0:
        raise SandboxError(
            f"{sys.executable} could not make a virtual environment:\n{_tail(made)}",
            next_step=f"install Python's venv module (Debian: apt-get install {package})",
        )


def _run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _tail(answer: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(answer.stdout.splitlines()[-_OUTPUT_LINES_SHOWN:])
