"""What only administrators read: in English alone, like the settings and the log."""
