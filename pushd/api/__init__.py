"""HTTP over the unix socket."""

from __future__ import annotations

from pushd.api.app import make_app
from pushd.api.callers import server_logger

__all__ = ["make_app", "server_logger"]
