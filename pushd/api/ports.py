"""What the API needs of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushd.job import AUTO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pushd.job import Job, JobSpec
    from pushd.principal import Principal
    from pushd.telemetry.events import Event
    from pushd.work import Handed, JobQuery, Login, SpoolEntry, SpoolFile


class Jobs(Protocol):
    """The jobs of the daemon, as one caller sees them. Any method may raise StoreError.

    A job that is not the caller's to see does not exist for them: `request.not_found`.
    """

    async def submit(
        self,
        spec: JobSpec,
        *,
        handed: Sequence[Handed] = (),
        caller: Principal,
        idempotency_key: str | None,
        fingerprint: bytes,
        brings: bool = False,
    ) -> Job:
        """Accept a job: when this returns, it is on disk.

        Args:
            spec: what was asked for, its types and sizes checked, its references not yet.
            handed: the caller's own credentials for destinations of it.
            caller: who asks.
            idempotency_key: the caller's; the same key with the same `fingerprint` gives the job accepted first.
            fingerprint: a hash of the request.
            brings: whether the caller would rather ask a container engine for the image themselves: then one that is
                still in an engine is refused, when nothing else is in the way.

        Raises:
            RequestError: `request.invalid_reference`; `request.idempotency_conflict`; `request.forbidden`, a
                destination, its credential, or an image in a container engine is not for the caller;
                `request.path_refused`; `request.limit`.
            SourceError: the image is missing, malformed, not what it says it is, or not the caller's to read.
            StoreError: `store.budget`.
        """

    async def plan(
        self, spec: JobSpec, *, handed: Sequence[Handed] = (), caller: Principal, brings: bool = False
    ) -> Mapping[str, object]:
        """Tell what submitting this would do, without changing anything anywhere; in JSON's types.

        Raises:
            RequestError, SourceError: as `submit` does.
        """

    async def get(self, job_id: str, *, caller: Principal) -> Job:
        """Give one job with its deliveries and the live progress of their transfers.

        Raises:
            RequestError: `request.not_found`; so for all that name a job.
        """

    async def list(self, query: JobQuery, *, caller: Principal) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers; of those the caller may see."""

    async def wait(self, job_id: str, seconds: float, /, *, caller: Principal) -> Job:
        """Give the job once it is terminal, or as it is after `seconds`."""

    async def cancel(self, job_id: str, *, caller: Principal) -> Job:
        """End what is not terminal of a job. Idempotent."""

    async def pause(self, job_id: str, *, caller: Principal) -> Job:
        """Stop what runs of a job at its next boundary, and begin nothing more. Idempotent.

        Raises:
            RequestError: `request.state`, it has ended.
        """

    async def resume(self, job_id: str, *, caller: Principal) -> Job:
        """Let a paused job go on. Idempotent.

        Raises:
            RequestError: `request.state`, it has ended.
        """

    async def retry(self, job_id: str, *, handed: Sequence[Handed] = (), caller: Principal) -> Job:
        """Try again what failed or was cancelled of a job, and nothing else. Idempotent.

        Args:
            job_id: which.
            handed: the caller's own credentials for it, anew: those it had went when it ended.
            caller: who asks.

        Raises:
            RequestError: `request.state`, its bytes were in the spool and are gone.
        """

    async def pause_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        """Send nothing more to `host[:port]`; give how it stands, in JSON's types. Idempotent.

        Raises:
            RequestError: `request.forbidden`, the caller is no administrator; `request.invalid_reference`.
        """

    async def resume_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        """Serve a paused registry again; likewise."""

    async def cancel_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        """End everything that waits for or goes to `host[:port]`, of everybody's jobs; in JSON's types.

        Raises:
            RequestError: likewise.
        """

    async def diagnose(
        self, target: str, *, handed: Sequence[Handed] = (), credential: str = AUTO, caller: Principal
    ) -> Mapping[str, object]:
        """Try how a registry is spoken to; in JSON's types.

        Args:
            handed: the caller's own credentials to try it with.
            credential: as `JobSpec.credential`.
            target: `host[:port]`, or `host[:port]/repository`: then the right to push there is tried as well, with an
                upload that is taken back.
            caller: whose rights are tried.

        Raises:
            RequestError: `request.invalid_reference`, `request.forbidden`.
        """

    async def position(self, after: int, *, stream: str | None) -> None:
        """Check that a reader may go on after the event numbered `after` of the stream `stream`.

        Raises:
            RequestError: `request.events_gone`, what followed is past its time, or it is another stream;
                `request.malformed`, no event had such a number yet.
        """

    def events(
        self, *, after: int, job_id: str | None, follow: bool, caller: Principal
    ) -> AsyncIterator[Sequence[Event]]:
        """Give the durable events numbered above `after` that the caller may see, with coalesced progress between them.

        They come in order, a few at a time. Progress has no number. Now and then, and after silence, comes a
        `stream.bookmark`: its number says up to where all was told. The stream ends at the present without
        `follow`, and after `job.finished` with `job_id`, which names a job that exists.
        """

    async def status(self, *, caller: Principal) -> Mapping[str, object]:
        """Give what the daemon is doing, as far as it concerns the caller, in JSON's types."""


