"""What the engine needs of the rooms beside it: protocols and the values that cross them.

`registry`, `source` and `store` fulfil these without importing them; mypy holds them to it where `service` composes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Failure, Job, JobState
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.reply import Reply
    from pushd.oci.upload import Checkpoint, Limits, Request
    from pushd.telemetry.events import Event
    from pushd.work import Claim, FileIdentity, Outcome, Submission, TransferKey, TransferResult


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
    """Open a source by its name, `oci:DIR[:REF]` or `oci-archive:FILE[:REF]`. Blocks."""

    def __call__(self, name: str, /) -> Source:
        """Open it.

        Raises:
            SourceError: `source.unsupported`, `source.not_found`, `source.unreadable`, ...
        """


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
    def limits(self) -> Limits:
        """How uploads to it are done."""

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


class Registries(Protocol):
    """All registries."""

    async def connect(self, name: str) -> Registry:
        """Give the registry `host[:port]`. No request is made.

        Raises:
            RegistryError: `registry.credentials`, its configured credential cannot be read.
        """


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

    async def submit(self, submission: Submission) -> Job:
        """Store a new job, or give the one already stored under the same uid and idempotency key.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body.
        """

    async def get(self, job_id: str) -> Job | None:
        """Give one job with its deliveries and their transfers."""

    async def list(
        self, *, states: Collection[JobState] = (), after: str | None = None, limit: int = 100, uid: int | None = None
    ) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers; `after` is the last id of the page before."""

    async def image(self, job_id: str) -> Image:
        """Give the image of a job, the manifests' original bytes included."""

    async def claim(self, now: datetime, *, free: Mapping[str, int], default: int) -> Claim | None:
        """Take the next delivery that may run, marking it running.

        Larger priority first, then older first. Held ones whose `not_before` has passed count as queued. `free` is
        how many more may run for a registry named in it, `default` for any other.
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
        """Put a delivery back until `until`. That was a try; `failure` joins its history."""

    async def release(self, claim: Claim) -> None:
        """Put a delivery back into the queue at once, because the daemon stops: neither a try nor a crash."""

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

    async def events(self, after: int, *, job_id: str | None = None, limit: int = 500) -> Sequence[Event]:
        """Give durable events numbered above `after`, in order."""

    async def last_event(self) -> int:
        """Give the number of the newest durable event, 0 when there is none."""

    async def queue(self) -> Mapping[str, int]:
        """Count the deliveries that are not terminal, by state."""
