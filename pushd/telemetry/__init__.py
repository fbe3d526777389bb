"""The event catalogue and the logs."""
