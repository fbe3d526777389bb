"""What the engine needs of the rooms beside it: protocols and the values that cross them.

`registry`, `source` and `store` fulfil these without importing them; mypy holds them to it where `service` composes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from pushd.job import Failure, Job
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.reply import Reply
    from pushd.oci.upload import Checkpoint, Limits, Request
    from pushd.telemetry.events import Event
    from pushd.work import (
        Asker,
        Check,
        Claim,
        FileIdentity,
        Handed,
        JobQuery,
        Login,
        Outcome,
        Pruned,
        Retention,
        Sealed,
        Submission,
        TransferKey,
        TransferResult,
    )


class Emit(Protocol):
    """Tell an event to whoever listens. Never blocks, never fails."""

    def __call__(self, event: Event, /) -> None:
        """Tell it."""


# ---------------------------------------------------------------------------------------------------- source


class BlobReader(Protocol):
    """Random access into one blob of a source. Its methods block: call them in a thread.

    Attributes:
        size: bytes.
    """

    @property
    def size(self) -> int:
        """Bytes in the blob."""

    @property
    def identity(self) -> FileIdentity:
        """What it can be told by without reading it."""

    def read(self, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes at `offset`, as fresh `bytes` never written to again.

        Raises:
            SourceError: `source.changed`, the file is not what was opened; `source.unreadable`, the disk failed.
        """

    def copy_to(self, fd: int, /) -> None:
        """Write all of it to a file, from its current offset on.

        Raises:
            SourceError: as in `read`.
            OSError: writing failed.
        """

    def close(self) -> None:
        """Release the descriptor. Idempotent."""


class Source(Protocol):
    """One image somewhere on disk. Its methods block: call them in a thread."""

    def image(self) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """

    def open(self, blob: Descriptor) -> BlobReader:
        """Open one blob for reading.

        Raises:
            SourceError: it is missing, not a regular file, or of another size than `blob.size`.
        """

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""


class OpenSource(Protocol):
    """Open a source by its name, `oci:DIR[:REF]` or `oci-archive:FILE[:REF]`, with somebody's rights. Blocks."""

    def __call__(self, name: str, /, *, uid: int, gids: frozenset[int]) -> Source:
        """Open it, as far as the user `uid` in the groups `gids` may read it.

        Raises:
            SourceError: `source.unsupported`, `source.not_found`, `source.unreadable`, `source.forbidden`, ...
        """


class OpenSpooled(Protocol):
    """Open an entry of the spool as a source. Blocks."""

    def __call__(self, entry: str, /, *, root: Descriptor | None = None) -> Source:
        """Open it; `root` is needed only to read its image.

        Raises:
            SourceError: `source.not_found`, the entry is gone.
        """


class Spool(Protocol):
    """Bytes the daemon keeps itself until a job has ended, each entry of one owner."""

    async def keep(self, source: Source, image: Image, *, uid: int) -> str:
        """Copy an image into a fresh entry; give the entry's id. It is durable.

        Raises:
            SourceError: the source cannot be read, or changed.
            StoreError: `store.full`, `store.budget`.
            RequestError: `request.limit`, the owner's quota is used up.
        """

    def using(self, entry: str, *, uid: int) -> AbstractContextManager[None]:
        """Keep an entry of `uid` from expiring while the context lasts.

        Raises:
            RequestError: `request.not_found`, there is no such entry, or it is somebody else's.
        """

    async def discard(self, entry: str, reason: str) -> None:
        """Remove an entry. Idempotent."""

    async def sweep(self, now: datetime, bound: Collection[str]) -> None:
        """Remove what has expired, but for what is in use and the entries in `bound`, which jobs need."""

    @property
    def entries(self) -> Collection[str]:
        """The ids of all entries."""

    @property
    def size(self) -> int:
        """Bytes of all entries, those reserved and not yet arrived included."""


# -------------------------------------------------------------------------------------------------- registry


