"""The daemon and the registry of the integration tests."""

from __future__ import annotations

from tests.integration.conftest import served, start_daemon

__all__ = ["served", "start_daemon"]
