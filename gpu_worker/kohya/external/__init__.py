"""Training with a checkout of kohya's sd-scripts, as a program of its own; none of its code is here."""
