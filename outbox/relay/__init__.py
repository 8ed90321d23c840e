"""Publishes what is committed: reads by snapshot cursor, sends with confirms, never touches an event's row."""
