"""One blob to one repository: does what the upload session asks for, and feeds back what came of it.

Decides nothing. What happens next is `oci.upload`'s to say; how much runs at once is `places`'.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, Origin, PushdError, RegistryError, RequestError, SourceError, StoreError
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
from pushd.push.held import Held, HeldBody
from pushd.push.places import SMALL_MAX
from pushd.push.run import DrainedError
from pushd.push.tape import Tape
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
from pushd.work import TransferKey, TransferResult

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.upload import Action, Opening, Outcome, Request, Send
    from pushd.push.landings import Landings
    from pushd.push.ports.registry import Body
    from pushd.push.ports.source import BlobReader
    from pushd.push.progress import Progress
    from pushd.push.run import Means, Run
    from pushd.telemetry.events import Kind, Value
    from pushd.work import FileIdentity

_CLEAN_UP = 10.0
"""Seconds a cancelled transfer may take to delete its session at the registry."""

_SLOW = 60.0
"""Seconds a registry may take to store a blob it has whole, before that is worth a warning."""

_LAST_WORD = 3.0
"""Seconds a cancelled transfer waits for the Location of a session it has just asked for."""

_STATES = {
    Landing.UPLOADED: TransferState.UPLOADED,
    Landing.MOUNTED: TransferState.MOUNTED,
    Landing.PRESENT: TransferState.PRESENT,
}


async def bring(
    means: Means, run: Run, blob: Descriptor, progress: Progress, landings: Landings, *, insist: bool = False
) -> TransferState | None:
    """Bring one blob to the run's repository, and write down what it came to.

    Args:
        means: what all transfers share.
        run: the delivery it is for.
        blob: what to bring.
        progress: its entry on the board.
        landings: write down what small ones came to.
        insist: send it whatever the registry says it has: it was wrong about that before.

    Returns:
        How it landed, or None when the daemon is to stop and it did not.

    Raises:
        SourceError: the blob is not what it should be; nothing of it was committed.
        RegistryError: it could not be brought there.
        StoreError: where it stands could not be written down.
    """
    key = TransferKey(
        registry=run.registry.name,
        repository=run.repository,
        digest=blob.digest,
        credential=run.registry.credential,
        uid=run.claim.uid,
    )
    small = blob.size <= SMALL_MAX
    async with means.alone.holding(key) as waited:
        async with means.places.place(run.registry.name, blob.size) as piece_size:
            transfer = _Transfer(means, run, blob, key, progress, piece_size)
            try:
                result = await transfer.drive(await _known(means, run, key, afresh=waited or insist), insist=insist)
            except DrainedError:
                return None
            except (SourceError, RegistryError):
                with suppress(StoreError):  # what failed is the better story; the delivery's end tells it as well
                    await means.store.land(run.claim, (blob, transfer.result(TransferState.FAILED)))
                raise
            if result.state is TransferState.UPLOADED:
                means.places.landed(run.registry.name, blob.size, result.seconds)
        if not small:
            # Before the next one with the same need asks where the session stands: there is none any more.
            landings.pass_over()
            await means.store.land(run.claim, (blob, result))
    if small:
        await landings.add(blob, result)
    return result.state


async def _known(means: Means, run: Run, key: TransferKey, *, afresh: bool) -> Checkpoint | str | None:
    """Give what is known of a blob, as `JobStore.plan` does; asked again where it may have changed since."""
    if not afresh:
        return run.known.get(key.digest)
    return await means.store.recall(key) or await means.store.seen_in(key)


class _Transfer:
    """An upload session being driven."""

    def __init__(  # noqa: PLR0917 (one caller, right above)
        self, means: Means, run: Run, blob: Descriptor, key: TransferKey, progress: Progress, piece_size: int
    ) -> None:
        self._means = means
        self._run = run
        self._blob = blob
        self._key = key
        self._progress = progress
        self._piece_size = piece_size
        self._unknown: FileIdentity | None = None  # of the file, where its digest is not known yet
        self._tape: Tape | Held | None = None
        self._started = self._moved = 0.0
        self._session: UploadSession

    async def drive(self, known: Checkpoint | str | None, *, insist: bool) -> TransferResult:
        """Drive the session to its end; `known`: as `JobStore.plan` gives it."""
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
            passes = error.retryable or error.code is Code.REGISTRY_UNAUTHORIZED  # another credential may be brought
            if not passes and error.origin is not Origin.STORE:
                self._run.stop.abandoned = True
            self._advance(state=TransferState.FAILED)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                if self._tape is not None:
                    await self._tape.close()
        self._advance(state=_STATES[landing], done=self._blob.size)
        if landing is Landing.UPLOADED and self._unknown is not None:
            await self._means.store.validate(self._unknown, self._blob.digest, datetime.now(UTC))
        return self.result(_STATES[landing])

    def result(self, state: TransferState) -> TransferResult:
        """Say what it came to."""
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
        """Do what is asked. A source that fails ends the session through its own clean-up.

        A store that fails does not: where the session stands may be somebody else's by now, or ours again soon.
        """
        try:
            match action:
                case Save(checkpoint):
                    await self._means.store.checkpoint(self._run.claim, self._key, checkpoint)
                case Rehash(offset):
                    await self._rehash(offset)
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
                    (await self._opened()).check()
                    return await self._ask(action)
                case Patch() | Stream() | Single() | Put():
                    return await self._send(action)
                case Open() | OpenIfAbsent() | Mount():
                    return await self._ask_to_open(action)
                case Done() | Fail():
                    raise AssertionError(action)
                case _:
                    return await self._ask(action)
        except SourceError as error:
            return Cancelled(error)
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
        tape = await self._opened()
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

    async def _rehash(self, offset: int) -> None:
        if offset or self._tape is not None:
            tape = await self._opened()
            async with self._means.rehashing:
                await tape.rehash(offset)
            if offset == self._blob.size:
                tape.check()
        self._advance(state=TransferState.RUNNING, done=offset)

    # ---------------------------------------------------------------------------------------------- small pieces

    async def _opened(self) -> Tape | Held:
        """Open the blob when it is first needed: one that is there already is never read."""
        if self._tape is None:
            source, threads = self._run.source, self._means.threads
            if self._blob.size <= SMALL_MAX:
                self._tape = await Held.read(source, self._blob, threads=threads)
            else:
                self._tape = await self._tape_of(await anyio.to_thread.run_sync(source.open, self._blob))
        return self._tape

    async def _tape_of(self, reader: BlobReader) -> Tape:
        identity, digest = reader.identity, self._blob.digest
        try:
            known = await self._means.store.validated(identity)
        except BaseException:
            reader.close()
            raise
        self._unknown = identity if known != digest else None
        hashing = self._means.hashings.of(identity, digest, known=known, now=datetime.now(UTC))
        return Tape(self._blob, reader, piece_size=self._piece_size, threads=self._means.threads, hashing=hashing)

    def _sent(self, length: int) -> None:
        self._moved = anyio.current_time()
        self._means.board.count(self._progress, length, self._moved)

    def _advance(self, *, state: TransferState, done: int | None = None) -> None:
        self._progress.state = state
        if done is not None:
            self._progress.done = done
        self._means.board.touch(self._progress)

    @property
    def _subject(self) -> str:
        return f"{self._blob.digest} to {self._run.claim.destination}"

    def _reason(self, error: PushdError) -> str:
        """Say what went wrong, for sentences that begin with the blob and its destination."""
        return str(error).removeprefix(f"{self._subject}: ")

    def _tell(self, kind: Kind, **fields: Value) -> None:
        claim = self._run.claim
        about = {"digest": str(self._blob.digest), "destination": claim.destination, "registry": claim.registry}
        facts = {**about, **fields}
        trace = trace_id(claim.traceparent)
        self._means.emit(Event(kind, datetime.now(UTC), claim.job_id, claim.delivery_id, facts, trace=trace))
