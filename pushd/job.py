"""The job as everyone sees it: the engine, the store, the API's documents, and the client.

Values only, frozen, on the standard library alone, because the client must start fast. The JSON of a job is these
fields under these names; times are RFC 3339 in UTC there and aware `datetime`s here; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@unique
class DeliveryState(StrEnum):
    """The life of one destination of a job."""

    QUEUED = "queued"
    """Waits for a place."""
    RUNNING = "running"
    """Claimed: its bytes are moving, or about to."""
    HELD = "held"
    """Waits until `not_before`: for the reason in `failure`, because the submitter asked for that time, or, being
    `ready`, for the other destinations of its job."""
    PAUSED = "paused"
    """Waits until somebody resumes its job."""
    SUCCEEDED = "succeeded"
    """The registry holds the image, read back and compared."""
    SUPERSEDED = "superseded"
    """Ended because a newer job tagged the same destination first; nothing was overwritten."""
    FAILED = "failed"
    """Ended for the reason in `failure`; nothing was tagged by it."""
    CANCELLED = "cancelled"
    """Ended because someone asked."""

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (DeliveryState.QUEUED, DeliveryState.RUNNING, DeliveryState.HELD, DeliveryState.PAUSED)


@unique
class JobState(StrEnum):
    """A job's state, derived from its deliveries and nothing else."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    SUPERSEDED = "superseded"
    """Ended: newer jobs tagged all its destinations first."""
    PARTIAL = "partial"
    """Ended: some destinations succeeded, some did not."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (JobState.QUEUED, JobState.RUNNING, JobState.HELD, JobState.PAUSED)


def job_state(deliveries: Iterable[DeliveryState]) -> JobState:
    """Derive a job's state from the states of its deliveries (at least one).

    A delivery that was superseded neither succeeded nor failed: the others decide, where there are any.
    """
    states = frozenset(deliveries)
    for state in (DeliveryState.RUNNING, DeliveryState.PAUSED, DeliveryState.QUEUED, DeliveryState.HELD):
        if state in states:
            # What waits when others have ended already is on its way, unless somebody stopped it.
            under_way = state is not DeliveryState.PAUSED and any(other.terminal for other in states)
            return JobState.RUNNING if under_way else JobState(state.value)
    states = states - {DeliveryState.SUPERSEDED} or states
    if len(states) == 1:
        return JobState(next(iter(states)).value)
    return JobState.PARTIAL if DeliveryState.SUCCEEDED in states else JobState.FAILED


@unique
class TransferState(StrEnum):
    """The life of one blob on its way into one repository, as one delivery sees it."""

    PENDING = "pending"
    RUNNING = "running"
    UPLOADED = "uploaded"
    """Its bytes were sent."""
    MOUNTED = "mounted"
    """The registry linked it from another repository; nothing was sent."""
    PRESENT = "present"
    """The repository held it already; nothing was sent."""
    FAILED = "failed"

    @property
    def landed(self) -> bool:
        """Whether the repository holds the blob now."""
        return self in (TransferState.UPLOADED, TransferState.MOUNTED, TransferState.PRESENT)


@unique
class Verify(StrEnum):
    """What of a push is read back."""

    TAG = "tag"
    """The destination's digest."""
    BLOBS = "blobs"
    """Each blob as well; one that is missing is sent, also where the image was there already."""


@unique
class Validate(StrEnum):
    """How far an image's bytes are looked into before they are at a registry."""

    DIGEST = "digest"
    """Each blob is what its digest says."""
    FULL = "full"
    """Before anything is sent each layer is decompressed as well: it is what its media type and its image's config say,
    and has nothing in it that unpackers refuse."""


@unique
class Retain(StrEnum):
    """Where a job's bytes are kept until it ends."""

    SOURCE = "source"
    """Where they are: a file that changes meanwhile fails the job."""
    SPOOL = "spool"
    """In a copy the daemon makes before it accepts the job."""


@unique
class Compress(StrEnum):
    """What becomes of layers that are plain tars, before a job's image is pushed."""

    AUTO = "auto"
    """What suits the source: `DEFAULT` for Docker's archives and engines, whose layers nobody meant to be pushed plain,
    and `NONE` for all else. Only asked, as is `DEFAULT`: a job that was taken says which of the others that was."""
    NONE = "none"
    """They are pushed as they are."""
    GZIP = "gzip"
    ZSTD = "zstd"
    """Where their type has a form for it: Docker's has not, and those become gzip."""
    DEFAULT = "default"
    """What the daemon's configuration says."""


@unique
class Tags(StrEnum):
    """When the tags of a job move."""

    EACH = "each"
    """Each as soon as its image is there."""
    TOGETHER = "together"
    """None before everything is at all destinations, then all of them; and none at all where one destination fails."""


IN_ENGINE = "docker-daemon:"
"""What begins the name of an image in a container engine, Docker or podman."""
ABSENT = "absent"
"""The word of `JobSpec.if_tag` for a tag that must not exist."""


