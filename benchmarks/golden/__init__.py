"""Golden files: what trainings and pictures come out as, bit by bit, before and after a change."""
