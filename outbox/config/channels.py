"""The channels that settings name: each must be one of `alerts.channels`, and a misspelt one is told with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outbox.config.draft import Draft
from outbox.config.problems import Finding, KeyPath, did_you_mean


def check_channels(draft: Draft, values: Mapping[str, object]) -> None:
    """Look at `alerts.to` and the `alert.to` of every flow; what is wrong goes to the draft."""
    alerts, flows = values["alerts"], values["flows"]
    if not isinstance(alerts, dict):
        return
    channels = alerts.get("channels")
    known = sorted(channels) if isinstance(channels, dict) else []
    _check(draft, alerts.get("to"), ("alerts", "to"), known)
    for name, flow in flows.items() if isinstance(flows, dict) else ():
        if isinstance(flow, dict) and isinstance(flow.get("alert"), dict):
            _check(draft, flow["alert"].get("to"), ("flows", name, "alert", "to"), known)


def _check(draft: Draft, names: object, path: KeyPath, known: Sequence[str]) -> None:
    said = f"known are {', '.join(known)}" if known else "there is none in alerts.channels"
    for number, name in enumerate(names if isinstance(names, list) else ()):
        here = (*path, number)
        # What is not there may be in the file that could not be read, which is told.
        if name not in known and not draft.is_broken(here) and not draft.is_partial:
            suggestion = did_you_mean(name, known) if here in draft.showable else None
            draft.find(Finding(here, f"unknown channel, {said}", suggestion, is_about_value=True))
