"""Work handed from room to room: the values both sides of `JobStore` and of `Spool` speak.

They live here because those rooms never import one another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto, unique
from typing import TYPE_CHECKING

from pushd.job import AUTO
from pushd.principal import User

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from pushd.credentials.credential import Credential
    from pushd.job import DeliveryState, Failure, JobSpec, JobState, TransferState, Validate, Verify
    from pushd.oci.compression import Encoding
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A credential its owner hands over, open: on its way to where it is used or sealed, and written down nowhere.

    Attributes:
        scope: what it is for: `host[:port]`, or a part of that registry, `host[:port]/path`.
        expires_at: when it is to be forgotten; None for when the job ends that it came with.
    """

    scope: str
    credential: Credential
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A credential as it is kept: only the vault can open it, and only for the same uid and scope.

    Attributes:
        scope: as in `Handed`.
        secret: the sealed bytes; None when it was spent: it has expired, was refused, or its job has ended.
        number: of its row once it is stored, else 0.
    """

    scope: str
    secret: bytes | None = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    number: int = 0


_SETTLED_NS = 2_000_000_000
"""Nanoseconds after which a further change shows in a file's times: the coarsest, FAT's, count in two seconds."""


def covers(scope: str, registry: str, repository: str) -> bool:
    """Whether a credential's scope takes in a repository: that of the host, or below the path, component by component.

    Args:
        scope: as in `Handed`; the host in any case.
        registry: `host[:port]`, as in references.
        repository: the name within the registry.
    """
    host, _, path = scope.partition("/")
    return host.lower() == registry.lower() and (not path or f"{repository}/".startswith(f"{path}/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A credential stored under a name by its owner, for all their jobs. Without the secret, which is in `sealed`."""

    name: str
    sealed: Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """On whose behalf a registry is spoken to, and with which credential.

    Attributes:
        user: whose rights count.
        choice: as `JobSpec.credential`.
        job_id: the job whose credentials were handed over with it, or None when there is none yet.
        handed: credentials at hand, for what is asked before there is a job.
    """

    user: User
    choice: str = AUTO
    job_id: str | None = None
    handed: tuple[Handed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted job on its way to the disk.

    Attributes:
        job_id: fresh and unguessable.
        registries: for each destination of the spec, in order, the registry part of it.
        gids: the groups of the submitter, `uid`: with their rights the source is opened, now and after a restart.
        administrator: whether they were one, by the socket they came by: the daemon's credentials are theirs to use.
        encoding: how plain layers are to be compressed before anything is pushed; None when none are.
        spool: the id of the spool entry that holds the bytes, or None when the source does.
        idempotency_key: the caller's, or None.
        fingerprint: a hash of the request body, to tell a repeated request from another under the same key.
        credentials: those handed over with the job, sealed.
        request_id: of the request that hands it in.
        traceparent: the caller's (W3C Trace Context), or None.
    """

    job_id: str
    spec: JobSpec
    registries: tuple[str, ...]
    image: Image
    uid: int
    created_at: datetime
    deadline_at: datetime
    gids: frozenset[int] = frozenset()
    administrator: bool = False
    encoding: Encoding | None = None
    spool: str | None = None
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    credentials: tuple[Sealed, ...] = ()
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs are wanted: newest first, those that fit every attribute.

    Attributes:
        states: in one of these; all when empty.
        labels: with all of these, each with this value.
        registry: with a destination there (`host[:port]`).
        uid: of this submitter, or of anyone when None.
        after: the last id of the page before.
        limit: at most so many.
    """

    states: Collection[JobState] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    registry: str | None = None
    uid: int | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Jobs that take longer than they should: the id of the oldest, since when that might have begun, how many."""

    oldest: str
    since: datetime
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what has ended is kept: whatever is past its age, or beyond its count, goes.

    Attributes:
        job_age: seconds since a job finished.
        job_count: finished jobs.
        event_age: seconds since an event was told.
        event_count: events.
    """

    job_age: float
    job_count: int
    event_age: float
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What one round of pruning took away.

    Attributes:
        more: whether there is more to take: a round is bounded, so that nobody waits long behind it.
    """

    jobs: int
    events: int
    more: bool


@unique
class Reach(Enum):
    """How far whoever has a claim is to go."""

    WHOLE = auto()
    """All the way."""
    READY = auto()
    """Up to the tag, which is not moved: then the delivery waits for the others of its job."""
    TAG = auto()
    """The tag is left, all else is there: the job's tags move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery taken on by this life of the daemon. Every write for it carries `epoch` and `attempt`.

    Attributes:
        attempt: how often it was claimed, this time included: no two claims of a delivery have the same.
        tries: how often it was tried, this time included: what patience is counted by. A claim that was released,
            given back or cut short by a crash was no try; one that ended in a hold was.
        uid: the submitter, and with `gids` whose rights open the source.
        administrator: as in `Submission`.
        encoding: how plain layers are to be compressed before anything is pushed; None when none are, or they were
            compressed before it was claimed.
        spool: the id of the spool entry that holds the bytes, or None when `source` does.
        validate: as in `JobSpec`; so are `if_tag` and `credential`.
        reach: how far to go.
        handed_at: when credentials were handed over for the job last; None when none were.
        traceparent: as in `Submission`.
    """

    job_id: str
    delivery_id: int
    source: str
    destination: str
    registry: str
    uid: int
    attempt: int
    tries: int
    epoch: int
    deadline_at: datetime
    verify: Verify
    validate: Validate
    gids: frozenset[int] = frozenset()
    administrator: bool = False
    encoding: Encoding | None = None
    spool: str | None = None
    if_tag: str | None = None
    reach: Reach = Reach.WHOLE
    credential: str = AUTO
    handed_at: datetime | None = None
    traceparent: str | None = None

    @property
    def asker(self) -> Asker:
        """On whose behalf it is delivered."""
        user = User(uid=self.uid, gids=self.gids, administrator=self.administrator)
        handing = None if self.handed_at is None else self.job_id
        return Asker(user=user, choice=self.credential, job_id=handing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """An image whose plain layers were compressed.

    Attributes:
        image: as it is pushed.
        spool: the id of the spool entry that holds all of it.
        layers: how many were compressed, each counted once,
        reused: and how many of them before, for another image.
        before: bytes of these when they were plain.
        after: bytes of what they became.
        seconds: wall time it took, what else is kept with them included.
    """

    image: Image
    spool: str
    layers: int
    reused: int
    before: int
    after: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferKey:
    """What makes two transfers the same one: sharing never crosses principals or credentials."""

    registry: str
    repository: str
    digest: Digest
    credential: str
    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferResult:
    """What one blob came to, for one delivery.

    Attributes:
        sent: bytes that went over the wire, retries included.
        resumed: bytes that an earlier attempt had brought there already.
        interruptions: how often the upload was broken and went on.
        form: how it was sent: chunked, streamed, monolithic; empty when nothing was.
        seconds: wall time from its start, waiting for a place excluded.
    """

    state: TransferState
    sent: int = 0
    resumed: int = 0
    interruptions: int = 0
    form: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found when the layers of a job's image were looked into.

    Attributes:
        layers: that are as they should be.
        skipped: others, that nobody here can look into.
        size: bytes those layers unpack to.
        seconds: how long it took.
        code: a stable `errors.Code` value, where something is wrong with one of them that will never change; or empty.
        message: one sentence for a person about it: what, with which layer, what to do next.
    """

    layers: int = 0
    skipped: int = 0
    size: int = 0
    seconds: float = 0.0
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """What a file, or a part of it, can be told by without reading it, as `fstat` gives it.

    Attributes:
        size: bytes of the whole file.
        mtime_ns: nanoseconds since 1970-01-01 UTC.
        ctime_ns: likewise; no program can set it back. Of a file of the daemon's own it is `mtime_ns`.
        offset: where the part begins, bytes: a member of an archive begins somewhere in it.
        length: bytes of the part.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    offset: int
    length: int

    def settled(self, now: datetime) -> bool:
        """Whether the file's last change is so long ago that another one would show.

        A change within the clock's granularity of the last would not. Times in the future are not to be relied on
        either.
        """
        return max(self.mtime_ns, self.ctime_ns) <= int(now.timestamp() * 1e9) - _SETTLED_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a delivery ended.

    Attributes:
        state: terminal.
        digest: what was read back from the registry, where it succeeded.
        failure: why it failed.
    """

    state: DeliveryState
    digest: Digest | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFile:
    """A file in a spool entry.

    Attributes:
        name: its digest once complete, or under which it arrives.
        offset: bytes that are there.
    """

    name: str
    offset: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEntry:
    """An entry of the spool.

    Attributes:
        size: bytes reserved for it.
        expires_at: when it goes unless more bytes come, or a job that needs it.
    """

    id: str
    size: int
    created_at: datetime
    expires_at: datetime
    files: tuple[SpoolFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was tried to find out how a registry is spoken to.

    Attributes:
        check: which: `destination`, `credential`, `resolve`, `connect`, `tls`, `clock`, `api`, `push`, `chunked`,
            `streamed` or `monolithic`.
        ok: whether it is as it should be; None when that could not be told.
        detail: what was found.
        hint: the next step where it is not as it should be, or empty.
    """

    check: str
    ok: bool | None
    detail: str
    hint: str = ""
