"""The configuration as a whole. What wins: command line, environment, file, default, in this order."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pushd.config.document import Document, read_document
from pushd.config.mistakes import ConfigError, Mistake
from pushd.config.places import places
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
    Timeouts,
    Tls,
)
from pushd.errors import Code, DaemonError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VARIABLES: Final = {"socket": "PUSHD_SOCKET", "state_dir": "PUSHD_STATE_DIR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says; None where it is silent."""

    config: Path | None = None
    socket: Path | None = None
    state_dir: Path | None = None


def load(overrides: Overrides, environ: Mapping[str, str], read_text: Callable[[Path], str], *, uid: int) -> Config:
    """Give the configuration.

    Args:
        overrides: what the command line says.
        environ: `PUSHD_CONFIG`, `PUSHD_SOCKET`, `PUSHD_STATE_DIR`, and what tells the default places.
        read_text: gives the content of a file, as `Path.read_text` does.
        uid: who the daemon runs as.

    Raises:
        DaemonError: `daemon.config`, with every mistake in the file, or the file cannot be read, or no place for
            the socket or the state is known.
    """
    default = places(environ, uid=uid)
    named = overrides.config or _variable(environ, "PUSHD_CONFIG")
    file = named or default.file
    text = _content(file, read_text, required=named is not None) if file is not None else None
    document = Document() if file is None or text is None else _parsed(file, text)
    tables = document.tables
    written = tables.get("daemon", {})
    socket = _place("socket", overrides.socket, environ, written, default.socket)
    state_dir = _place("state_dir", overrides.state_dir, environ, written, default.state_dir)
    for name, values in document.sockets.items():
        if file is not None and values["path"] == socket:
            raise ConfigError(file, [Mistake(("sockets", name, "path"), "is the main socket's already")], text or "")
    return Config(
        daemon=Daemon(**{**written, "socket": socket, "state_dir": state_dir}),
        limits=Limits(**tables.get("limits", {})),
        timeouts=Timeouts(**tables.get("timeouts", {})),
        credentials=_credentials(tables.get("credentials", {})),
        tls=Tls(**tables.get("tls", {})),
        proxy=Proxy(**tables.get("proxy", {})),
        access=Access(**tables.get("access", {})),
        destinations=Destinations(**tables.get("destinations", {})),
        images=Images(**tables.get("images", {})),
        engine=Engine(**tables.get("engine", {})),
        spool=Spool(**tables.get("spool", {})),
        disk=Disk(**tables.get("disk", {})),
        retention=Retention(**tables.get("retention", {})),
        metrics=Metrics(**tables.get("metrics", {})),
        registries=MappingProxyType({name: Registry(**values) for name, values in document.registries.items()}),
        sockets=MappingProxyType({name: Socket(**values) for name, values in document.sockets.items()}),
        file=file if text is not None else None,
    )


def _credentials(written: Mapping[str, Any]) -> Credentials:
    grants = tuple(Grant(**values) for values in written.get("grants", ()))
    return Credentials(**{**written, "grants": grants})


def _content(file: Path, read_text: Callable[[Path], str], *, required: bool) -> str | None:
    """Give the file's text; None when it is not there and need not be."""
    try:
        return read_text(file)
    except FileNotFoundError as error:
        if not required:
            return None
        raise DaemonError(Code.DAEMON_CONFIG, str(file), "is not there") from error
    except UnicodeDecodeError as error:
        raise DaemonError(Code.DAEMON_CONFIG, str(file), "is not UTF-8, as TOML must be") from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DaemonError(Code.DAEMON_CONFIG, str(file), f"cannot be read: {why}") from error


def _parsed(file: Path, text: str) -> Document:
    try:
        written = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a plain ValueError
        raise ConfigError(file, [Mistake((), f"is not TOML: {error}")]) from error
    document = read_document(written)
    if document.mistakes:
        raise ConfigError(file, document.mistakes, text)
    return document


def _place(
    name: str, given: Path | None, environ: Mapping[str, str], written: Mapping[str, Path], default: Path | None
) -> Path:
    variable = _VARIABLES[name]
    place = given or _variable(environ, variable) or written.get(name) or default
    if place is None:
        option = f"--{name.replace('_', '-')}"
        raise DaemonError(
            Code.DAEMON_CONFIG,
            f"daemon.{name}",
            "is not set, and the environment tells no default",
            hint=f"give {option} PATH, or set {variable}",
        )
    return place


def _variable(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name, "")
    return Path(text) if text else None
