"""One thin adapter per platform."""
