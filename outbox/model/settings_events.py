"""What becomes of settings that are read again; part of the union in `outbox.model.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SettingsInEffect:
    """From now on the process works by these settings. The names are those of flows; none when it starts.

    ``settings_hash``: the same for everybody with the same settings, whatever the secrets are.
    """

    settings_hash: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsUnchanged:
    """The settings were read again and say the same."""

    settings_hash: str


@dataclass(frozen=True, slots=True)
class SettingsRefused:
    """The settings were read again and are wrong, or need a restart; those with this hash stay in effect."""

    settings_hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class FlowStarted:
    """A flow that new settings have, or have changed, runs by them from now on."""

    flow: str


@dataclass(frozen=True, slots=True)
class FlowStopped:
    """A flow runs no more: new settings do not have it (``is_removed``), or it is about to run by them.

    ``is_drained``: everything that it had begun is settled; otherwise that is in doubt, as after a crash.
    """

    flow: str
    is_removed: bool
    is_drained: bool


SettingsEvents = SettingsInEffect | SettingsUnchanged | SettingsRefused | FlowStarted | FlowStopped
