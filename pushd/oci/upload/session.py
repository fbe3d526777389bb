"""The state machine of one upload session.

`UploadSession.action` says what to do next; whoever does it feeds back what came of it:

- a `Reply` to a request, whatever its status, or `Broken` when none came;
- `None` when a `Save`, `Rehash`, `Wait` or `Restart` is done;
- `Cancelled` in place of any of these, to give up; what was under way may or may not have happened.

It ends with `Done` or `Fail`. The protocol is written as one generator, so that it reads in the order in which it
happens; its parts are `opening`, `sending` and `recovery`. The registry's Range is the truth about an offset, and every
new Location is saved before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.upload.actions import Cancelled, Done, Fail, Landing, Mount, Open, OpenIfAbsent, Rehash, Restart
from pushd.oci.upload.asking import present
from pushd.oci.upload.lost import Lost
from pushd.oci.upload.opening import open_session
from pushd.oci.upload.patience import Patience
from pushd.oci.upload.recovery import take_up
from pushd.oci.upload.sending import send
from pushd.oci.upload.standing import Standing
from pushd.oci.upload.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.errors import PushdError
    from pushd.oci.digest import Digest
    from pushd.oci.upload.actions import Action, Opening, Outcome, Script
    from pushd.oci.upload.limits import Checkpoint, Form, Limits


class _Abandoned(Exception):  # noqa: N818 (a signal inside the script, never an error anybody sees)
    """Cancelled was fed."""

    def __init__(self, error: PushdError) -> None:
        super().__init__()
        self.error = error


class UploadSession:
    """One blob on its way into one repository.

    Args:
        digest: of the blob.
        size: of the blob, bytes.
        subject: the blob and where it goes, for error messages.
        limits: how the registry wants it.
        rng: gives numbers in [0, 1); spreads retries.
        checkpoint: where an earlier life of the daemon left the session.
        mount_from: a repository of the same registry that is believed to hold the blob.
        expected: the blob is believed to be there: it is only asked for, to begin with; not even that, where the
            registry looks itself when the manifest comes.
        insist: send the blob without asking whether it is there: the registry said so before, and was wrong (HEAD
            may be right about a blob that the manifest PUT then calls unknown, seen after cancelled pushes).

    Attributes:
        resumed: bytes that were there when an earlier life's session was taken up.
    """

    def __init__(
        self,
        digest: Digest,
        size: int,
        *,
        subject: str,
        limits: Limits,
        rng: Callable[[], float],
        checkpoint: Checkpoint | None = None,
        mount_from: str | None = None,
        expected: bool = False,
        insist: bool = False,
    ) -> None:
        ladder = limits.ladder(size)
        self._standing = Standing(limits, ladder[0], checkpoint)
        self._upload = Upload(digest, size, subject, limits, ladder, Patience(limits, rng), self._standing)
        # Of a large one it is a request among many, and a registry that ignores mounts would be sent it all again.
        apart = insist or expected or checkpoint or mount_from
        joining = bool(limits.joins) and size <= limits.single_max and not apart
        # How the first session begins: taken up, or opened by that request.
        self._checkpoint = checkpoint
        self._opening: Opening = Open()
        if joining:
            self._opening = OpenIfAbsent(digest)
        elif mount_from is not None and limits.mounts:
            self._opening = Mount(digest, mount_from)
        self._believed = expected and not insist and limits.checks
        self._asked_for = not (insist or joining)
        self.resumed = 0
        self._script = self._run()
        self.action: Action = next(self._script)

    @property
    def form(self) -> Form:
        """How the bytes travel, or would."""
        return self._standing.form

    @property
    def offset(self) -> int:
        """Bytes the registry has acknowledged."""
        return self._standing.offset

    @property
    def interruptions(self) -> int:
        """How often a request that carried bytes or closed the session failed and was recovered."""
        return self._standing.interruptions

    def feed(self, outcome: Outcome) -> Action:
        """Tell what came of `action`, and get the next one.

        Raises:
            ValueError: the session has ended.
        """
        if isinstance(self.action, Done | Fail):
            raise ValueError(f"the session has ended with {self.action}")  # noqa: TRY004 (a state, not a type)
        if isinstance(outcome, Cancelled):
            self.action = self._script.throw(_Abandoned(outcome.error))
        else:
            self.action = self._script.send(outcome)
        return self.action

    # ------------------------------------------------------------------------------------------------ the script

    def _run(self) -> Script[None]:
        ending: Done | Fail
        try:
            landing = yield from self._land()
            ending = Done(landing)
        except _Abandoned as abandoned:
            ending = Fail(abandoned.error)
        except RegistryError as error:
            ending = Fail(error)
        # What may pass leaves the session for the next attempt to take up, if the disk knows of it; what is over leaves
        # nothing behind. A credential that is not taken any more may be brought anew, and deletes nothing either.
        over = isinstance(ending, Fail) and not (_passes(ending.error) and self._standing.saved)
        for _ in range(3 if over else 0):  # cancelled while it cleans up, it goes on from there: not for ever, though
            try:
                yield from self._standing.clean_up()
            except _Abandoned as abandoned:
                ending = Fail(abandoned.error)
        yield ending

    def _land(self) -> Script[Landing]:
        limits = self._upload.limits
        if self._believed:
            return Landing.PRESENT
        # Asked for first, always: after a restart it may have landed, and nothing is sent that is there already.
        if self._asked_for and (yield from present(self._upload)):
            yield from self._standing.clean_up()  # an earlier life's session, if there is one, is of no use any more
            return Landing.PRESENT
        if self._checkpoint is not None and not limits.resumable:
            yield from self._standing.clean_up()
            self._checkpoint = None
        while True:
            try:
                if self._checkpoint is not None:
                    yield from take_up(self._upload, self._checkpoint)
                    self.resumed = self.offset
                elif landing := (yield from open_session(self._upload, self._opening)):
                    return landing
                yield from send(self._upload)
            except Lost as lost:
                # Whoever goes on, we or the next attempt, has no use for it.
                yield from self._standing.clean_up()
                if self._standing.restarts >= limits.restarts + len(self._upload.ladder) - 1:
                    raise lost.error from None
                yield from self._start_over(lost)
            else:
                return Landing.UPLOADED

    def _start_over(self, lost: Lost) -> Script[None]:
        self._checkpoint, self._opening = None, Open()
        self._standing.start_over(lost.form)
        yield Restart(self.form, lost.error, lost.advice)
        yield Rehash(0)


def _passes(error: PushdError) -> bool:
    """Whether a later attempt may go on where this one ended."""
    return error.retryable or error.code is Code.REGISTRY_UNAUTHORIZED
