"""The `OUTBOX_*` variables: one table, and nothing else of the environment is read here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from outbox.config.problems import KeyPath, Place, Problem, did_you_mean, shown_value

PREFIX = "OUTBOX_"
CONFIG_VARIABLE = "OUTBOX_CONFIG"
DEFAULT_FILE = "outbox.yaml"

VARIABLES: Mapping[str, KeyPath] = {
    "OUTBOX_PG_URL": ("postgres", "url"),
    "OUTBOX_PG_DIRECT_URL": ("postgres", "direct_url"),
    "OUTBOX_AMQP_URL": ("rabbitmq", "url"),
    "OUTBOX_MANAGEMENT_URL": ("rabbitmq", "management_url"),
    "OUTBOX_HTTP_HOST": ("http", "host"),
    "OUTBOX_HTTP_PORT": ("http", "port"),
    "OUTBOX_LOG_FORMAT": ("log", "format"),
    "OUTBOX_LOG_LEVEL": ("log", "level"),
    "OUTBOX_DRAIN": ("drain",),
    "OUTBOX_RELAY_SOURCE": ("relay", "source"),
    "OUTBOX_RELAY_LANES": ("relay", "lanes"),
}
# These hold the path of a file whose content is the value.
FILE_VARIABLES: Mapping[str, KeyPath] = {
    f"{name}_FILE": VARIABLES[name]
    for name in ("OUTBOX_PG_URL", "OUTBOX_PG_DIRECT_URL", "OUTBOX_AMQP_URL", "OUTBOX_MANAGEMENT_URL")
}

_KNOWN = (CONFIG_VARIABLE, *VARIABLES, *FILE_VARIABLES)

# Kubernetes describes every Service of a namespace to its pods in variables named after it: with a Service
# "outbox" they begin like ours, with a Service "outbox-http" one of them is exactly ours.
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*", re.DOTALL)
_SERVICE_ADDRESS_NAME = re.compile(r"OUTBOX_(\w+_)?PORT(_\d+_(TCP|UDP|SCTP))?", re.ASCII)
_SERVICE_DETAIL_NAME = re.compile(
    r"OUTBOX_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A setting that comes from the environment; a file variable's text is ``file:`` and the path."""

    name: str
    text: str


@dataclass(slots=True)
class Environment:
    """What the variables say: the settings file, settings by path, and what is wrong with the variables."""

    config: str | None = None
    settings: dict[KeyPath, Variable] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Pick the known variables; values are checked later, like those of the file."""
    environment = Environment()
    for name in _KNOWN:
        text = environ.get(name)
        if text is None:
            continue
        if not text:
            environment.problems.append(Problem(Place(name), "is set but empty; give it a value or remove it"))
        elif name == CONFIG_VARIABLE:
            environment.config = text
        elif _is_service_link(name, text):
            environment.problems.append(
                Problem(
                    Place(name, value=shown_value(text)),
                    "was set by Kubernetes for a Service of that name; "
                    "set enableServiceLinks: false on the pod or rename the Service",
                )
            )
        elif name in FILE_VARIABLES:
            _add_file(environment, name, text)
        else:
            environment.settings[VARIABLES[name]] = Variable(name, text)
    return environment


def unknown_variables(environ: Mapping[str, str], referenced: Collection[str]) -> list[Problem]:
    """Return a problem for each of our variables that nobody reads: a misspelt one would be ignored silently.

    Args:
        environ: the whole environment.
        referenced: names that the settings file mentions.
    """
    return [
        Problem(Place(name), "unknown variable", did_you_mean(name, _KNOWN) or f"known are {', '.join(_KNOWN)}")
        for name, text in environ.items()
        if name.startswith(PREFIX)
        and name not in _KNOWN
        and name not in referenced
        and not _is_service_link(name, text)
    ]


def variable_for(path: KeyPath) -> str | None:
    """Return the variable that sets a path, if there is one."""
    return next((name for name, known in VARIABLES.items() if known == path), None)


def _add_file(environment: Environment, name: str, text: str) -> None:
    path = FILE_VARIABLES[name]
    direct = environment.settings.get(path)
    if direct is not None:
        environment.problems.append(Problem(Place(name), f"must not be set beside {direct.name}; remove one of them"))
        return
    environment.settings[path] = Variable(name, f"file:{text}")


def _is_service_link(name: str, text: str) -> bool:
    if _SERVICE_DETAIL_NAME.fullmatch(name):
        return True
    return bool(_SERVICE_ADDRESS_NAME.fullmatch(name) and _SERVICE_ADDRESS.fullmatch(text))
