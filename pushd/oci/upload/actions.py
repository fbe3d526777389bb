"""What an upload session asks for, and what it is told: requests to the registry, actions at our end, inputs.

No `repr` shows a Location: its query is a secret.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING, TypeVar

from pushd.oci.reply import Reply

if TYPE_CHECKING:
    from pushd.errors import PushdError, RegistryError
    from pushd.oci.digest import Digest
    from pushd.oci.upload.limits import Checkpoint, Form

# ------------------------------------------------------------------------------ actions: requests to the registry


@dataclass(frozen=True, slots=True)
class Head:
    """HEAD the blob."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Open:
    """POST, to open an upload session."""


@dataclass(frozen=True, slots=True)
class OpenIfAbsent:
    """POST `mount=` and `from=` the very repository the blob goes to.

    201 says that the blob is there, 202 opens an upload session: what `Head` and `Open` ask for, in one request.
    """

    digest: Digest


@dataclass(frozen=True, slots=True)
class Mount:
    """POST `mount=` and `from=`, to link the blob from another repository, or else open an upload session."""

    digest: Digest
    source: str


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH bytes `start` to `stop` (exclusive), with Content-Range.

    Attributes:
        redirect: where the registry sent us with this very request, to be used as it is; so for all that carry bytes.
    """

    location: str = field(repr=False)
    start: int
    stop: int
    redirect: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """PATCH bytes `start` to `stop` (exclusive, the end of the blob), without Content-Range."""

    location: str = field(repr=False)
    start: int
    stop: int
    redirect: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Single:
    """PUT the whole blob of `stop` bytes."""

    location: str = field(repr=False)
    digest: Digest
    stop: int
    start: int = 0
    redirect: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Put:
    """PUT the last bytes, `start` to `stop` (exclusive), or nothing, to close the session under `digest`."""

    location: str = field(repr=False)
    digest: Digest
    start: int = 0
    stop: int = 0
    redirect: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Status:
    """GET the session, to learn how much of it has arrived."""

    location: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """DELETE the session. Whatever the answer, it is abandoned."""

    location: str = field(repr=False)


Send = Patch | Stream | Single | Put
"""The requests that carry bytes of the blob; a `Put` may carry none."""
Opening = Open | OpenIfAbsent | Mount
"""The requests that may open a session."""
Request = Head | Opening | Send | Status | Cancel


# ------------------------------------------------------------------------------------------ actions: at our end


@dataclass(frozen=True, slots=True)
class Save:
    """Make the checkpoint durable, or forget it (None), before anything else is sent."""

    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Rehash:
    """Bring the running hash to exactly the first `offset` bytes: that is where the upload goes on."""

    offset: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds, because of `error`, after which the registry is asked where the session stands."""

    seconds: float
    error: RegistryError


@dataclass(frozen=True, slots=True)
class Restart:
    """The session is given up and the blob starts over, in `form`.

    Attributes:
        advice: the line of the registry's configuration that would avoid it, when one is known.
    """

    form: Form
    error: RegistryError
    advice: str = ""


@unique
class Landing(StrEnum):
    """How a blob came to be in the repository."""

    UPLOADED = "uploaded"
    MOUNTED = "mounted"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Done:
    """The repository holds the blob."""

    landing: Landing


@dataclass(frozen=True, slots=True)
class Fail:
    """The blob could not be brought there."""

    error: PushdError


Action = Request | Save | Rehash | Wait | Restart | Done | Fail


# ------------------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True)
class Broken:
    """No reply came: the connection failed or stalled."""

    error: RegistryError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stop here and end with this error. Unless that may pass, the session is deleted at the registry and forgotten."""

    error: PushdError


Answer = Reply | Broken
"""What comes of a request."""
Outcome = Answer | Cancelled | None

Result = TypeVar("Result")
Script = Generator[Action, Outcome, Result]
"""A part of what happens, in its order: gives actions, is told what came of each, and comes to a result."""
