"""Where an image's bytes come from. On the standard library alone: the client reads images with it as well."""

from __future__ import annotations

from pushd.source.opening import ImageSource, open_source
from pushd.source.spooled import SpooledSource

__all__ = ["ImageSource", "SpooledSource", "open_source"]