class Body(Protocol):
    """The bytes of one request, pulled as the wire takes them.

    Attributes:
        length: bytes it will give; announced as Content-Length.
    """

    @property
    def length(self) -> int:
        """Bytes it will give."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces. Raising ends the request with the connection."""


class Registry(Protocol):
    """One registry, spoken to with one credential.

    Attributes:
        name: `host[:port]`, as in references.
        credential: which credential is used, by a stable name that is no secret (`anonymous`, `docker-config:alice`).
        limits: how uploads to it are done.
    """

    @property
    def name(self) -> str:
        """`host[:port]`."""

    @property
    def credential(self) -> str:
        """The credential's name."""

    @property
    def borrowed(self) -> bool:
        """Whether the credential is the submitter's own, and not the daemon's."""

    @property
    def accepted(self) -> bool:
        """Whether the credential was ever taken, as far as this life of the daemon knows."""

    @property
    def limits(self) -> Limits:
        """How uploads to it are done."""

    async def verify(self) -> bool | None:
        """Ask whether it takes the credential; None when it asks for none.

        Raises:
            RegistryError: it did not say.
        """

    async def head_manifest(self, repository: str, reference: str) -> Digest | None:
        """Ask which digest `reference` (a tag or digest) has; None when there is none (404).

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure.
        """

    async def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Digest:
        """Put exactly these bytes; give the digest the registry answered.

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure.
        """

    async def perform(self, repository: str, request: Request, body: Body | None = None) -> Reply:
        """Send one request of an upload session and give the reply, whatever its status.

        Raises:
            RegistryError: the connection's failure (`registry.unresolved`, `.unreachable`, `.tls`, `.interrupted`),
                or credentials that could not be had.
        """

    async def diagnose(self, repository: str | None) -> Sequence[Check]:
        """Try how it is spoken to: name, connection, TLS, clock, API; and the right to push to `repository`, if given.

        What that begins at the registry is taken back. No failure of the registry is an error here.
        """


class Registries(Protocol):
    """All registries."""

    async def connect(self, name: str, *, repository: str, asker: Asker) -> Registry:
        """Give the registry `host[:port]`, with the credential that is the asker's to use there. No request is made.

        Raises:
            RegistryError: `registry.needs_credential`, theirs has expired or was refused before; others, the daemon's
                cannot be read.
            RequestError: `request.forbidden`, there is a credential, and it is not for this user and repository;
                `request.not_found`, they chose one they have not stored.
        """

    async def refused(self, name: str, *, repository: str, asker: Asker) -> None:
        """Forget the asker's own credential for a repository, if the registry does not take it any more."""

    def sweep(self) -> None:
        """Let go of the credentials and tokens nobody has asked for in a while."""


class Keyring(Protocol):
    """The credentials of users, sealed."""

    async def seal(self, handed: Handed, uid: int, now: datetime) -> Sealed:
        """Seal one, for its owner alone.

        Raises:
            DaemonError: the key cannot be used.
        """

    async def store(self, name: str, handed: Handed, *, uid: int) -> int:
        """Store one under a name; give how many deliveries go on that waited for one.

        Raises:
            RequestError: `request.limit`.
            DaemonError: the key cannot be used.
        """

    async def list(self, uid: int) -> Sequence[Login]:
        """Give a user's, by name."""

    async def remove(self, name: str, uid: int) -> bool:
        """Forget one; give whether there was one."""


# ----------------------------------------------------------------------------------------------------- store


