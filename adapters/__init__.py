"""Adapters: one module for each kind of target system. They know the model and nothing else of the house."""
