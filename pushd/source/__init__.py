"""Where an image's bytes come from."""

from __future__ import annotations

from pushd.source.layout import open_source

__all__ = ["open_source"]
