"""Puts together the part of a process that writes to people when something is wrong."""

from __future__ import annotations

from outbox.alerts.judge import Judge
from outbox.alerts.teller import Teller
from outbox.config.audience import addressees_of
from outbox.config.settings import Settings
from outbox.model.lifecycle import Report
from outbox.postgres.alerts import AlertStore
from outbox.supervisor import Service
from outbox.wiring import postgres_server
from outbox.wiring_alerts import bounds_of, rhythm_of, sender_of, wards_of


class AlertPart:
    """The judge, and a service for each channel; without channels there is none of them."""

    def __init__(self, settings: Settings, report: Report) -> None:
        store = AlertStore(postgres_server(settings, name="outbox-alerts"))
        self._judge = Judge(store, bounds_of(settings), wards_of(settings), addressees_of(settings, None), report)
        self.hear = self._judge.hear
        rhythm = rhythm_of(settings)
        self.services = [
            Service("alerts", self._judge.run),
            *(
                Service(
                    f"channel {name}",
                    Teller(name, sender_of(channel), store, rhythm, send_seconds=channel.timeout, report=report).run,
                )
                for name, channel in settings.alerts.channels.items()
            ),
        ]

    def take_up(self, settings: Settings) -> None:
        """Judge by the flows of newer settings from now on."""
        self._judge.wards = wards_of(settings)
