"""The OCI specifications as pure values and functions: no IO, no clock, no randomness of their own."""
