"""`python -m pushd.telemetry`: prints the catalogue of events as a document."""

from __future__ import annotations

import sys

from pushd.telemetry.table import table

if __name__ == "__main__":
    sys.stdout.write(table())
