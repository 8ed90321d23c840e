"""Transactional outbox and inbox: PostgreSQL to RabbitMQ to other systems, exactly once and in order."""
