"""What settings say of alerts, as the rooms below take it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from outbox.alerts.judge import Bounds, Ward
from outbox.alerts.mail import MailChannel, MailServer
from outbox.alerts.post import PostChannel
from outbox.alerts.teller import Rhythm, Sender
from outbox.config.alerts import Channel
from outbox.config.audience import addressees_of
from outbox.config.settings import Settings

_MAIL_OVER_TLS = "smtps"


def sender_of(channel: Channel) -> Sender:
    """Return what writes over a channel."""
    url = channel.url.get_secret_value()
    if channel.is_mail and channel.sender is not None:
        parts = urlsplit(url)
        is_tls = parts.scheme == _MAIL_OVER_TLS
        server = MailServer(
            host=parts.hostname or "",
            port=parts.port,
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            is_tls=is_tls,
            is_upgraded=not is_tls and channel.starttls,
        )
        return MailChannel(server, sender=channel.sender, timeout_seconds=channel.timeout)
    token = None if channel.token is None else channel.token.get_secret_value()
    return PostChannel(url, form=channel.format or "slack", token=token, timeout_seconds=channel.timeout)


def wards_of(settings: Settings) -> dict[str, Ward]:
    """Return the flows as they are judged."""
    return {
        name: Ward(flow.promise(), flow.reconcile is not None, addressees_of(settings, name))
        for name, flow in settings.flows.items()
    }


def bounds_of(settings: Settings) -> Bounds:
    """Return when something is an alert."""
    alerts = settings.alerts
    return Bounds(
        alerts.circuit_open_after, alerts.unpublished_after, alerts.over_after, alerts.keep, alerts.check_every
    )


def rhythm_of(settings: Settings) -> Rhythm:
    """Return how often people are told."""
    alerts = settings.alerts
    return Rhythm(alerts.wait, alerts.every, alerts.repeat_every, alerts.check_every)
