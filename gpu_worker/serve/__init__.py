"""The worker process: its loop, its scheduler, its engine."""
