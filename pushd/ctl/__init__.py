"""pushctl: the command a person types, on the client.

Stdout gets results and stderr everything else, so that pipes and scripts need not pick. Start-up is short: a command
imports what it alone needs, and rich only where it draws.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from pushd.ctl.arguments import shielded, unknown
from pushd.ctl.detach import Detached
from pushd.ctl.exits import Exit, exit_of_error
from pushd.ctl.parser import parser
from pushd.ctl.texts import clean
from pushd.errors import PushdError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: what was typed after the command's name; `sys.argv` when None.

    Returns:
        The exit code, one of `pushd.ctl.exits.Exit`.

    Raises:
        SystemExit: what was typed makes no sense (2), or asked for help or the version (0).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name outside the locale's encoding is no reason to die
    typed, more = parser().parse_known_args(
        [shielded(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    )
    if more:
        typed.parser.error(unknown(more, quoting=typed.quoting))
    try:
        code: Exit = typed.run(typed)
        sys.stdout.flush()
    except Detached:
        return Exit.DETACHED
    except PushdError as error:
        print(f"pushctl: {clean(error)}", file=sys.stderr)
        return exit_of_error(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return Exit.BROKEN_PIPE
    except OSError as error:
        _abandon_stdout()
        print(f"pushctl: {clean(error.strerror or error)}", file=sys.stderr)
        return Exit.FAILED
    return code


def _abandon_stdout() -> None:
    """Let what could not be written go nowhere: Python tries once more when it ends, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
