"""Where GPU work is carried out: one local process, or a Ray cluster."""
