"""Pure values and decisions. Nothing in here does I/O, reads a clock or knows a library of the edges."""
