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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How uploads to a registry are done.

    Attributes:
        forms: what may be tried, best first; a registry that refuses one is offered the next.
        chunk_size: bytes per PATCH.
        single_max: a blob of at most so many bytes goes monolithic first, when that form is allowed at all.
        retries: failures in a row without a byte of progress before the session gives up.
        restarts: how often a lost session may begin again from the first byte.
        pause: seconds before the first retry; doubled for each further one.
        pause_max: seconds that no retry waits longer than. A registry that asks for more ends the session with
            its `retry_after`, because a place in the queue is not a place to wait in.
    """

    forms: tuple[Form, ...] = (Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC)
    chunk_size: int = 32 << 20
    single_max: int = 4 << 20
    retries: int = 5
    restarts: int = 3
    pause: float = 0.4
    pause_max: float = 15.0

    def ladder(self, size: int) -> tuple[Form, ...]:
        """Give the forms to try for a blob of `size` bytes, in order."""
        if size <= self.single_max and Form.MONOLITHIC in self.forms:
            return (Form.MONOLITHIC, *(form for form in self.forms if form is not Form.MONOLITHIC))
        return self.forms


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
