"""Measures the sidecar beside its alternatives, in one run, on private servers. Nothing imports it."""
