"""The topology as RabbitMQ's own definitions, for ``rabbitmqctl import_definitions`` and ``POST /api/definitions``."""

from __future__ import annotations

from outbox.rabbitmq.desired import Desired


def definitions(desired: Desired, vhost: str) -> dict[str, list[dict[str, object]]]:
    """Return the definitions. The virtual host itself is not among them: importing it could change its metadata.

    RabbitMQ imports policies before queues, whatever their order in the file.
    """
    return {
        "policies": [{"vhost": vhost, "name": policy.name, **policy.body()} for policy in desired.policies],
        "exchanges": [
            {
                "vhost": vhost,
                "name": exchange.name,
                "type": exchange.kind.value,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": exchange.arguments(desired.mode),
            }
            for exchange in desired.exchanges
        ],
        "queues": [
            {
                "vhost": vhost,
                "name": queue.name,
                "durable": True,
                "auto_delete": False,
                "arguments": queue.arguments(desired.mode),
            }
            for queue in desired.queues
        ],
        "bindings": [
            {
                "vhost": vhost,
                "source": source,
                "destination": queue,
                "destination_type": "queue",
                "routing_key": routing_key,
                "arguments": {},
            }
            for source, queue, routing_key in desired.bindings()
        ],
    }
