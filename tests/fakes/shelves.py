"""What the fake registry holds: repositories with their blobs, manifests, tags and upload sessions. No HTTP here."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.behaviour import Told

if TYPE_CHECKING:
    from collections.abc import Iterator


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Compute `algorithm:hex`."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob; `content` is None when it was too large to be kept."""

    digest: str
    size: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, byte for byte as it was put."""

    digest: str
    media_type: str
    content: bytes


class Session:
    """One upload session.

    Attributes:
        size: bytes received.
        offsets: for each `_state` given out, the size it was given out at; the newest last.
        writer: whoever writes to it; the newest does, and an earlier one that still hangs writes no more.
        short: whether a chunk smaller than the announced minimum has come.
        settled: bytes after the last request that came to its end.
        first: bytes of the first chunk that was taken.
        newest: bytes of the newest one.
    """

    def __init__(self, discard_above: int) -> None:
        self.id = str(uuid.uuid4())
        self.size = 0
        self.offsets: dict[str, int] = {}
        self.writer: object = None
        self.short = False
        self.settled = 0
        self.first = 0
        self.newest = 0
        self._discard_above = discard_above
        self._sha256 = hashlib.sha256()
        self._content: bytearray | None = bytearray()

    def append(self, piece: bytes, writer: object) -> None:
        """Take more bytes from the newest writer; what an earlier one still brings is dropped."""
        if writer is not self.writer:
            return
        self.size += len(piece)
        self._sha256.update(piece)
        if self._content is not None:
            self._content += piece
            if self.size > self._discard_above:
                self._content = None

    def renew(self) -> str:
        """Give out a new `_state`."""
        state = uuid.uuid4().hex
        self.offsets[state] = self.size
        return state

    def took(self, count: int) -> None:
        """Note that a chunk of so many bytes was taken."""
        self.first = self.first or count
        self.newest = count

    def settle(self) -> None:
        """Drop what came after the last request that came to its end, and whoever still brings more."""
        self.writer = None
        if self.size == self.settled:
            return
        if self._content is None:
            raise NotImplementedError("what was discarded cannot be cut")
        del self._content[self.settled :]
        self.size = self.settled
        self._sha256 = hashlib.sha256(self._content)

    def range(self, told: Told) -> str:
        """`Range` as registries say it: inclusive, and `0-0` for nothing as well as for one byte."""
        if told is Told.ONE_MORE:
            return f"0-{self.size or -1}"
        counts = {Told.BLOB: self.size, Told.FIRST_CHUNK: self.first, Told.CHUNK: self.newest}
        return f"0-{max(counts[told] - 1, 0)}"

    def close(self, digest: str) -> Blob | None:
        """Give the blob, or None when the bytes are not what `digest` names."""
        algorithm = digest.partition(":")[0]
        content = None if self._content is None else bytes(self._content)
        if algorithm == "sha256":
            actual = f"sha256:{self._sha256.hexdigest()}"
        elif content is None:
            raise NotImplementedError(f"a discarded blob has no {algorithm}; keep it, or push by sha256")
        else:
            actual = digest_of(content, algorithm)
        return Blob(digest, self.size, content) if actual == digest else None


@dataclass(slots=True)
class Repository:
    """One repository."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)

    def manifest(self, reference: str) -> Manifest | None:
        """Find a manifest by tag or digest."""
        return self.manifests.get(self.tags.get(reference, reference))

    def missing(self, manifest: Manifest) -> list[str]:
        """Name what `manifest` refers to and this repository does not hold."""
        return [digest for digest in references(manifest.content) if digest not in self.blobs | self.manifests]

    def referrers(self, subject: str) -> list[dict[str, object]]:
        """Describe the manifests that have `subject` for their subject."""
        found = []
        for manifest in self.manifests.values():
            document = json.loads(manifest.content)
            if document.get("subject", {}).get("digest") != subject:
                continue
            config = document.get("config", {}).get("mediaType")
            described = {
                "mediaType": manifest.media_type,
                "digest": manifest.digest,
                "size": len(manifest.content),
                "artifactType": document.get("artifactType", config),
                "annotations": document.get("annotations"),
            }
            found.append({key: value for key, value in described.items() if value is not None})
        return found


def references(content: bytes) -> Iterator[str]:
    """Give the digests a manifest or index needs beside it: its subject may come later, foreign layers never."""
    document = json.loads(content)
    for descriptor in [document.get("config"), *document.get("layers", ()), *document.get("manifests", ())]:
        if descriptor and not descriptor.get("urls"):
            yield descriptor["digest"]
