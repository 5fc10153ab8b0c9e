"""The GPU process: holds the base model, runs jobs, keeps nothing that matters."""
