"""Where things are when nobody says so: of a system service, or of a user's own daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The places by default; None where the environment does not tell.

    Attributes:
        file: the configuration file.
        socket: the unix socket.
        state_dir: the directory of the database.
    """

    file: Path | None
    socket: Path | None
    state_dir: Path | None


def places(environ: Mapping[str, str], *, uid: int) -> Places:
    """Decide the places.

    Root's daemon, and one whose state systemd keeps in /var/lib, is the system's. Any other is a user's own, with
    its files where the XDG Base Directory Specification puts them. What systemd created for the unit
    (`RuntimeDirectory=`, `StateDirectory=`, systemd.exec(5)) goes first for both.
    """
    runtime, state = _first(environ, "RUNTIME_DIRECTORY"), _first(environ, "STATE_DIRECTORY")
    home = _absolute(environ, "HOME")
    if uid == 0 or (state is not None and state.is_relative_to("/var/lib")):
        config: Path | None = Path("/etc/pushd")
        runtime = runtime or Path("/run/pushd")
        state = state or Path("/var/lib/pushd")
    else:
        config = _below(_absolute(environ, "XDG_CONFIG_HOME") or _below(home, ".config"), "pushd")
        runtime = runtime or _below(_absolute(environ, "XDG_RUNTIME_DIR"), "pushd")
        state = state or _below(_absolute(environ, "XDG_STATE_HOME") or _below(home, ".local/state"), "pushd")
    return Places(
        file=_below(config, "pushd.toml"),
        socket=_below(runtime, "pushd.sock"),
        state_dir=state,
    )


def _first(environ: Mapping[str, str], name: str) -> Path | None:
    """Give the first of the directories systemd separates by colons."""
    text = environ.get(name, "").partition(":")[0]
    return Path(text) if text else None


def _absolute(environ: Mapping[str, str], name: str) -> Path | None:
    """Give a directory; a relative one is to be ignored (XDG Base Directory Specification, "Basics")."""
    text = environ.get(name, "")
    return Path(text) if text.startswith("/") else None


def _below(directory: Path | None, name: str) -> Path | None:
    return directory / name if directory is not None else None