AUTO = "auto"
"""The word of `JobSpec.credential` for the submitter's own where they handed one over or stored one, else the daemon's
where they may use that, else none."""
DAEMON = "daemon"
"""For the daemon's, whatever the submitter has."""
ANONYMOUS = "anonymous"
"""For none."""
HANDED = "handed"
"""As `AUTO`, but for what is stored. Nobody says it: it stands for `AUTO` in jobs that came by a socket at which what
is stored is not theirs to use (`Principal.logins`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """An image whose bytes the submitter brought to the daemon's spool before.

    Attributes:
        entry: the id of the spool entry.
        media_type, digest, size: the descriptor of the root manifest; the entry holds it, and all it refers to.
        referrers: the digest of a document in the entry that lists what refers to the image, as the `index.json` of a
            layout does; None where nothing was brought with it.
    """

    entry: str
    media_type: str
    digest: str
    size: int
    referrers: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What was asked for: one source, one or more destinations.

    Attributes:
        source: `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]`, `dir:DIR` or `docker://REF`;
            with `spooled` only what the image is called.
        destinations: references, normalised, each once.
        priority: larger goes first.
        labels: the submitter's own words, returned and never interpreted.
        deadline: seconds from submission, or from `not_before`, after which what is unfinished fails; None for the
            daemon's default.
        verify: what is read back before a delivery counts as succeeded.
        not_before: when it may begin at the earliest, or None for at once.
        if_tag: what each destination's tag must name when it is put, or else that delivery fails: `ABSENT`, a
            digest, or None for whatever it may be. A tag that names this very image already is always right.
        retain: where the bytes are kept.
        spooled: where they were brought, or None when `source` is to be read.
        platforms: what is pushed of an index, `OS/ARCH[/VARIANT]`, normalised and in order, each once; empty for all
            of it. A single image must be for them.
        validate: how far its bytes are looked into.
        compress: what becomes of plain layers.
        tags: when they move; means nothing where there is one destination.
        with_referrers: whether what refers to the image goes along: signatures, SBOMs, attestations.
        credential: what registries are spoken to with: `AUTO`, `DAEMON`, `ANONYMOUS`, or the name of one that the
            submitter stored, for the destinations and for a source in the same registry. What is handed over with a
            job is no part of this: it is a secret.
    """

    source: str
    destinations: tuple[str, ...]
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    verify: Verify = Verify.TAG
    not_before: datetime | None = None
    if_tag: str | None = None
    retain: Retain = Retain.SOURCE
    spooled: Spooled | None = None
    platforms: tuple[str, ...] = ()
    validate: Validate = Validate.DIGEST
    compress: Compress = Compress.AUTO
    tags: Tags = Tags.EACH
    with_referrers: bool = False
    credential: str = AUTO

    @property
    def in_engine(self) -> bool:
        """Whether its image is still in a container engine, Docker or podman: `docker-daemon:IMAGE`."""
        return self.spooled is None and self.source.startswith(IN_ENGINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a delivery did not, or not yet, succeed.

    Attributes:
        code: a stable `errors.Code` value.
        message: one sentence for a person: what happened, to what, what to do next.
        retryable: whether trying the same again later may well succeed.
    """

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt at a delivery that did not succeed.

    Attributes:
        at: when it ended.
        attempt: the delivery's `attempt` then.
        code: a stable `errors.Code` value.
        message: one sentence for a person: what happened, to what, what to do next.
    """

    at: datetime
    attempt: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One blob of a delivery.

    Attributes:
        done: bytes the registry is known to hold; the whole size once landed.
        sent: bytes that went over the wire for it on behalf of this delivery, retries included.
        resumed: bytes an earlier attempt had left at the registry, which were not sent again.
    """

    digest: str
    media_type: str
    size: int
    state: TransferState
    done: int = 0
    sent: int = 0
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One destination of a job: claimed, held back, retried and finished on its own.

    Attributes:
        id: unique in the database.
        digest: what the registry answered for the destination when it was verified, else None.
        attempt: how often it was claimed: after a hold, and also after a restart of the daemon.
        not_before: when a held delivery is tried again; for one that is ready, the job's deadline.
        ready: whether everything but its tag is there, of a job whose tags move together: it waits for the others, or
            they are ready as well and its tag moves.
        failure: why it failed, or why it is held.
        history: each hold and the failure at the end, newest last, the last 20 of them; empty in lists.
    """

    id: int
    destination: str
    state: DeliveryState
    attempt: int = 0
    digest: str | None = None
    failure: Failure | None = None
    not_before: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    transfers: tuple[Transfer, ...] = ()
    history: tuple[Try, ...] = ()
    ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job with its deliveries.

    Attributes:
        id: twelve characters, unguessable, safe in a URL.
        uid: the submitter, as the kernel names them.
        digest: the root manifest's digest: exactly this image is delivered. With `platforms` it may be that of an
            index written anew. None until plain layers that are to be compressed are: what the image will be called
            is not known before.
        media_type: the root manifest's media type.
        size: bytes of all blobs, each counted once, and manifests; with plain layers, as long as there is no digest.
        deadline_at: when what is unfinished fails; while the job is paused, its time does not run.
        not_before: when it may begin at the earliest, where its submitter asked for that.
        if_tag: what each destination's tag must name when it is put; None for whatever it may be.
        retain: where its bytes are kept: its files, or a copy of them in the spool.
        paused_at: since when it is paused; None when it is not.
        platforms: what is pushed of its source, as in `JobSpec`; so is `validate`.
        compress: what becomes of its plain layers; never `AUTO` or `DEFAULT`.
        tags: when they move.
        ready_at: since when tags that move together do; None before all destinations are ready.
        referrers: manifests that go along because they refer to the image; None where that was not asked for.
    """

    id: str
    state: JobState
    source: str
    uid: int
    priority: int
    labels: Mapping[str, str]
    digest: str | None
    media_type: str
    size: int
    created_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    deliveries: tuple[Delivery, ...]
    not_before: datetime | None = None
    if_tag: str | None = None
    retain: Retain = Retain.SOURCE
    paused_at: datetime | None = None
    platforms: tuple[str, ...] = ()
    validate: Validate = Validate.DIGEST
    compress: Compress = Compress.NONE
    tags: Tags = Tags.EACH
    ready_at: datetime | None = None
    referrers: int | None = None
