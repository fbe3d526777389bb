"""`python -m pushd`: the daemon's command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pushd import __version__
from pushd.config import Overrides, load
from pushd.errors import PushdError
from pushd.service.daemon import serve
from pushd.service.listener import listening
from pushd.service.memory import reuse, settle
from pushd.telemetry.logging import hear_libraries, open_log
from pushd.telemetry.metrics import Meter

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from pushd.config import Config

_FAILED = 1
_INTERRUPTED = 130
"""What a shell makes of a command that SIGINT ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to stop.

    Returns:
        0 after a stop that was asked for, or a configuration found good; 1 when it could not serve, said on
        standard error; 130 when it was interrupted before it served.
    """
    arguments = _parser().parse_args(argv)
    overrides = Overrides(config=arguments.config, socket=arguments.socket, state_dir=arguments.state_dir)
    try:
        reread = partial(load, overrides, os.environ, _read_text, uid=os.geteuid())
        config = reread()
        if arguments.check_config:
            print(_shown(f"{config.file or 'no configuration file, defaults'}: good"))  # noqa: T201 (a person asked)
            return 0
        reuse()
        settle()
        _run(config, reread)
    except PushdError as error:
        print(_shown(f"pushd: {error}"), file=sys.stderr)  # noqa: T201 (there may be no log yet)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _run(config: Config, reread: Callable[[], Config]) -> None:
    others = {name: it.path for name, it in config.sockets.items()}
    with (
        closing(open_log(config.daemon.log_level, os.environ)) as log,
        listening(config.daemon.socket, others, os.environ) as listeners,
    ):
        meter = Meter(config.registries)
        emit = meter.beside(log)
        hear_libraries(emit)
        main_socket = listeners.main
        asyncio.run(
            serve(
                _serving(config, main_socket),
                listeners,
                emit=emit,
                meter=meter,
                environ=os.environ,
                reread=lambda: _serving(reread(), main_socket),
                relevel=partial(setattr, log, "level"),
            )
        )


def _serving(config: Config, main: socket.socket) -> Config:
    """Give the configuration with the socket that is really served: a service manager may have passed another."""
    name = os.fsdecode(main.getsockname()).replace("\0", "@", 1)
    return replace(config, daemon=replace(config.daemon, socket=Path(name)))


def _shown(text: str) -> str:
    """Leave out what would command a terminal, and what none can show; the lines of a list stay."""
    return "".join(character for character in text if character.isprintable() or character == "\n")


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _path(text: str) -> Path:
    if not text:  # what a script's unset variable leaves; to Python it is the working directory
        raise argparse.ArgumentTypeError("a path is wanted, not nothing")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pushd",
        description="Push daemon for OCI registries. Takes jobs on a unix socket; people speak to it with pushctl.",
    )
    parser.add_argument("--config", type=_path, metavar="FILE", help="TOML file with the configuration")
    parser.add_argument("--socket", type=_path, metavar="PATH", help="unix socket to serve")
    parser.add_argument("--state-dir", type=_path, metavar="DIR", help="directory of the database")
    parser.add_argument("--check-config", action="store_true", help="read the configuration, say what is wrong, exit")
    parser.add_argument("--version", action="version", version=f"pushd {__version__}")
    return parser
