"""Logs and metrics of what happens: the only place that knows structlog and prometheus-client."""
