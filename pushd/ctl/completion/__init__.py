"""Scripts that complete pushctl in a shell, written from its parser, so that they know what it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.completion.bash import bash
from pushd.ctl.completion.fish import fish
from pushd.ctl.completion.outline import outline
from pushd.ctl.completion.zsh import zsh

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Mapping

    from pushd.ctl.completion.outline import Outline

_SHELLS: Mapping[str, Callable[[Outline], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def script(shell: str, parser: ArgumentParser) -> str:
    """Write the script for `bash`, `zsh` or `fish`."""
    return _SHELLS[shell](outline(parser))
