"""Accepts messages, applies each of them once and in order for its key, and parks what cannot be applied."""
