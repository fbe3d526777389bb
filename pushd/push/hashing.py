"""How the bytes of a blob are hashed as they pass: for one reader, for several at once, or not again.

Fed on the threads that read, judged on the event loop.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from pushd.errors import Code, SourceError

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest, Hasher
    from pushd.work import FileIdentity


_MARKS = 64
"""Places a hash can go back to, beside the start."""


def mismatch(digest: Digest, found: str) -> SourceError:
    """Say that a blob's bytes have another digest than its name; `found`: the hex of it."""
    detail = f"the blob's bytes have the digest {digest.algorithm}:{found}"
    hint = "the source is damaged; build or copy it again"
    return SourceError(Code.SOURCE_BLOB_DIGEST, str(digest), detail, hint=hint)


def compare(hashing: Hashing, blob: Descriptor, position: int) -> None:
    """Compare what went through a hash, `position` bytes and so all of them, with the digest of a blob.

    Raises:
        SourceError: `source.blob_digest`.
    """
    if position != blob.size:
        raise ValueError(f"only {position} of {blob.size} bytes went through the hash")
    found = hashing.found()
    if found != blob.digest.encoded:
        raise mismatch(blob.digest, found)


class Hashing(Protocol):
    """Takes the bytes of one blob, from its first to its last."""

    def take(self, offset: int, piece: bytes) -> None:
        """Take the piece at `offset`. Blocks; called on one thread at a time for each reader.

        A reader that gives the end of the blob returns when all of it has been hashed.
        """

    def passed(self, stop: int) -> bool:
        """Whether another reader has just had the bytes up to `stop` hashed: not to be taken, and in memory."""

    def mark(self, offset: int) -> None:
        """Note that this reader may have to come back to `offset`, where it stands."""

    def rewind(self, offset: int) -> int:
        """Go to `offset`; give from where on bytes must be taken again to get there, `offset` for nowhere."""

    def found(self) -> str:
        """Give the hex of the digest, after all bytes."""


class Known:
    """The bytes were hashed before, and the file has not changed since. The registry still compares them."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest

    def take(self, offset: int, piece: bytes) -> None:
        """Let it pass."""

    def passed(self, stop: int) -> bool:  # noqa: ARG002 (none of them)
        """Know nothing of when they were read: the disk may be needed."""
        return False

    def mark(self, offset: int) -> None:
        """Note nothing."""

    def rewind(self, offset: int) -> int:
        """Be there."""
        return offset

    def found(self) -> str:
        """Give what was found then."""
        return self._digest.encoded


class Own:
    """One reader and its own hash: whatever is sent has been hashed, and is hashed again when it is read again."""

    def __init__(self, digest: Digest) -> None:
        self._hasher: Hasher = digest.hasher()
        self._marks: list[tuple[int, Hasher]] = [(0, digest.hasher())]

    def take(self, offset: int, piece: bytes) -> None:  # noqa: ARG002 (whatever is taken follows what was)
        """Hash it."""
        self._hasher.update(piece)

    def passed(self, stop: int) -> bool:  # noqa: ARG002 (none of them)
        """Have nobody else."""
        return False

    def mark(self, offset: int) -> None:
        """Keep a copy: it costs less than a microsecond, and saves reading the blob from its start.

        Of the last few only, and of the start: a blob of a terabyte has more than anybody goes back to.
        """
        if offset > self._marks[-1][0]:
            self._marks.append((offset, self._hasher.copy()))
            del self._marks[1:-_MARKS]

    def rewind(self, offset: int) -> int:
        """Go back to the last mark that does not lie behind `offset`."""
        while offset < self._marks[-1][0]:
            del self._marks[-1]
        at, hasher = self._marks[-1]
        self._hasher = hasher.copy()
        return at

    def found(self) -> str:
        """Give it."""
        return self._hasher.hexdigest()


class Shared:
    """One hash for all who read the same unchanged file at once: whoever is in front hashes, the others follow.

    Every reader takes every piece, so what is in front of the hash is always the next piece: nobody waits for a reader
    whose registry is slow.
    """

    def __init__(self, digest: Digest, size: int) -> None:
        self._size = size
        self._claimed = self._hashed = 0
        self._hasher = digest.hasher()
        self._moved = threading.Condition()

    def take(self, offset: int, piece: bytes) -> None:
        """Hash what nobody has hashed or is just hashing."""
        stop = offset + len(piece)
        with self._moved:
            start = self._claimed
            if offset > start:
                raise ValueError(f"the hash stands at {start}, the piece starts at {offset}")
            self._claimed = max(start, stop)
            # What comes before is being hashed at this moment: a millisecond.
            before = start if start < stop else self._size if stop == self._size else 0
            self._moved.wait_for(lambda: self._hashed >= before)
        if start < stop:
            self._hasher.update(memoryview(piece)[start - offset :])
            with self._moved:
                self._hashed = stop
                self._moved.notify_all()

    def passed(self, stop: int) -> bool:
        """Whether whoever is in front is done with them."""
        return self._hashed >= stop

    def mark(self, offset: int) -> None:
        """Note nothing: the hash never goes back."""

    def rewind(self, offset: int) -> int:
        """Be there, as far as the hash has come."""
        return min(offset, self._claimed)

    def found(self) -> str:
        """Give it."""
        return self._hasher.hexdigest()


class Hashings:
    """The hashes of all blobs on their way."""

    def __init__(self) -> None:
        self._shared: WeakValueDictionary[tuple[FileIdentity, Digest], Shared] = WeakValueDictionary()

    def of(self, identity: FileIdentity, digest: Digest, *, known: Digest | None, now: datetime) -> Hashing:
        """Give what is to take the bytes of a blob that lies in a file.

        Args:
            identity: of the file.
            digest: of the blob.
            known: the digest it was found to have before, if any.
            now: the time; a file that changed a moment ago could change again and look the same, and shares nothing.
        """
        if known == digest:
            return Known(digest)
        if not identity.settled(now):
            return Own(digest)
        return self._shared.setdefault((identity, digest), Shared(digest, identity.length))
