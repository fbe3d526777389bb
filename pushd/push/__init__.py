"""The engine: from an accepted job to its outcome."""
