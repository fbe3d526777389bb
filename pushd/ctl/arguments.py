"""What may be typed as the value of an option. Each raises what argparse shows as a usage error."""

from __future__ import annotations

import re
from argparse import Action, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pushd.ctl.quantities import parse_duration
from pushd.job import ABSENT, JobState

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

STANDARD_INPUT = "-"
_DASH = "\0"
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}", re.ASCII)


def shielded(argument: str) -> str:
    """Hide the dash of `-:REF` from argparse, which would take it for an option; `shown` shows it again."""
    return _DASH + argument[1:] if argument.startswith(f"{STANDARD_INPUT}:") else argument


def unknown(more: Sequence[str], *, quoting: bool) -> str:
    """Say that there is more than a command takes; without `quoting` nothing of it that could be a secret."""
    if not quoting:
        more = [argument.partition("=")[0] if argument.startswith("--") else "***" for argument in more]
    return f"unrecognized arguments: {' '.join(more)}"


def shown(text: str) -> str:
    """Give an operand as it was typed."""
    return text.replace(_DASH, STANDARD_INPUT)


def media_type(text: str) -> str:
    """The name of a media type."""
    from pushd.oci.media_types import is_media_type  # noqa: PLC0415 (most pushes name none)

    if not is_media_type(text):
        raise ArgumentTypeError(f"{text!r} is no media type, which is written TYPE/SUBTYPE")
    return text


def named_file(text: str) -> tuple[str, str]:
    """A file's name and its media type, or nothing: what stands behind the last colon, where it is one or nothing.

    So a name with a colon is a name, and one that could be mistaken is followed by another colon.
    """
    from pushd.oci.media_types import is_media_type  # noqa: PLC0415 (as above)

    text = shown(text)
    name, colon, media_type = text.rpartition(":")
    if colon and name and (not media_type or is_media_type(media_type)):
        return name, media_type
    return text, ""


def duration(text: str) -> float:
    """Seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def moment(text: str) -> datetime:
    """A time with its offset from UTC, or a duration from now."""
    try:
        return datetime.now(UTC) + timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} is neither a time such as 2026-07-01T22:00:00+02:00 nor a duration like 10m")
    return time


def if_tag(text: str) -> str:
    """`absent`, or a digest."""
    if text != ABSENT and not _DIGEST.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is neither {ABSENT!r} nor a digest")
    return text


def platforms(text: str) -> list[str]:
    """One or more, with commas between them; what they are called elsewhere the daemon knows."""
    found = text.split(",")
    for platform in found:
        if not _PLATFORM.fullmatch(platform):
            raise ArgumentTypeError(f"{platform!r} is not OS/ARCH[/VARIANT]")
    return found


def tag(text: str) -> str:
    """A tag by itself."""
    if not _TAG.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no tag")
    return text


def state(text: str) -> JobState:
    """A job's."""
    try:
        return JobState(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(JobState)}") from error


def label(text: str) -> tuple[str, str]:
    """A key and its value."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def number(text: str) -> int:
    """Zero or more."""
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def positive(text: str) -> int:
    """One or more."""
    if (found := number(text)) == 0:
        raise ArgumentTypeError("must be at least 1")
    return found


def named(text: str) -> str:
    """A name, which is not empty."""
    if not text:
        raise ArgumentTypeError("must not be empty")
    return text


class TypedPassword(Action):
    """A password on the command line: everybody on the machine can read it there, and so can the shell's history."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,  # noqa: ARG002 (argparse calls it so)
        values: object,  # noqa: ARG002 (the same)
        option_string: str | None = None,
    ) -> None:
        """Refuse it, without saying it once more."""
        parser.error(f"{option_string} shows the password to everybody: write it to --password-stdin")


def key(text: str) -> str:
    """An idempotency key."""
    if not (0 < len(text) <= 255 and text.isascii() and text.isprintable()):  # noqa: PLR2004 (the API's bound)
        raise ArgumentTypeError("must be 1 to 255 printable ASCII characters")
    return text
