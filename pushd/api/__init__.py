"""HTTP over the unix socket."""

from __future__ import annotations

from pushd.api.app import make_app
from pushd.api.callers import make_runner

__all__ = ["make_app", "make_runner"]
