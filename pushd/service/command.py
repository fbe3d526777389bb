"""`python -m pushd`: the daemon's command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pushd import __version__
from pushd.config import Overrides, load
from pushd.errors import PushdError
from pushd.service.daemon import serve
from pushd.service.listener import listening
from pushd.telemetry.logging import EventLog, hear_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.config import Config

_FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to stop.

    Returns:
        0 after a stop that was asked for, or a configuration found good; 1 when it could not serve, said on
        standard error.
    """
    arguments = _parser().parse_args(argv)
    overrides = Overrides(config=arguments.config, socket=arguments.socket, state_dir=arguments.state_dir)
    try:
        config = load(overrides, os.environ, _read_text, uid=os.geteuid())
        if arguments.check_config:
            print(f"{config.file or 'no configuration file, defaults'}: good")  # noqa: T201 (asked for by a person)
            return 0
        _run(config)
    except PushdError as error:
        print(f"pushd: {error}", file=sys.stderr)  # noqa: T201 (there may be no log yet)
        return _FAILED
    return 0


def _run(config: Config) -> None:
    emit = EventLog(config.daemon.log_level, sys.stderr.buffer)
    hear_libraries(emit)
    with listening(config.daemon.socket, os.environ) as listener:
        asyncio.run(serve(config, listener, emit=emit, environ=os.environ))


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pushd",
        description="Push daemon for OCI registries. Takes jobs on a unix socket; people speak to it with pushctl.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with the configuration")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="unix socket to serve")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="directory of the database")
    parser.add_argument("--check-config", action="store_true", help="read the configuration, say what is wrong, exit")
    parser.add_argument("--version", action="version", version=f"pushd {__version__}")
    return parser
