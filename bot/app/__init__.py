"""The composition root, the command line, settings and checks."""
