"""The verbs of pushctl: each takes the parsed arguments, speaks to the daemon, prints, and gives an exit code."""
