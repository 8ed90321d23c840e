"""Who is written to when something is wrong: what is judged, and the channels over which people are told."""
