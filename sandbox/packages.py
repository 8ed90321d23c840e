"""Installs a Debian package without its service being started. Never upgrades, removes or starts anything."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import SandboxError

# Debian's switch that keeps package scripts from starting services. One that is already there belongs to the
# machine's owner and stays as it is.
POLICY = Path("/usr/sbin/policy-rc.d")

_INSTALL_SCRIPT = r"""
set -eu
policy=$1
shift
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
if apt-cache show --no-all-versions "$@" >/dev/null 2>&1; then
    install "$@" || { apt-get update && install "$@"; }
else
    apt-get update && install "$@"
fi
"""

_DISABLE_SCRIPT = 'command -v systemctl >/dev/null && systemctl --quiet disable "$@" || true'

_OUTPUT_LINES_SHOWN = 15


def root_prefix() -> Sequence[str] | None:
    """Say how a command gets root's rights without a question asked: nothing, sudo, or not at all."""
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    answer = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False)
    return (sudo, "-n") if answer.returncode == 0 else None


def install_package(package: str, *, as_root: Sequence[str], policy: Path = POLICY) -> None:
    """Install a package; its service is neither started now nor enabled for the next boot."""
    installed = _run_script(_INSTALL_SCRIPT, str(policy), package, as_root=as_root)
    if installed.returncode != 0:
        shown = "\n".join(installed.stdout.splitlines()[-_OUTPUT_LINES_SHOWN:])
        raise SandboxError(
            f"apt-get could not install {package} (exit code {installed.returncode}):\n{shown}",
            next_step=f"run `apt-get update && apt-get install {package}` yourself and read its message",
        )
    _run_script(_DISABLE_SCRIPT, f"{package}.service", as_root=as_root)


def _run_script(script: str, *arguments: str, as_root: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*as_root, "sh", "-c", script, "sh", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
