"""Configuration: one TOML file, the environment and the command line -> one frozen, typed `Config`."""

from __future__ import annotations

from pushd.config.load import Overrides, load
from pushd.config.mistakes import ConfigError, Mistake
from pushd.config.values import (
    Access,
    Config,
    Credentials,
    Daemon,
    Destinations,
    Disk,
    Engine,
    Grant,
    Images,
    Limits,
    Metrics,
    Proxy,
    Registry,
    Retention,
    Socket,
    Spool,
    TcpAddress,
    Timeouts,
    Tls,
)

__all__ = [
    "Access",
    "Config",
    "ConfigError",
    "Credentials",
    "Daemon",
    "Destinations",
    "Disk",
    "Engine",
    "Grant",
    "Images",
    "Limits",
    "Metrics",
    "Mistake",
    "Overrides",
    "Proxy",
    "Registry",
    "Retention",
    "Socket",
    "Spool",
    "TcpAddress",
    "Timeouts",
    "Tls",
    "load",
]
