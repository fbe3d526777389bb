"""How uploads to a registry are done, and what the disk knows of one: values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Form(StrEnum):
    """The forms in which the bytes of a blob may travel."""

    CHUNKED = "chunked"
    """A PATCH per chunk with Content-Range, then an empty PUT."""
    STREAMED = "streamed"
    """One PATCH without Content-Range for all that is left, then an empty PUT: unofficial, and widely used."""
    MONOLITHIC = "monolithic"
    """One PUT with the whole blob."""


@unique
class Ranges(StrEnum):
    """What the `Range` of a registry's replies counts."""

    OF_BLOB = "of_blob"
    """The bytes of the blob that have arrived, from its first (spec, "Pushing a blob in chunks")."""
    OF_CHUNK = "of_chunk"
    """The bytes of the newest chunk (regclient#627); what it says of a whole session is anybody's guess."""
    UNRELIABLE = "unreliable"
    """Nothing: it may stay at the first chunk though the others are stored (aws/containers-roadmap#2831)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How uploads to a registry are done.

    Attributes:
        forms: what may be tried, best first; a registry that refuses one is offered the next.
        chunk_size: bytes per PATCH.
        chunk_max: bytes a PATCH may carry at most, whatever minimum is announced; None knows of no such limit.
        put_max: bytes a PUT may carry at most, likewise.
        single_max: a blob of at most so many bytes goes monolithic first, when that form is allowed at all.
        last_in_put: in chunks, the last one travels in the PUT that closes the session, which is never empty then.
        ranges: what `Range` counts. Unless it is the blob, what the registry acknowledged is all that is known.
        resumable: whether a session can be gone on with after a request broke; else the blob starts over.
        mounts: whether a mount may be asked for.
        joins: whether a small blob is asked for and its session opened in one request, a mount from the repository to
            itself; None where nobody knows: then a registry is asked so that shows itself to be distribution 3, which
            answers 201 to that where the blob is there.
        checks: whether a manifest is refused when a blob of it is missing: then what was pushed there before is not
            even asked for.
        absent: statuses that say that a blob or manifest is not there.
        retries: failures in a row without a byte of progress before the session gives up.
        restarts: how often a lost session may begin again from the first byte.
        pause: seconds before the first retry; doubled for each further one.
        pause_max: seconds that no retry waits longer than. A registry that asks for more ends the session with
            its `retry_after`, because a place in the queue is not a place to wait in.
    """

    forms: tuple[Form, ...] = (Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC)
    chunk_size: int = 32 << 20
    chunk_max: int | None = None
    put_max: int | None = None
    single_max: int = 4 << 20
    last_in_put: bool = False
    ranges: Ranges = Ranges.OF_BLOB
    resumable: bool = True
    mounts: bool = True
    joins: bool | None = None
    checks: bool = False
    absent: frozenset[int] = frozenset({404})
    retries: int = 5
    restarts: int = 3
    pause: float = 0.4
    pause_max: float = 15.0

    def ladder(self, size: int) -> tuple[Form, ...]:
        """Give the forms to try for a blob of `size` bytes, in order.

        A form that would put more into one request than the registry takes is left out, unless nothing else is left.
        """
        most = {Form.STREAMED: self.chunk_max, Form.MONOLITHIC: self.put_max}
        forms = tuple(form for form in self.forms if size <= (most.get(form) or size)) or self.forms
        if size <= self.single_max and Form.MONOLITHIC in forms:
            return (Form.MONOLITHIC, *(form for form in forms if form is not Form.MONOLITHIC))
        return forms

    def chunk(self, announced_min: int, announced_max: int) -> int:
        """Give the bytes per PATCH of a session whose registry announced these bounds when it opened, 0 for none."""
        size = max(self.chunk_size, announced_min)
        return min(size, announced_max or size, self.chunk_max or size)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the disk knows of an upload session.

    Attributes:
        location: the newest Location, absolute; the only one the registry may still accept. Its query is a secret.
        offset: bytes acknowledged; a hint, the registry's Range is the truth.
        chunk_size: bytes per PATCH, constant within a session (some storages want equal parts).
        form: how the bytes travel.
    """

    location: str
    offset: int
    chunk_size: int
    form: Form

    def __repr__(self) -> str:
        return f"Checkpoint({self.location.partition('?')[0]!r}, {self.offset}, {self.chunk_size}, {self.form})"
