"""The graphics card: which one, what it can do, what it holds."""
