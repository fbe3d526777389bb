"""Text from elsewhere on its way to a terminal or a pipe."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.job import Job

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def clean(text: object) -> str:
    """Make text harmless for a terminal and keep it on one line.

    White space becomes a space; control characters, invisible formatting (which can reverse what is read) and what
    is no character at all become the replacement character, so that one sees that something was there.
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in line
    )


def cut_left(text: str, width: int) -> str:
    """Shorten to `width` characters by leaving out the beginning: the end of a path or a reference tells more."""
    return text if len(text) <= width else _ELLIPSIS + text[len(text) - width + 1 :] if width > 0 else ""


def json_line(document: Mapping[str, Any]) -> str:
    """Write one JSON object on one line, in ASCII: no text in it can move a cursor."""
    return json.dumps(document, default=_time)


def job_line(job: Job) -> str:
    """Write a job as the API shows it, on one line."""
    return json_line(asdict(job))


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
