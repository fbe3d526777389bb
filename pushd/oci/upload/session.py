"""The state machine of one upload session.

`UploadSession.action` says what to do next; whoever does it feeds back what came of it:

- a `Reply` to a request, whatever its status, or `Broken` when none came;
- `None` when a `Save`, `Rehash`, `Wait` or `Restart` is done;
- `Cancelled` in place of any of these, to give up; what was under way may or may not have happened.

It ends with `Done` or `Fail`. The protocol is written as one generator, so that it reads in the order in which it
happens; the registry's Range is the truth about an offset, and every new Location is saved before it is used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.ranges import received
from pushd.oci.reply import Reply
from pushd.oci.upload.actions import (
    Broken,
    Cancel,
    Cancelled,
    Done,
    Fail,
    Head,
    Landing,
    Mount,
    Open,
    OpenIfAbsent,
    Patch,
    Put,
    Rehash,
    Restart,
    Save,
    Single,
    Status,
    Stream,
    Wait,
)
from pushd.oci.upload.limits import Checkpoint, Form, Ranges
from pushd.oci.upload.meaning import (
    CREATED,
    STANDS,
    TAKEN,
    acknowledged,
    advised,
    forgotten,
    form_refused,
    mismatched,
    redirected,
    refused,
)
from pushd.oci.upload.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pushd.errors import PushdError
    from pushd.oci.digest import Digest
    from pushd.oci.upload.actions import (
        Action,
        Opening,
        Outcome,
        Request,
    )
    from pushd.oci.upload.limits import Limits


_REDIRECTS_MAX = 3
"""Times a body is sent again because the registry points elsewhere."""


class _Abandoned(Exception):  # noqa: N818 (a signal inside the generator, never an error anybody sees)
    """Cancelled was fed."""

    def __init__(self, error: PushdError) -> None:
        super().__init__()
        self.error = error


class _Lost(Exception):  # noqa: N818 (likewise)
    """The session cannot go on; the blob may start over, in another form if one is named."""

    def __init__(self, error: RegistryError, form: Form | None = None, advice: str = "") -> None:
        super().__init__()
        self.error = error
        self.form = form
        self.advice = advice


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
        form: how the bytes travel, or would.
        offset: bytes the registry has acknowledged.
        resumed: bytes that were there when an earlier life's session was taken up.
        interruptions: how often a request that carried bytes or closed the session failed and was recovered.
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
        self._digest = digest
        self._size = size
        self._subject = subject
        self._limits = limits
        self._checkpoint = checkpoint
        self._mount_from = mount_from if limits.mounts else None
        self._insist = insist
        # Of a large one it is a request among many, and a registry that ignores mounts would be sent it all again.
        self._expected = expected and not insist
        apart = insist or expected or checkpoint or mount_from
        self._joining = bool(limits.joins) and size <= limits.single_max and not apart
        self._ladder = limits.ladder(size)
        self._location = checkpoint.location if checkpoint is not None else ""
        self._saved = checkpoint is not None
        self._chunk_size = limits.chunk_size
        self._untouched = False  # whether the session was opened by us and no byte was sent to it yet
        self._reached = 0  # the most bytes the session was ever said to have
        self._restarts = 0
        self._patience = Patience(limits, rng)
        self.form = self._ladder[0]
        self.offset = 0
        self.resumed = 0
        self.interruptions = 0
        self._script = self._run()
        self.action: Action = next(self._script)

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

    def _run(self) -> Generator[Action, Outcome, None]:
        ending: Done | Fail
        try:
            landing = yield from self._upload()
            ending = Done(landing)
        except _Abandoned as abandoned:
            ending = Fail(abandoned.error)
        except RegistryError as error:
            ending = Fail(error)
        # What may pass leaves the session for the next attempt to take up, if the disk knows of it; what is over leaves
        # nothing behind. A credential that is not taken any more may be brought anew, and deletes nothing either.
        over = isinstance(ending, Fail) and not (_passes(ending.error) and self._saved)
        for _ in range(3 if over else 0):  # cancelled while it cleans up, it goes on from there: not for ever, though
            try:
                yield from self._clean_up()
            except _Abandoned as abandoned:
                ending = Fail(abandoned.error)
        yield ending

    def _upload(self) -> Generator[Action, Outcome, Landing]:
        if self._expected and self._limits.checks:
            return Landing.PRESENT
        # Asked for first, always: after a restart it may have landed, and nothing is sent that is there already.
        if not (self._insist or self._joining) and (yield from self._present()):
            yield from self._clean_up()  # an earlier life's session, if there is one, is of no use any more
            return Landing.PRESENT
        if self._checkpoint is not None and not self._limits.resumable:
            yield from self._clean_up()
            self._checkpoint = None
        while True:
            try:
                if self._checkpoint is not None:
                    yield from self._take_up(self._checkpoint)
                elif landing := (yield from self._open()):
                    return landing
                yield from self._send()
            except _Lost as lost:
                # Whoever goes on, we or the next attempt, has no use for it.
                yield from self._clean_up()
                self._restarts += 1
                if self._restarts > self._limits.restarts + len(self._ladder) - 1:
                    raise lost.error from None
                yield from self._start_over(lost)
            else:
                return Landing.UPLOADED

    def _start_over(self, lost: _Lost) -> Generator[Action, Outcome, None]:
        self.form = lost.form or self.form
        self._checkpoint = None
        self._mount_from = None
        self.offset = 0
        yield Restart(self.form, lost.error, lost.advice)
        yield Rehash(0)

    def _clean_up(self) -> Generator[Action, Outcome, None]:
        """Leave no session behind. The answer is not looked at: whatever it is, the session is abandoned."""
        # A step is over when it was answered: cut short, it may not have happened.
        if self._location:
            yield Cancel(self._location)
            self._location = ""
        if self._saved:
            yield Save(None)
            self._saved = False

    # ---------------------------------------------------------------------------------------- beginning a session

    def _present(self) -> Generator[Action, Outcome, bool]:
        while True:
            outcome = yield from self._ask(Head(self._digest))
            if isinstance(outcome, Reply):
                if outcome.status == 200:  # noqa: PLR2004 (spec end-2: the blob exists)
                    # A length that is not the blob's is a web page, or a damaged blob: send ours.
                    return outcome.length in (None, self._size)
                if outcome.status in self._limits.absent:  # spec end-2: 404
                    return False
            yield from self._pause(self._failed(outcome, "whether it has the blob"))

    def _open(self) -> Generator[Action, Outcome, Landing | None]:
        """Open a session (spec end-4a), through a mount (end-11) when one is likely; or give how it landed by that."""
        while True:
            request = self._opening()
            mounting = not isinstance(request, Open)
            outcome = yield from self._ask(request)
            if isinstance(outcome, Reply):
                if mounting and outcome.status == 201:  # noqa: PLR2004 (spec: 201, the blob is mounted)
                    return Landing.PRESENT if self._joining else Landing.MOUNTED
                if outcome.status == 202 and outcome.location:  # noqa: PLR2004 (spec: 202, a session is open)
                    self._joining = False
                    yield from self._opened(outcome)
                    return None
                # A mount is only a hope. Docker Hub and others answer a `from` they do not like with 400, 401, 403,
                # 404 or 405, and some fail inside: whatever it is, it says nothing about an upload.
                if mounting and (outcome.status == 500 or not outcome.transient):  # noqa: PLR2004
                    if self._joining and (yield from self._present()):
                        return Landing.PRESENT
                    self._mount_from, self._joining = None, False
                    continue
            yield from self._pause(self._failed(outcome, "to open an upload"))

    def _opening(self) -> Opening:
        if self._joining:
            return OpenIfAbsent(self._digest)
        return Open() if self._mount_from is None else Mount(self._digest, self._mount_from)

    def _opened(self, reply: Reply) -> Generator[Action, Outcome, None]:
        self._location = reply.location or ""
        self._chunk_size = self._limits.chunk(reply.chunk_min, reply.chunk_max)
        self._untouched = True
        self._reached = 0
        yield from self._save()

    def _take_up(self, checkpoint: Checkpoint) -> Generator[Action, Outcome, None]:
        """Go on with the session of an earlier life."""
        self._chunk_size = checkpoint.chunk_size
        self.form = checkpoint.form
        self.offset = checkpoint.offset
        yield from self._locate()
        self.resumed = self.offset

    # --------------------------------------------------------------------------------------------- sending bytes

    def _send(self) -> Generator[Action, Outcome, None]:
        if self.form is Form.MONOLITHIC:
            yield from self._send_whole()
            return
        while True:
            while self._size - self.offset > self._kept():
                yield from self._send_chunk()
            if (yield from self._close()):
                return

    def _kept(self) -> int:
        """Give the bytes at the end of the blob that the PUT is to carry, at most."""
        return self._chunk_size if self._limits.last_in_put and self.form is Form.CHUNKED else 0

    def _send_chunk(self) -> Generator[Action, Outcome, None]:
        start, first, self._untouched = self.offset, self._untouched, False
        if self.form is Form.STREAMED:
            stop = self._size
            outcome = yield from self._ask(Stream(self._location, start, stop))
        else:
            stop = min(start + self._chunk_size, self._size)
            outcome = yield from self._ask(Patch(self._location, start, stop))
        if isinstance(outcome, Reply):
            if outcome.status in TAKEN:
                yield from self._acknowledge(outcome, start, stop, first=first)
                return
            if start == 0 and form_refused(outcome, first=first):
                self._fall(outcome, stop)
            if outcome.status == 416:  # noqa: PLR2004 (spec: out of order)
                yield from self._disagree(outcome)
                return
            if outcome.status == 404 or forgotten(outcome):  # noqa: PLR2004 (spec: the session is unknown)
                raise self._gone(outcome, "to take a chunk")
        # A 401 says that the token ended while the body travelled; the next request brings a fresh one, or the final
        # word.
        yield from self._recover(self._failed(outcome, "to take a chunk", also=frozenset({401})))

    def _acknowledge(self, reply: Reply, start: int, stop: int, *, first: bool) -> Generator[Action, Outcome, None]:
        """Believe what the registry says it has (spec: "Range", over the whole blob)."""
        got = acknowledged(reply.range, start, stop, self._limits.ranges)
        self._location = reply.location or self._location
        if got > stop:
            error = self._nonsense(f"the registry claims {got} bytes where {stop} were sent")
            # Of the first bytes ever sent this is a miscount, which another form may not meet.
            raise self._miscounted(error) if first else _Lost(error)
        self._stand(got)
        yield from self._save()
        if got <= start:
            error = self._nonsense(f"the registry took a chunk and still has {got} bytes")
            yield from self._recover(error, in_vain=self._miscounted(error))
        elif got < stop:
            yield Rehash(got)

    def _disagree(self, reply: Reply) -> Generator[Action, Outcome, None]:
        """After a 416: the registry does not have what we think it has."""
        if reply.location is not None:
            self._location = reply.location
            yield from self._save()
        error = self._refused(reply, "to take a chunk")
        # The first time it is about the session; in the next one it is about the form.
        in_vain = self._miscounted(error) if self._restarts else _Lost(error)
        yield from self._recover(error, in_vain=in_vain)

    def _send_whole(self) -> Generator[Action, Outcome, None]:
        outcome = yield from self._ask(Single(self._location, self._digest, self._size))
        if isinstance(outcome, Reply):
            if outcome.status in CREATED:
                self._finish(outcome)
                return
            if form_refused(outcome, first=True) and not mismatched(outcome):
                self._fall(outcome, self._size)
        yield from self._doubt(outcome, "to take the blob")

    def _close(self) -> Generator[Action, Outcome, bool]:
        """PUT the digest, with what is left; False: the registry misses bytes, which are now to be sent."""
        start, first = self.offset, self._untouched
        if start == self._size:
            outcome = yield from self._ask(Put(self._location, self._digest))
        else:
            self._untouched = False
            outcome = yield from self._ask(Put(self._location, self._digest, start, self._size))
        if isinstance(outcome, Reply):
            if outcome.status in CREATED:
                self._finish(outcome)
                return True
            carried = start < self._size
            if carried and start == 0 and form_refused(outcome, first=first) and not mismatched(outcome):
                self._fall(outcome, self._size)
        return (yield from self._doubt(outcome, "to close the upload"))

    def _doubt(self, outcome: Reply | Broken, asked: str) -> Generator[Action, Outcome, bool]:
        """After a PUT without a good answer: it may have been done all the same, so the blob is asked for."""
        if isinstance(outcome, Reply) and mismatched(outcome):
            # Our bytes were right, so they were damaged on the way or there. distribution keeps the session (run).
            raise _Lost(self._refused(outcome, asked))
        also = {401, 404, 416}
        if isinstance(outcome, Reply) and forgotten(outcome):  # Nexus, of a digest on its way twice: 400
            also.add(outcome.status)
        error = self._failed(outcome, asked, also=frozenset(also))
        if isinstance(outcome, Reply) and outcome.status in (404, 416) and self._patience.exhausted:
            # A later attempt with this session would be in vain as well.
            self._patience.renew()
            raise self._gone(outcome, asked) if outcome.status == 404 else _Lost(error)  # noqa: PLR2004
        yield from self._pause(error)
        self.interruptions += 1
        if (yield from self._present()):
            return True
        if self.form is Form.MONOLITHIC or not self._limits.resumable:
            # A PUT has no offset to go on from: distribution appends whatever follows.
            raise _Lost(error)
        yield from self._locate()
        return False

    def _finish(self, reply: Reply) -> None:
        """Check what a closing PUT was answered with (spec end-6: 201)."""
        self._location = ""
        if reply.digest is not None and reply.digest != str(self._digest):
            raise RegistryError(
                Code.REGISTRY_DIGEST_MISMATCH, self._subject, f"the registry stored it under {reply.digest[:140]!r}"
            )

    # ------------------------------------------------------------------------------------------------ recovering

    def _recover(self, error: RegistryError, *, in_vain: _Lost | None = None) -> Generator[Action, Outcome, None]:
        """Wait, and ask where the upload stands.

        What cannot be waited out here is in vain in a later attempt as well: it loses the session, not the attempt. So
        does a disagreement with a registry that cannot say what it has.
        """
        self.interruptions += 1
        mute = not self._limits.resumable or self._limits.ranges is not Ranges.OF_BLOB
        if in_vain is not None and (mute or self._patience.exhausted):
            self._patience.renew()
            raise in_vain
        yield from self._pause(error)
        if not self._limits.resumable:
            raise _Lost(error)
        yield from self._locate()

    def _locate(self) -> Generator[Action, Outcome, None]:
        """Ask how much has arrived (spec end-13) and be there: offset, Location on disk, hash.

        Straight after a broken PATCH the answer may be too short, while the old request is still being drained
        (distribution 3.x). The next PATCH then gets 416, which leads back here after a pause, a bounded number of
        times.
        """
        while True:
            outcome = yield from self._ask(Status(self._location))
            if isinstance(outcome, Reply):
                if outcome.status in STANDS:
                    break
                if outcome.status in (400, 404, 416):
                    raise self._gone(outcome, "where the upload stands")
            yield from self._pause(self._failed(outcome, "where the upload stands"))
        got = received(outcome.range) if self._limits.ranges is Ranges.OF_BLOB else self.offset
        self._location = outcome.location or self._location
        if got is None or got > self._size:
            raise _Lost(self._nonsense(f"the registry says Range: {str(outcome.range)[:80]!r} of {self._size} bytes"))
        self._stand(got)
        yield from self._save()
        yield Rehash(got)

    def _stand(self, got: int) -> None:
        """The registry has `got` bytes. Only what no reply told of before is progress: Range may also go back."""
        self.offset = got
        if got > self._reached:
            self._reached = got
            self._patience.renew()

    def _fall(self, reply: Reply, length: int) -> None:
        """Offer the next form of the ladder, if there is one, after a body of `length` bytes was refused."""
        following = self._next_form()
        if following is not None:
            error = self._refused(reply, f"to take the blob {self.form}")
            raise _falling(error, following, advised(self.form, following, reply, length))

    def _miscounted(self, error: RegistryError) -> _Lost:
        """Offer the next form after a registry's account of the bytes made no sense."""
        following = self._next_form()
        return _Lost(error) if following is None else _falling(error, following, f'upload = "{following}"')

    def _next_form(self) -> Form | None:
        following = self._ladder[self._ladder.index(self.form) + 1 :] if self.form in self._ladder else ()
        return following[0] if following else None

    def _pause(self, error: RegistryError) -> Generator[Action, Outcome, None]:
        """Wait before a retry, or give up with `error`."""
        yield Wait(self._patience.spend(error), error)

    # ---------------------------------------------------------------------------------------------- small pieces

    def _ask(self, request: Request) -> Generator[Action, Outcome, Reply | Broken]:
        outcome = yield from self._ask_once(request)
        for _ in range(_REDIRECTS_MAX):
            elsewhere = redirected(request, outcome)
            if elsewhere is None or not isinstance(request, Patch | Stream | Single | Put):
                break
            # Its bytes go elsewhere this once: the session stays where it is, and so does its Location.
            yield Rehash(request.start)
            request = replace(request, redirect=elsewhere)
            outcome = yield from self._ask_once(request)
        return outcome

    def _ask_once(self, request: Request) -> Generator[Action, Outcome, Reply | Broken]:
        outcome = yield request
        if not isinstance(outcome, Reply | Broken):
            raise TypeError(f"{type(request).__name__} wants a reply")
        return outcome

    def _save(self) -> Generator[Action, Outcome, None]:
        """Checkpoint what can be gone on with: a monolithic PUT cannot."""
        if self.form is not Form.MONOLITHIC and self._limits.resumable:
            self._saved = True
            yield Save(Checkpoint(self._location, self.offset, self._chunk_size, self.form))

    def _gone(self, reply: Reply, asked: str) -> _Lost:
        """The registry does not know the session any more: there is nothing to delete."""
        error = self._refused(reply, asked)
        self._location = ""
        return _Lost(error)

    def _refused(self, reply: Reply, asked: str) -> RegistryError:
        return refused(reply, self._subject, asked, in_session=bool(self._location))

    def _failed(self, outcome: Reply | Broken, asked: str, *, also: frozenset[int] = frozenset()) -> RegistryError:
        """Give the error of a failed request, if it may pass: transient, or a status in `also`. Else raise it."""
        error = outcome.error if isinstance(outcome, Broken) else self._refused(outcome, asked)
        passes = error.retryable if isinstance(outcome, Broken) else outcome.transient or outcome.status in also
        if not passes:
            raise error
        return error

    def _nonsense(self, detail: str) -> RegistryError:
        return RegistryError(Code.REGISTRY_UPLOAD_LOST, self._subject, detail)


def _passes(error: PushdError) -> bool:
    """Whether a later attempt may go on where this one ended."""
    return error.retryable or error.code is Code.REGISTRY_UNAUTHORIZED


def _falling(error: RegistryError, form: Form, advice: str) -> _Lost:
    """Start over in another form, with the setting that would have avoided it for the next step."""
    hint = f"`{advice}` for this registry avoids it"
    told = RegistryError(error.code, error.subject, error.detail, hint=hint, retry_after=error.retry_after)
    return _Lost(told, form, advice)
