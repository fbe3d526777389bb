"""Byte ranges of an upload session (OCI distribution spec 1.1, "Pushing a blob in chunks"), and of what is read.

In code `stop` is exclusive; on the wire the end of an upload's is inclusive, without a unit and without a total.
"""

from __future__ import annotations

import re

# The unit is HTTP's habit, not the spec's, and some registries have it. Nineteen digits hold 64 bits.
_RANGE = re.compile(r"(?:bytes[ =])?(?P<start>[0-9]{1,19})-(?P<end>-1|[0-9]{1,19})", re.IGNORECASE)

_PART = re.compile(r"bytes (?P<start>[0-9]{1,19})-[0-9]{1,19}/(?P<size>[0-9]{1,19}|\*)", re.IGNORECASE)


def content_begins(header: str | None) -> tuple[int, int | None] | None:
    """Read from the `Content-Range` of a part that was asked for (RFC 9110, 14.4) where it begins, and of how much.

    The size of the whole is None where it is not known; all is None when the header is missing or makes no sense.
    """
    match = _PART.fullmatch(header.strip(" \t")) if header is not None else None
    if match is None:
        return None
    return int(match["start"]), None if match["size"] == "*" else int(match["size"])


def content_range(start: int, stop: int) -> str:
    """Format the `Content-Range` of a chunk of the bytes from `start` to before `stop`.

    Raises:
        ValueError: the chunk has no bytes; such a range cannot be written.
    """
    if not 0 <= start < stop:
        raise ValueError(f"no bytes from {start} to before {stop}")
    return f"{start}-{stop - 1}"


def received(header: str | None) -> int | None:
    """Read from the `Range` of a reply how many bytes, from the first on, the registry holds.

    None when the header is missing, makes no sense, or does not start at the first byte.
    """
    match = _RANGE.fullmatch(header.strip(" \t")) if header is not None else None
    if match is None or int(match["start"]) != 0:
        return None
    end = int(match["end"])
    # An empty session says 0-0, which by the letter is one byte; Gitea has said 0--1. Sending one byte again costs
    # nothing, and counting one that is not there corrupts the blob.
    return end + 1 if end > 0 else 0
