"""A command and a platform that do not exist, to play docs/how-to on a copy of the code."""
