"""Operation: schedule, monitoring, metrics, health, backups."""
