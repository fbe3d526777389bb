"""Configuration: one TOML file, the environment and the command line -> one frozen, typed `Config`."""

from __future__ import annotations

from pushd.config.load import Overrides, load
from pushd.config.mistakes import ConfigError, Mistake
from pushd.config.values import Config, Credentials, Daemon, Limits, Registry, Timeouts

__all__ = [
    "Config",
    "ConfigError",
    "Credentials",
    "Daemon",
    "Limits",
    "Mistake",
    "Overrides",
    "Registry",
    "Timeouts",
    "load",
]
