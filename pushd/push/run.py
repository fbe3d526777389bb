"""A delivery under way, as its transfers see it: where it goes, what it may use, and how it is stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushd.push.hashing import Hashings
from pushd.push.locks import KeyedLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    import anyio

    from pushd.oci.digest import Digest
    from pushd.oci.upload import Checkpoint
    from pushd.push.bandwidth import Bandwidth
    from pushd.push.origin import Origin
    from pushd.push.places import Places
    from pushd.push.ports.emit import Emit
    from pushd.push.ports.registry import Registry
    from pushd.push.ports.source import Source
    from pushd.push.ports.store import JobStore
    from pushd.push.progress import Board
    from pushd.work import Claim, TransferKey


@dataclass(slots=True, eq=False)
class Stop:
    """What it means for a delivery to be cut short.

    Attributes:
        abandoned: it is over, and no upload session is left at the registry; otherwise they stay as they are, to
            be taken up again.
        draining: the daemon is to stop, or the delivery to be paused: uploads end at their next boundary, and
            nothing new begins.
    """

    abandoned: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """How a delivery stops whose tag moves with others: everything is there but that, and it waits for them."""


class DrainedError(Exception):
    """Work stopped at a boundary because it was asked to; where it stands is on the disk."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A delivery under way, as its transfers see it.

    Attributes:
        repository: where its blobs go.
        source: where they come from.
        mount_from: the repository of the same registry they may be mounted from, where they come from there.
        known: what is known of them, as `JobStore.plan` gives it.
    """

    claim: Claim
    registry: Registry
    repository: str
    source: Source | Origin
    known: Mapping[Digest, Checkpoint | str]
    stop: Stop
    mount_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all transfers share.

    Attributes:
        threads: where blobs are read and hashed.
        rng: gives numbers in [0, 1).
        rehashing: how many blobs are read again at once after a restart, for the hash of what was sent before: a
            hundred of them would only keep each other, and those that could send, from the disk.
        alone: two deliveries with the same need go one after the other: the second finds the blob there, or takes
            up the session where the first left it, with its own reader and on its own account.
        hashings: what the bytes of blobs go through: those that several deliveries read are hashed once.
    """

    store: JobStore
    places: Places
    bandwidth: Bandwidth
    board: Board
    threads: Executor
    emit: Emit
    rng: Callable[[], float]
    rehashing: anyio.CapacityLimiter
    alone: KeyedLocks[TransferKey] = field(default_factory=KeyedLocks)
    hashings: Hashings = field(default_factory=Hashings)
