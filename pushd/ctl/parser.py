"""What a person types after `pushctl`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pushd import __version__
from pushd.ctl import commands
from pushd.ctl.quantities import parse_duration
from pushd.job import JobState, Verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.ctl.exits import Exit

_EXIT_CODES = """\
exit codes:
  0 done, 1 failed, 2 usage, 3 no daemon, 4 cancelled, 5 only some destinations,
  6 refused, 7 past its deadline, 8 detached
"""
_PUSH = """\
example:
  pushctl push oci:./build:1.4 registry.example.com/team/app:1.4 --wait

SOURCE is oci:DIR[:REF] or oci-archive:FILE[:REF]. The job's id is printed once the
job is safe on the daemon's disk. With --wait the destinations are printed as they
were read back, NAME@DIGEST; progress goes to stderr, as bars on a terminal. With
--json the job is printed as one object: as taken, or with --wait as it ended.
"""
_JOBS = """\
example:
  pushctl jobs --state running --state held
"""
_SHOW = """\
example:
  pushctl show 3kX9aQmZ0bWd
"""
_WAIT = """\
example:
  pushctl wait $(pushctl push oci-archive:app.tar registry.example.com/team/app:1.4)

Prints each job's destinations as it has ended, or with --json the job as one object.
"""
_WATCH = """\
example:
  pushctl watch 3kX9aQmZ0bWd

Without JOB, the newest that is not finished. With --json each event is one object,
and the last one is the job as it ended.
"""
_CANCEL = """\
example:
  pushctl cancel 3kX9aQmZ0bWd

Destinations that are done stay done; nothing is removed from a registry.
"""
_EVENTS = """\
example:
  pushctl events --follow --json

Numbered events as the daemon keeps them; with --json also progress, which has no number.
"""
_STATUS = """\
example:
  pushctl status
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help for terminals of 80 columns. Asking how wide this one is would import shutil, in every command."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)


def parser() -> argparse.ArgumentParser:
    """Build the parser. What it parses has `run`, the verb to call."""
    top = argparse.ArgumentParser(
        prog="pushctl",
        description="Push images to registries through the pushd daemon.",
        epilog=_EXIT_CODES,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"pushctl {__version__}")
    top.add_argument(
        "--socket", metavar="PATH", help="the daemon's socket (default: $PUSHD_SOCKET, or where it usually is)"
    )
    verbs = top.add_subparsers(metavar="COMMAND", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace], Exit], text: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=example,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        # People type it behind the command as well; there it must not undo what stood before.
        added.add_argument("--socket", metavar="PATH", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        added.add_argument("--json", action="store_true", help="print JSON, one object a line, and nothing else")
        added.set_defaults(run=run)
        return added

    push = verb("push", commands.push, "push an image to one or more places", _PUSH)
    push.add_argument("source", metavar="SOURCE", help="oci:DIR[:REF] or oci-archive:FILE[:REF]")
    push.add_argument("destinations", metavar="DESTINATION", nargs="+", help="a reference, HOST/NAME:TAG")
    push.add_argument("--wait", action="store_true", help="wait until it is done, and show how it goes")
    push.add_argument("--priority", type=int, default=0, metavar="N", help="larger goes first (default: 0)")
    push.add_argument(
        "--label", dest="labels", type=_label, action="append", default=[], metavar="K=V",
        help="your own words, shown with the job; may be repeated",
    )  # fmt: skip
    push.add_argument(
        "--deadline", type=_duration, metavar="D", help="fail what is unfinished after 90s, 15m, 2h or 1d"
    )
    push.add_argument(
        "--verify", type=Verify, choices=list(Verify), default=Verify.TAG, metavar="WHAT",
        help="read back the `tag`, or all `blobs` as well (default: tag)",
    )  # fmt: skip
    listing = verb("jobs", commands.jobs, "list jobs, newest first", _JOBS)
    listing.add_argument(
        "--state", dest="states", type=_state, action="append", default=[],
        metavar="STATE", help=f"only these: {', '.join(JobState)}; may be repeated",
    )  # fmt: skip
    listing.add_argument("--limit", type=_positive, default=50, metavar="N", help="at most so many (default: 50)")
    show = verb("show", commands.show, "show everything about a job", _SHOW)
    show.add_argument("job", metavar="JOB")
    wait = verb("wait", commands.wait, "wait until jobs have ended", _WAIT)
    wait.add_argument("jobs", metavar="JOB", nargs="+")
    watch = verb("watch", commands.watch, "look on while a job is delivered", _WATCH)
    watch.add_argument("job", metavar="JOB", nargs="?")
    cancel = verb("cancel", commands.cancel, "cancel jobs", _CANCEL)
    cancel.add_argument("jobs", metavar="JOB", nargs="+")
    events = verb("events", commands.events, "print what happened", _EVENTS)
    events.add_argument("--after", type=_number, default=0, metavar="SEQ", help="only what came after this number")
    events.add_argument("--job", metavar="JOB", help="only this job's")
    events.add_argument("--follow", action="store_true", help="go on with what happens now")
    verb("status", commands.status, "show what the daemon is doing", _STATUS)
    return top


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(JobState)}") from error


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _positive(text: str) -> int:
    if (number := _number(text)) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
