"""A flow's work between the inbox and an adapter: what a payload becomes before it is sent."""
