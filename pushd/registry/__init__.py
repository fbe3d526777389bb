"""The wire: HTTP to registries, authorisation, credentials."""

from pushd.registry.registries import Registries
from pushd.registry.settings import Settings, Timeouts
from pushd.registry.wire import Wire

__all__ = ["Registries", "Settings", "Timeouts", "Wire"]
