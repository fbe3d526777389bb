"""Work handed between the engine and the store: the values both sides of `JobStore` speak.

They live here because the two rooms never import one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.job import DeliveryState, Failure, JobSpec, TransferState, Verify
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted job on its way to the disk.

    Attributes:
        job_id: fresh and unguessable.
        registries: for each destination of the spec, in order, the registry part of it.
        idempotency_key: the caller's, or None.
        fingerprint: a hash of the request body, to tell a repeated request from another under the same key.
    """

    job_id: str
    spec: JobSpec
    registries: tuple[str, ...]
    image: Image
    uid: int
    created_at: datetime
    deadline_at: datetime
    idempotency_key: str | None = None
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery taken on by this life of the daemon. Every write for it carries `epoch` and `attempt`.

    Attributes:
        attempt: how often it was claimed, this time included: no two claims of a delivery have the same.
        tries: how often it was tried, this time included: what patience is counted by. A claim that was released,
            given back or cut short by a crash was no try; one that ended in a hold was.
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
class FileIdentity:
    """What a file, or a part of it, can be told by without reading it, as `fstat` gives it.

    Attributes:
        size: bytes of the whole file.
        mtime_ns: nanoseconds since 1970-01-01 UTC.
        ctime_ns: likewise; no program can set it back.
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
