"""Where an upload stands, at the registry and on our disk: all that changes while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.upload.actions import Cancel, Save
from pushd.oci.upload.limits import Checkpoint, Form

if TYPE_CHECKING:
    from pushd.oci.reply import Reply
    from pushd.oci.upload.actions import Script
    from pushd.oci.upload.limits import Limits


class Standing:
    """Where an upload stands, as far as is known here. Anybody reads it; its own methods alone change it.

    Args:
        limits: how the registry wants it.
        form: is tried first.
        checkpoint: where an earlier life of the daemon left the session.

    Attributes:
        form: how the bytes travel, or would.
        location: the newest Location of the session, the only one to be used; empty when there is no session.
        chunk_size: bytes per PATCH, constant within a session.
        offset: bytes the registry has acknowledged.
        untouched: whether the session was opened by us and no byte was sent to it yet.
        saved: whether the disk knows of a session.
        restarts: how often the blob began again from the first byte.
        interruptions: how often a request that carried bytes or closed the session failed and was recovered.
    """

    __slots__ = (
        "_limits",
        "_reached",
        "chunk_size",
        "form",
        "interruptions",
        "location",
        "offset",
        "restarts",
        "saved",
        "untouched",
    )

    def __init__(self, limits: Limits, form: Form, checkpoint: Checkpoint | None) -> None:
        self._limits = limits
        self._reached = 0  # the most bytes the session was ever said to have
        self.form = form
        self.location = checkpoint.location if checkpoint is not None else ""
        self.chunk_size = limits.chunk_size
        self.offset = 0
        self.untouched = False
        self.saved = checkpoint is not None
        self.restarts = 0
        self.interruptions = 0

    # ------------------------------------------------------------------------------- what the registry tells of it

    def opened(self, reply: Reply) -> None:
        """A session was opened by this reply."""
        self.location = reply.location or ""
        self.chunk_size = self._limits.chunk(reply.chunk_min, reply.chunk_max)
        self.untouched = True
        self._reached = 0

    def moved(self, location: str | None) -> None:
        """The session has another Location now, if a reply brought one."""
        self.location = location or self.location

    def reached(self, got: int) -> bool:
        """The registry has `got` bytes; give whether that is progress.

        Only what no reply told of before is: Range may also go back.
        """
        self.offset = got
        further = got > self._reached
        if further:
            self._reached = got
        return further

    def ended(self) -> None:
        """The registry has no such session any more: there is nothing to delete."""
        self.location = ""

    # -------------------------------------------------------------------------------------------- what is done here

    def taken_up(self, checkpoint: Checkpoint) -> None:
        """Go on with the session of an earlier life."""
        self.chunk_size = checkpoint.chunk_size
        self.form = checkpoint.form
        self.offset = checkpoint.offset

    def interrupted(self) -> None:
        """A request that carried bytes or closed the session failed, and is recovered."""
        self.interruptions += 1

    def touch(self) -> bool:
        """Bytes are sent to the session now; give whether they are its first."""
        first, self.untouched = self.untouched, False
        return first

    def start_over(self, form: Form | None) -> None:
        """Begin again from the first byte, in another form if one is named."""
        self.form = form or self.form
        self.offset = 0
        self.restarts += 1

    def save(self) -> Script[None]:
        """Checkpoint what can be gone on with: a monolithic PUT cannot."""
        if self.form is not Form.MONOLITHIC and self._limits.resumable:
            self.saved = True
            yield Save(Checkpoint(self.location, self.offset, self.chunk_size, self.form))

    def clean_up(self) -> Script[None]:
        """Leave no session behind. The answer is not looked at: whatever it is, the session is abandoned."""
        # A step is over when it was answered: cut short, it may not have happened.
        if self.location:
            yield Cancel(self.location)
            self.location = ""
        if self.saved:
            yield Save(None)
            self.saved = False
