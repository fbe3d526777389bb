from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.oci.digest import Digest
from pushd.spool import Limits, open_spool

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection, Iterator
    from pathlib import Path

    from pushd.errors import StoreError
    from pushd.oci.descriptor import Descriptor
    from pushd.spool import Spool
    from pushd.telemetry.events import Event
    from pushd.work import FileIdentity, SpoolFile
    from tests.fakes.images import Layout

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
ALICE, BOB = 1001, 1002


async def stream(*pieces: bytes, fails: BaseException | None = None) -> AsyncIterator[bytes]:
    """A body of these pieces, that breaks off with an error where it is told to."""
    for piece in pieces:
        yield piece
    if fails is not None:
        raise fails


@dataclass
class House:
    """What the spool stands in: its directory, its clock, and the rooms beside it.

    Attributes:
        needed: the entries that jobs need.
        asked: who is asked for them waits for this before they answer.
        refuses: what the daemon says when more room is asked for,
        fits: unless this finds that there is room by then.
        keep: bytes of compressed layers that are kept for the next image.
        admitted: bytes it was asked for.
        checked: the files whose digests it was told.
    """

    directory: Path
    now: datetime = NOON
    per_user: int = 1 << 20
    ttl: float = 3600.0
    needed: set[str] = field(default_factory=set)
    asked: asyncio.Event | None = None
    refuses: StoreError | None = None
    fits: Callable[[], bool] = lambda: False
    keep: int = 0
    admitted: list[int] = field(default_factory=list)
    checked: list[tuple[FileIdentity, Digest]] = field(default_factory=list)
    forgets: StoreError | None = None
    told: list[Event] = field(default_factory=list)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Spool]:
        """Live once: from start to end."""
        spool = await open_spool(
            self.directory,
            limits=Limits(per_user=self.per_user, ttl=self.ttl, keep=self.keep),
            admit=self._admit,
            bound=self._bound,
            validated=self._validated,
            emit=self.told.append,
            threads=self.threads,
            now=lambda: self.now,
        )
        try:
            yield spool
        finally:
            spool.close()

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def on_disk(self, entry: str) -> dict[str, bytes]:
        """The files of an entry as they are: by their path in it."""
        root = self.directory / entry
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink() and path.name != "entry.json"
        }

    def _admit(self, size: int) -> None:
        self.admitted.append(size)
        if self.refuses is not None and not self.fits():
            raise self.refuses

    async def _bound(self) -> Collection[str]:
        if self.asked is not None:
            await self.asked.wait()
        return self.needed

    async def _validated(self, identity: FileIdentity, digest: Digest) -> None:
        if self.forgets is not None:
            raise self.forgets
        self.checked.append((identity, digest))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "spool")
    yield house
    house.threads.shutdown()


@pytest.fixture
async def spool(house: House) -> AsyncIterator[Spool]:
    async with house.open() as spool:
        yield spool


async def bring(
    spool: Spool,
    entry: str,
    content: bytes,
    *,
    name: str | None = None,
    offset: int = 0,
    complete: bool = True,
    uid: int = ALICE,
) -> SpoolFile:
    """Bring bytes in one piece, by default as the whole of the file they are."""
    name = str(Digest.of(content)) if name is None else name
    return await spool.receive(entry, name, uid=uid, offset=offset, pieces=stream(content), complete=complete)


async def made(spool: Spool, size: int = 1000, *, uid: int = ALICE, ttl: float | None = None) -> str:
    """The id of a fresh entry."""
    return (await spool.create(uid=uid, size=size, ttl=ttl)).id


@dataclass
class Reader:
    path: Path
    source: Layouted
    closed: bool = False

    def read(self, offset: int, length: int) -> bytes:
        self.source.before()
        with self.path.open("rb") as file:
            file.seek(offset)
            content = file.read(length)
        assert len(content) == length
        return content

    def copy_to(self, fd: int) -> None:
        self.source.before()
        content = self.path.read_bytes()
        assert os.write(fd, content) == len(content)

    def close(self) -> None:
        self.closed = True


@dataclass
class Layouted:
    """A source over a layout; `before` runs before each blob is copied, and before each piece is read."""

    layout: Layout
    before: Callable[[], None] = lambda: None
    readers: list[Reader] = field(default_factory=list)

    def open(self, blob: Descriptor) -> Reader:
        self.readers.append(Reader(self.layout.blob_path(blob.digest), self))
        return self.readers[-1]
