"""HTTP over the unix socket."""

from __future__ import annotations

from pushd.api.app import make_app

__all__ = ["make_app"]
