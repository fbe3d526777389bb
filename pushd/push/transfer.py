"""One blob to one repository: does what the upload session asks for, and feeds back what came of it.

Decides nothing. What happens next is `oci.upload`'s to say; how much runs at once is `places`'.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, Origin, PushdError, RegistryError, RequestError, SourceError
from pushd.job import TransferState
from pushd.oci.upload import (
    Broken,
    Cancel,
    Cancelled,
    Checkpoint,
    Done,
    Fail,
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
    Stream,
    UploadSession,
    Wait,
)
from pushd.push.bandwidth import Paced
from pushd.push.content import Content
from pushd.push.held import HeldBody
from pushd.push.run import DrainedError
from pushd.telemetry.events import (
    REGISTRY_SLOW,
    TRANSFER_STARTED,
    UPLOAD_CHUNK,
    UPLOAD_COMMITTED,
    UPLOAD_INTERRUPTED,
    UPLOAD_RESTARTED,
    Event,
)
from pushd.telemetry.trace import trace_id
from pushd.work import TransferResult

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.upload import Action, Opening, Outcome, Request, Send
    from pushd.push.ports.registry import Body
    from pushd.push.progress import Progress
    from pushd.push.run import Means, Run
    from pushd.telemetry.events import Kind, Value
    from pushd.work import TransferKey

_CLEAN_UP = 10.0
"""Seconds a cancelled transfer may take to delete its session at the registry."""

_SLOW = 60.0
"""Seconds a registry may take to store a blob it has whole, before that is worth a warning."""

_LAST_WORD = 3.0
"""Seconds a cancelled transfer waits for the Location of a session it has just asked for."""

_NOT_LET_IN = frozenset({Code.REGISTRY_UNAUTHORIZED, Code.SOURCE_UNAUTHORIZED, Code.SOURCE_DENIED})

_STATES = {
    Landing.UPLOADED: TransferState.UPLOADED,
    Landing.MOUNTED: TransferState.MOUNTED,
    Landing.PRESENT: TransferState.PRESENT,
}


class Transfer:
    """An upload session being driven.

    Args:
        means: what all transfers share.
        run: the delivery it is for.
        blob: what to bring.
        key: what the store keeps its checkpoint under.
        progress: its entry on the board.
        piece_size: bytes of a large blob that are read, hashed and sent at once.
    """

    def __init__(
        self, means: Means, run: Run, blob: Descriptor, key: TransferKey, progress: Progress, *, piece_size: int
    ) -> None:
        self._means = means
        self._run = run
        self._blob = blob
        self._key = key
        self._progress = progress
        self._subject = f"{blob.digest} to {run.claim.destination}"
        self._content = Content(means, run.source, blob, piece_size=piece_size)
        self._started = self._moved = 0.0
        self._session: UploadSession

    async def drive(self, known: Checkpoint | str | None, *, insist: bool) -> TransferResult:
        """Drive the session to its end.

        Args:
            known: what is known of the blob, as `JobStore.plan` gives it.
            insist: send it whatever the registry says it has.

        Raises:
            DrainedError: the daemon is to stop, or the delivery to be paused, and the blob did not land.
            SourceError, RegistryError, StoreError: as `bring` says.
        """
        self._started = self._progress.started = anyio.current_time()
        checkpoint = known if isinstance(known, Checkpoint) else None
        seen_in = known if isinstance(known, str) and not insist else None
        self._session = session = UploadSession(
            self._blob.digest,
            self._blob.size,
            subject=self._subject,
            limits=self._run.registry.limits,
            rng=self._means.rng,
            checkpoint=checkpoint,
            mount_from=seen_in if seen_in != self._run.repository else None,
            expected=seen_in == self._run.repository,
            insist=insist,
        )
        self._tell(TRANSFER_STARTED, size=self._blob.size, resumed=checkpoint is not None)
        try:
            landing = await self._until_done(session)
        except anyio.get_cancelled_exc_class():
            if self._run.stop.abandoned:
                await self._give_up(session)
            raise
        except PushdError as error:
            if not _passes(error) and error.origin is not Origin.STORE:
                self._run.stop.abandoned = True
            self._advance(state=TransferState.FAILED)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._content.close()
        self._advance(state=_STATES[landing], done=self._blob.size)
        if landing is Landing.UPLOADED:
            await self._content.remember()
        return self.result(_STATES[landing])

    def result(self, state: TransferState) -> TransferResult:
        """Say what it came to, or has so far."""
        return TransferResult(
            state=state,
            sent=self._progress.sent,
            resumed=self._session.resumed,
            interruptions=self._session.interruptions,
            form=str(self._session.form) if self._progress.sent else "",
            seconds=anyio.current_time() - self._started,
        )

    async def _until_done(self, session: UploadSession) -> Landing:
        while True:
            match session.action:
                case Done(landing):
                    return landing
                case Fail(error):
                    raise error
                case Save() | Put(start=0, stop=0) | Cancel() as action:
                    session.feed(await self._outcome(action))
                case _ if self._run.stop.draining:
                    # A boundary: the newest Location is saved, and what is left is more than a word.
                    raise DrainedError
                case action:
                    session.feed(await self._outcome(action))

    async def _give_up(self, session: UploadSession) -> None:
        """Let the session clean up at the registry, for a while."""
        if isinstance(session.action, Done | Fail):
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLEAN_UP):
            reason = RequestError(Code.REQUEST_CANCELLED, self._run.claim.destination, "the upload was cut short")
            session.feed(Cancelled(reason))
            while not isinstance(session.action, Done | Fail):
                session.feed(await self._outcome(session.action))

    # ------------------------------------------------------------------------------------------- doing one thing

    async def _outcome(self, action: Action) -> Outcome:
        """Do what is asked. A source that fails for good ends the session through its own clean-up.

        One that may give the rest later does not, nor does a store that fails: where the session stands may be
        somebody else's by now, or ours again soon.
        """
        try:
            return await self._do(action)
        except SourceError as error:
            if _passes(error):
                raise
            return Cancelled(error)

    async def _do(self, action: Action) -> Outcome:
        match action:
            case Save(checkpoint):
                await self._means.store.checkpoint(self._run.claim, self._key, checkpoint)
            case Rehash(offset):
                await self._content.rehash(offset)
                self._advance(state=TransferState.RUNNING, done=offset)
            case Wait(seconds, error):
                self._tell(
                    UPLOAD_INTERRUPTED,
                    code=str(error.code),
                    reason=self._reason(error),
                    offset=self._session.offset,
                )
                await anyio.sleep(seconds)
            case Restart(form, error, advice):
                self._tell(
                    UPLOAD_RESTARTED,
                    reason=self._reason(error),
                    form=str(form),
                    offset=self._session.offset,
                    advice=advice or None,
                )
            case Put(start=0, stop=0):
                # Every byte has been through the hash, whatever was sent in which life: the last word before
                # the registry is told that it is complete.
                (await self._content.open()).check()
                return await self._ask(action)
            case Patch() | Stream() | Single() | Put():
                return await self._send(action)
            case Open() | OpenIfAbsent() | Mount():
                return await self._ask_to_open(action)
            case Done() | Fail():
                raise AssertionError(action)
            case _:
                return await self._ask(action)
        return None

    async def _ask(self, request: Request, body: Body | bytes | None = None) -> Outcome:
        self._moved = anyio.current_time()
        try:
            reply = await self._run.registry.perform(self._run.repository, request, body)
        except RegistryError as error:
            return Broken(error)
        if isinstance(request, Put | Single) and reply.status == HTTPStatus.CREATED:
            seconds = round(anyio.current_time() - self._moved, 3)
            self._tell(UPLOAD_COMMITTED, seconds=seconds)
            if seconds > _SLOW:
                self._tell(REGISTRY_SLOW, size=self._blob.size, seconds=seconds)
        return reply

    async def _ask_to_open(self, request: Opening) -> Outcome:
        """Ask for an upload session. Cancelled meanwhile, wait a moment for its Location: nobody else could end it."""
        asking = asyncio.ensure_future(self._ask(request))
        try:
            return await asyncio.shield(asking)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(_LAST_WORD):
                    self._session.feed(await asyncio.shield(asking))
                asking.cancel()
                await asyncio.wait([asking])
            raise

    async def _send(self, request: Send) -> Outcome:
        started = anyio.current_time()
        tape = await self._content.open()
        if request.start == self._blob.size:
            tape.check()  # an empty blob has no last piece to withhold
        self._advance(state=TransferState.RUNNING, done=request.start)
        outcome = await self._ask(request, self._paced(tape.body(request.start, request.stop)))
        self._tell(
            UPLOAD_CHUNK, start=request.start, stop=request.stop, seconds=round(anyio.current_time() - started, 3)
        )
        return outcome

    def _paced(self, body: Body) -> Body | bytes:
        bandwidth, registry = self._means.bandwidth, self._run.registry.name
        if isinstance(body, HeldBody) and not bandwidth.limits(registry):
            self._sent(body.length)
            return body.content
        return Paced(body, bandwidth, registry, sent=self._sent)

    # ---------------------------------------------------------------------------------------------- small pieces

    def _sent(self, length: int) -> None:
        self._moved = anyio.current_time()
        self._means.board.count(self._progress, length, self._moved)

    def _advance(self, *, state: TransferState, done: int | None = None) -> None:
        self._progress.state = state
        if done is not None:
            self._progress.done = done
        self._means.board.touch(self._progress)

    def _reason(self, error: PushdError) -> str:
        """Say what went wrong, for sentences that begin with the blob and its destination."""
        return str(error).removeprefix(f"{self._subject}: ")

    def _tell(self, kind: Kind, **fields: Value) -> None:
        claim = self._run.claim
        about = {"digest": str(self._blob.digest), "destination": claim.destination, "registry": claim.registry}
        facts = {**about, **fields}
        trace = trace_id(claim.traceparent)
        self._means.emit(Event(kind, datetime.now(UTC), claim.job_id, claim.delivery_id, facts, trace=trace))


def _passes(error: PushdError) -> bool:
    """Whether the upload may go on where it stands: some time later, or with another credential."""
    return error.retryable or error.code in _NOT_LET_IN
