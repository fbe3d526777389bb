"""What there is to complete: the parser's commands, options and values, as values. Pure."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING, cast

from pushd.job import ABSENT, Compress, JobState, Tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@unique
class Kind(StrEnum):
    """What stands in one place of a command line."""

    WORDS = "words"
    """One of some words."""
    JOBS = "jobs"
    """A job's id, which the daemon is asked for."""
    REGISTRIES = "registries"
    """A registry, likewise."""
    LOGINS = "logins"
    """The name of a stored credential, likewise."""
    CREDENTIALS = "credentials"
    """Such a name, or one of some words."""
    FILES = "files"
    SOURCE = "source"
    """How an image is named: one of some words, and a file behind it, unless it is in an engine."""
    OTHER = "other"
    """Nothing a shell could guess."""


ASKED = frozenset({Kind.JOBS, Kind.REGISTRIES, Kind.LOGINS, Kind.CREDENTIALS})
"""What the daemon is asked for, under the same words."""

SOURCES = ("oci:", "oci-archive:", "docker-archive:", "dir:", "docker-daemon:")

_KINDS = {
    "JOB": Kind.JOBS,
    "HOST": Kind.REGISTRIES,
    "REGISTRY": Kind.REGISTRIES,
    "LOGIN": Kind.LOGINS,
    "WHICH": Kind.CREDENTIALS,
    "PATH": Kind.FILES,
    "SOURCE": Kind.SOURCE,
    "STATE": Kind.WORDS,
}
_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/s390x", "windows/amd64")
"""Those most images are built for."""
_WORDS = {
    "STATE": tuple(JobState),
    "SOURCE": SOURCES,
    "--if-tag": (ABSENT,),
    "--platform": _PLATFORMS,
    "--compress": tuple(Compress),
    "--tags": tuple(Tags),
}


@dataclass(frozen=True, slots=True)
class Value:
    """What is typed in one place.

    Attributes:
        words: those that may stand there, where they are known.
        many: whether what follows is of the same kind.
    """

    kind: Kind
    words: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        names: all its names.
        value: what has to follow; None for nothing.
        repeats: whether it may be typed again.
    """

    names: tuple[str, ...]
    text: str
    value: Value | None = None
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """What is typed behind a command's name once `option` was."""

    option: str
    operands: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        operands: what is typed behind its name.
        other: what is typed there instead after one of its options.
    """

    name: str
    text: str
    options: tuple[Option, ...]
    operands: tuple[Value, ...]
    other: Form | None = None


_OTHERS = {"push": Form("--artifact-type", (Value(Kind.OTHER), Value(Kind.FILES, many=True)))}
"""Of this the parser knows nothing: to it an operand is an operand."""


@dataclass(frozen=True, slots=True)
class Outline:
    """All of it.

    Attributes:
        options: those before the command.
    """

    options: tuple[Option, ...]
    commands: tuple[Command, ...]


def outline(parser: argparse.ArgumentParser) -> Outline:
    """Read a parser of subcommands."""
    # argparse has no public way to ask a parser what it knows; these names are as old as argparse.
    subcommands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 (as above)
    helps = {action.dest: action.help or "" for action in subcommands._choices_actions}  # noqa: SLF001 (as above)
    own = _options(parser)
    anywhere = tuple(option for option in own if "--socket" in option.names)  # hidden behind a command, and taken there
    commands = tuple(
        Command(name, helps[name], (*_options(command), *anywhere), _operands(command), _OTHERS.get(name))
        for name, command in cast("dict[str, argparse.ArgumentParser]", subcommands.choices).items()
    )
    return Outline(own, commands)


def _options(parser: argparse.ArgumentParser) -> tuple[Option, ...]:
    return tuple(
        Option(
            tuple(action.option_strings),
            action.help or "",
            None if action.nargs == 0 else _value(action),
            isinstance(action, argparse._AppendAction),  # noqa: SLF001 (its only name)
        )
        for action in parser._actions  # noqa: SLF001 (see outline)
        if action.option_strings and action.help != argparse.SUPPRESS
    )


def _operands(parser: argparse.ArgumentParser) -> tuple[Value, ...]:
    return tuple(_value(action) for action in parser._get_positional_actions())  # noqa: SLF001 (see outline)


def _value(action: argparse.Action) -> Value:
    metavar = str(action.metavar)
    many = action.nargs in ("+", "*")
    words: Sequence[str] | Iterable[object] | None = action.choices or _WORDS.get(metavar)
    if words is None and action.option_strings:
        words = _WORDS.get(action.option_strings[-1])
    kind = _KINDS.get(metavar, Kind.OTHER if words is None else Kind.WORDS)
    return Value(kind, tuple(str(word) for word in words or ()), many)