class Logins(Protocol):
    """Credentials that callers store under a name for their own jobs. Any method may raise StoreError."""

    async def store(self, name: str, handed: Handed, *, caller: Principal) -> Mapping[str, object]:
        """Try a credential, and store it sealed, in place of one of the same name; deliveries that wait for one go on.

        Returns:
            `login`, a `work.Login`; `verified`, whether the registry took it: None when it did not answer; `resumed`,
            how many deliveries go on.

        Raises:
            RequestError: `request.credential_refused`, the registry did not take it; `request.invalid_reference`;
                `request.forbidden`, the registry is no destination; `request.limit`, they have too many.
        """

    async def list(self, *, caller: Principal) -> Sequence[Login]:
        """Give the caller's, by name."""

    async def remove(self, name: str, *, caller: Principal) -> None:
        """Forget one.

        Raises:
            RequestError: `request.not_found`.
        """


class Metrics(Protocol):
    """What is measured."""

    async def exposition(self, *, openmetrics: bool) -> bytes:
        """Give all metrics as they are now: as OpenMetrics 1.0, or in Prometheus's text format 0.0.4.

        Raises:
            StoreError: how things stand cannot be read.
        """


class Spool(Protocol):
    """Bytes that callers bring. An entry that is not the caller's does not exist for them: `request.not_found`.

    Any method may raise StoreError: `store.full`, `store.unavailable`.
    """

    async def create(self, *, uid: int, size: int, ttl: float | None) -> SpoolEntry:
        """Make an entry, with its bytes reserved.

        Args:
            uid: its owner.
            size: bytes that are to come, all files together.
            ttl: seconds it waits for more bytes or its job; None for what is configured, which is also the most.

        Raises:
            RequestError: `request.limit`, the owner's quota does not have so many bytes left.
            StoreError: `store.budget`, the daemon has not.
        """

    async def get(self, entry: str, *, uid: int) -> SpoolEntry:
        """Give an entry as it is."""

    async def resize(self, entry: str, *, uid: int, size: int) -> SpoolEntry:
        """Reserve another number of bytes for an entry, never less than are there.

        Raises:
            RequestError, StoreError: as `create` does.
        """

    async def remove(self, entry: str, *, uid: int) -> None:
        """Remove an entry.

        Raises:
            RequestError: `request.not_found`; `request.state`, a job needs it.
        """

    async def receive(
        self, entry: str, name: str, *, uid: int, offset: int, pieces: AsyncIterator[bytes], complete: bool
    ) -> SpoolFile:
        """Append bytes to a file of an entry; what arrived is kept also when the rest does not.

        Args:
            entry: which.
            name: `sha256:...`, the digest the file must have; or any other short name, when it is not known yet.
            uid: who brings it.
            offset: where in the file the bytes belong: at its end.
            pieces: the bytes.
            complete: whether the file ends with them. Its digest is checked then, it is made durable, and it is found
                under its digest from then on.

        Returns:
            The file as it is then; of one that is complete already, what is there.

        Raises:
            RequestError: `request.offset`, the file does not end at `offset`; `request.limit`, the bytes are more
                than were reserved; `request.malformed`, it cannot have such a name; `request.invalid_digest`, nor such
                a digest, or the file is not what its name says, and is gone.
        """