class JobStore(Protocol):
    """Durable truth. Each method is one transaction, durable before it returns.

    Every method may raise StoreError: `store.full` (nothing was written; try again), `store.unavailable`,
    `store.damaged`. Those that take a claim raise `store.claim_lost` and write nothing when the delivery is no
    longer running under that claim's epoch and attempt.
    """

    @property
    def epoch(self) -> int:
        """The number of this life of the daemon, larger than any before."""

    async def submit(self, submission: Submission, *, limit: int) -> Job:
        """Store a new job, or give the one already stored under the same uid and idempotency key.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body; `request.limit`, the
                user has `limit` jobs already that have not ended.
        """

    async def repeated(self, uid: int, idempotency_key: str, fingerprint: bytes) -> Job | None:
        """Give the job stored under this uid and key, if there is one.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body.
        """

    async def get(self, job_id: str) -> Job | None:
        """Give one job with its deliveries and their transfers."""

    async def list(self, query: JobQuery) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers.

        Raises:
            RequestError: `request.not_found`, there is no job `after`, or it is not of the query's `uid`.
        """

    async def image(self, job_id: str) -> Image:
        """Give the image of a job, the manifests' original bytes included."""

    async def claim(self, now: datetime, *, free: Mapping[str, int], default: int) -> Claim | None:
        """Take the next delivery that may run, marking it running.

        Larger priority first, then the user whose turn is longest ago, then older first. Held ones whose
        `not_before` has passed count as queued; what goes to a paused registry is passed over. `free` is how many more
        may run for a registry named in it, `default` for any other.
        """

    async def due(self, now: datetime) -> datetime | None:
        """Give the earliest `not_before` after `now` of a held delivery."""

    async def plan(
        self, claim: Claim, *, credential: str, repository: str, blobs: Sequence[Descriptor], manifests: int
    ) -> None:
        """Write down what the delivery needs: its transfers, all pending; earlier results of the delivery go."""

    async def land(self, claim: Claim, blob: Descriptor, result: TransferResult) -> None:
        """Write down what one blob came to. When it landed its checkpoint goes, and where it landed is remembered."""

    async def checkpoint(self, claim: Claim, key: TransferKey, checkpoint: Checkpoint | None) -> None:
        """Save, or with None forget, where an upload session stands."""

    async def recall(self, key: TransferKey) -> Checkpoint | None:
        """Give the saved checkpoint of an upload session."""

    async def hold(self, claim: Claim, until: datetime, failure: Failure) -> None:
        """Put a delivery back until `until`. That was a try; `failure` joins its history.

        One held for want of a credential goes on when its user brings one, or at once where they have since it was
        claimed.
        """

    async def release(self, claim: Claim) -> None:
        """Put a delivery back at once, because the daemon stops or its job or registry is paused: no try, no crash.

        It is paused where its job is, and queued elsewhere.
        """

    async def tagging(self, claim: Claim) -> bool:
        """Say, right before it is done, that this delivery puts its tag; give whether it may.

        False when a delivery submitted later said so before for the same tag: the older image must not overwrite the
        newer. A destination that is no tag but a digest cannot be overwritten, and always may.
        """

    async def finish(self, claim: Claim, outcome: Outcome, now: datetime) -> None:
        """End a delivery, and with its last one the job. A failure joins the delivery's history."""

    async def met(self, registry: str) -> bool:
        """Tell whether a delivery to `host[:port]` ever got past the first question, and planned a blob to send."""

    async def mount_candidate(self, key: TransferKey) -> str | None:
        """Give another repository of the same registry that is believed to hold the blob.

        Believed from what earlier deliveries of the same principal with the same credential landed; the newest.
        """

    async def forget(self, claim: Claim, *, credential: str, repository: str, digests: Collection[Digest]) -> None:
        """Believe no longer that `repository` of the claim's registry holds these blobs."""

    async def validated(self, identity: FileIdentity) -> Digest | None:
        """Give the digest that this very content was found to have before."""

    async def validate(self, identity: FileIdentity, digest: Digest, now: datetime) -> None:
        """Remember which digest a file's content was found to have.

        A file changed less than two seconds before `now` is not remembered: it could change again within the
        granularity of its times, and look the same.
        """

    async def cancel(self, job_id: str, now: datetime) -> Sequence[int]:
        """End the deliveries of a job that wait; give the ids of those that run and are to be stopped by the caller."""

    async def pause(self, job_id: str, now: datetime, *, by: int) -> Sequence[int]:
        """Pause a job; give the ids of its deliveries that run and are to be stopped by the caller. Idempotent.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """

    async def resume(self, job_id: str, now: datetime, *, by: int) -> None:
        """Let a paused job go on, its deadline later by the time it was paused. Idempotent.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """

    async def retry(self, job_id: str, now: datetime, *, by: int, handed: Sequence[Sealed] = ()) -> int:
        """Queue the deliveries of a job again that failed or were cancelled, as if new; give how many. Idempotent.

        With credentials handed over anew, those that waited for one go on as well, and are counted.

        Raises:
            RequestError: `request.not_found`; `request.state`, its bytes were in the spool and are gone;
                `request.forbidden`, credentials are handed over for a job that is not of the user `by`.
        """

    async def hand_over(self, job_id: str, uid: int, sealed: Sequence[Sealed], now: datetime) -> int:
        """Give a job credentials of its submitter, in place of those with the same scopes; give how many go on.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended; `request.forbidden`, it is not of `uid`.
        """

    async def handed(self, job_id: str) -> Sequence[Sealed]:
        """Give the credentials handed over with a job, oldest first; those that are spent without their secret."""

    async def logins(self, uid: int) -> Sequence[Login]:
        """Give the credentials a user stored, by name; those that are spent without their secret."""

    async def store_login(self, uid: int, name: str, sealed: Sealed, now: datetime, *, limit: int) -> int:
        """Store a user's credential, in place of the one of that name; give how many deliveries go on that waited.

        Raises:
            RequestError: `request.limit`, they have `limit` others already.
        """

    async def remove_login(self, uid: int, name: str, now: datetime) -> bool:
        """Remove a user's credential; give whether there was one."""

    async def spend(self, number: int, now: datetime) -> None:
        """Forget the secret of the credential of this number: the registry refused it. Idempotent."""

    async def pause_registry(self, registry: str, now: datetime, *, by: int) -> Sequence[int]:
        """Claim nothing more that goes to `host[:port]`; give the ids of the deliveries that run. Idempotent."""

    async def resume_registry(self, registry: str, now: datetime, *, by: int) -> None:
        """Let a paused registry be served again. Idempotent."""

    async def cancel_registry(self, registry: str, now: datetime) -> tuple[int, Sequence[int]]:
        """End deliveries that wait for `host[:port]`, a bounded number.

        Returns:
            How many, none when no more wait, and the ids of those that run and are to be stopped by the caller.
        """

    async def paused_registries(self) -> Mapping[str, datetime]:
        """Give the registries that are paused, and since when."""

    async def expire(self, now: datetime) -> int:
        """Fail deliveries that wait past their job's deadline, and spend credentials past theirs; give how many.

        Paused deliveries wait on.
        """

    async def prune(self, now: datetime, retention: Retention) -> Pruned:
        """Take away a bounded number of jobs and events whose time is over, and what only they needed."""

    async def spooled(self) -> Collection[str]:
        """Give the ids of the spool entries that jobs need which have not ended."""

    async def unneeded(self, entries: Collection[str]) -> Collection[str]:
        """Give those of these spool entries whose job has ended."""

    async def events(
        self, after: int, *, job_id: str | None = None, uid: int | None = None, limit: int = 500
    ) -> Sequence[Event]:
        """Give durable events numbered above `after`, in order; those of one job, or of one user's jobs, or all."""

    async def told(self) -> tuple[int, int]:
        """Give the numbers of the oldest durable event that is left, and of the newest there ever was.

        With none left the oldest is one more than the newest; the newest is 0 when there never was any.
        """

    @property
    def stream(self) -> str:
        """The id of the stream the events are numbered in: another one after a backup was restored."""

    async def queue(self, uid: int | None = None) -> Mapping[str, Mapping[str, int]]:
        """Count the deliveries that are not terminal, by registry and state; those of one user, or all."""

    async def oldest(self, uid: int | None = None) -> datetime | None:
        """Give when the oldest job that has not ended was submitted."""

    @property
    def size(self) -> int:
        """Bytes of the database on the disk."""
