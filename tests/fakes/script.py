"""A registry's part in an upload, read aloud: what the session is expected to ask for, and what it is told.

    play(session,
         (Head(DIGEST), MISSING),
         (Open(), opened(1)),
         (Save(checkpoint(1, 0)), None),
         ...,
         Done(Landing.UPLOADED))

A step is an action and its outcome; a bare ending closes the script. Actions that carry an error are expected by its
code: `Waits`, `Restarts`, `Fails`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.error_body import ErrorEntry
from pushd.oci.reply import Reply
from pushd.oci.upload import (
    Action,
    Broken,
    Checkpoint,
    Done,
    Fail,
    Form,
    Limits,
    Restart,
    UploadSession,
    Wait,
)

if TYPE_CHECKING:
    from pushd.oci.upload import Outcome

DIGEST = Digest.of(b"what the scripts push")
SUBJECT = "the blob at the registry"

CHUNKED = Limits(forms=(Form.CHUNKED,), chunk_size=10, single_max=0, retries=3, restarts=2, pause=2.0, pause_max=60.0)
"""Chunks of 10 bytes; with `rng` at 0 the pauses are 1, 2 and 4 seconds."""


def upload(
    size: int,
    limits: Limits = CHUNKED,
    *,
    checkpoint: Checkpoint | None = None,
    mount_from: str | None = None,
    expected: bool = False,
    rng: float = 0.0,
) -> UploadSession:
    """Give a session for a blob of `size` bytes."""
    return UploadSession(
        DIGEST,
        size,
        subject=SUBJECT,
        limits=limits,
        rng=lambda: rng,
        checkpoint=checkpoint,
        mount_from=mount_from,
        expected=expected,
    )


# ------------------------------------------------------------------------------------------------------- replies


def at(number: int) -> str:
    """Give the Location of that number; each reply of a registry brings a new one."""
    return f"https://registry.example/v2/app/blobs/uploads/1?_state={number}"


def checkpoint(number: int, offset: int, *, chunk_size: int = 10, form: Form = Form.CHUNKED) -> Checkpoint:
    """Give the checkpoint of a session at the Location `number`."""
    return Checkpoint(at(number), offset, chunk_size, form)


def opened(number: int, *, chunk_min: int = 0, chunk_max: int = 0) -> Reply:
    """202: an upload session is open."""
    return Reply(202, location=at(number), range="0-0", chunk_min=chunk_min, chunk_max=chunk_max)


def took(number: int, got: int, status: int = 202) -> Reply:
    """202: a chunk was taken, `got` bytes are there in all."""
    return Reply(status, location=at(number), range=_range(got))


def stands(number: int, got: int) -> Reply:
    """204: `got` bytes are there."""
    return Reply(204, location=at(number), range=_range(got))


def _range(got: int) -> str:
    return f"0-{max(got - 1, 0)}"


def refused(status: int, *codes: str, retry_after: float | None = None) -> Reply:
    """An error reply."""
    return Reply(status, errors=tuple(ErrorEntry(code, "", "") for code in codes), retry_after=retry_after)


MISSING = Reply(404)
THERE = Reply(200)
CREATED = Reply(201, digest=str(DIGEST))
GONE = refused(404, "BLOB_UPLOAD_UNKNOWN")
DELETED = Reply(204)


def broken(code: Code = Code.REGISTRY_INTERRUPTED) -> Broken:
    """No reply: the connection failed."""
    return Broken(RegistryError(code, SUBJECT, "the connection failed"))


# ------------------------------------------------------------------------------------------------------ the player


@dataclass(frozen=True, slots=True)
class Waits:
    """A `Wait` for an error of this code, of this many seconds."""

    code: Code
    seconds: float | None = None

    def met(self, action: Action) -> bool:
        """Whether it is that."""
        return isinstance(action, Wait) and action.error.code is self.code and self.seconds in (None, action.seconds)


@dataclass(frozen=True, slots=True)
class Restarts:
    """A `Restart` in this form for an error of this code."""

    form: Form
    code: Code

    def met(self, action: Action) -> bool:
        """Whether it is that."""
        return isinstance(action, Restart) and action.form is self.form and action.error.code is self.code


@dataclass(frozen=True, slots=True)
class Fails:
    """A `Fail` with an error of this code."""

    code: Code

    def met(self, action: Action) -> bool:
        """Whether it is that."""
        return isinstance(action, Fail) and action.error.code is self.code


Expected = Action | Waits | Restarts | Fails
Step = tuple[Expected, "Outcome"] | Done | Fails


def play(session: UploadSession, *script: Step) -> UploadSession:
    """Hold the session to the script, step by step."""
    for number, step in enumerate(script, start=1):
        expected, outcome = step if isinstance(step, tuple) else (step, None)
        action = session.action
        met = expected.met(action) if isinstance(expected, Waits | Restarts | Fails) else action == expected
        assert met, f"step {number}: expected {expected}, the session wants {action}"
        if isinstance(step, tuple):
            session.feed(outcome)
    return session
