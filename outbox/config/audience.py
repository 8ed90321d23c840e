"""Who is written to about what, as the settings tell it, and what of that leads nowhere. Pure."""

from __future__ import annotations

from urllib.parse import quote

from outbox.config.flows import Flow
from outbox.config.settings import Settings
from outbox.model.addresses import OWNER_BUSINESS, OWNER_TECHNICAL, Addressees, Route, resolved

_FLOW = "{flow}"


def channels_of(settings: Settings, flow: Flow | None) -> tuple[str, ...]:
    """Return the channels that are told what is wrong with a flow; None: with what belongs to none."""
    named = None if flow is None or flow.alert is None else flow.alert.to
    return tuple(dict.fromkeys(settings.alerts.to if named is None else named))


def addressees_of(settings: Settings, name: str | None) -> Addressees:
    """Return who is told of a flow, or of what belongs to none, and what they are told of whom to ask."""
    flow = None if name is None else settings.flows[name]
    owners = _owners(flow)
    routes = [
        Route(channel, resolved(chosen.recipients, owners))
        for channel in channels_of(settings, flow)
        for chosen in [settings.alerts.channels[channel]]
        if not chosen.is_mail or resolved(chosen.recipients, owners)
    ]
    link = settings.alerts.link
    if link is not None and _FLOW in link:
        link = None if name is None else link.replace(_FLOW, quote(name, safe=""))
    owner = " / ".join(dict.fromkeys(owners.values())) or None
    return Addressees(tuple(sorted(routes)), owner, None if flow is None else flow.runbook, link)


def unheard(settings: Settings, name: str | None) -> tuple[str, ...]:
    """Return why nobody would be written to, although there are channels."""
    if not settings.alerts.channels:
        return ()
    flow = None if name is None else settings.flows[name]
    named = channels_of(settings, flow)
    if not named:
        return ("no channel: nobody is written to when something is wrong (alert.to, or alerts.to for all)",)
    owners = _owners(flow)
    return tuple(
        f"the channel {channel} has nobody to write to: its recipients are owners, and no owner here is an address"
        for channel in named
        for chosen in [settings.alerts.channels[channel]]
        if chosen.is_mail and not resolved(chosen.recipients, owners)
    )


def unused_channels(settings: Settings) -> tuple[str, ...]:
    """Return the channels that nothing names."""
    used = {one for flow in (None, *settings.flows.values()) for one in channels_of(settings, flow)}
    return tuple(sorted(set(settings.alerts.channels) - used))


def _owners(flow: Flow | None) -> dict[str, str]:
    if flow is None or flow.owner is None:
        return {}
    return {OWNER_BUSINESS: flow.owner.business, OWNER_TECHNICAL: flow.owner.technical}
