"""The spool as the API sees it, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pushd.errors import Code, OffsetError, RequestError
from pushd.oci.digest import Digest
from pushd.spool.name import file_digest
from pushd.work import SpoolEntry, SpoolFile
from tests.fakes.jobs import NOON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class _Entry:
    uid: int
    size: int
    files: dict[str, bytearray] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)

    @property
    def held(self) -> int:
        return sum(map(len, self.files.values()))


@dataclass
class FakeSpool:
    """Fulfils `pushd.api.ports.Spool`.

    Attributes:
        quota: bytes one user may reserve.
    """

    quota: int = 1 << 30
    _entries: dict[str, _Entry] = field(default_factory=dict)

    async def create(self, *, uid: int, size: int, ttl: float | None) -> SpoolEntry:
        _ = ttl
        if size > self.quota:
            raise RequestError(Code.REQUEST_LIMIT, "size", f"is more than the {self.quota} bytes a user has")
        entry = f"entry{len(self._entries):05}"
        self._entries[entry] = _Entry(uid, size)
        return self._shown(entry)

    async def get(self, entry: str, *, uid: int) -> SpoolEntry:
        self._found(entry, uid)
        return self._shown(entry)

    async def resize(self, entry: str, *, uid: int, size: int) -> SpoolEntry:
        found = self._found(entry, uid)
        if size > self.quota:
            raise RequestError(Code.REQUEST_LIMIT, "size", f"is more than the {self.quota} bytes a user has")
        found.size = max(size, found.held)
        return self._shown(entry)

    async def remove(self, entry: str, *, uid: int) -> None:
        self._found(entry, uid)
        del self._entries[entry]

    async def receive(
        self, entry: str, name: str, *, uid: int, offset: int, pieces: AsyncIterator[bytes], complete: bool
    ) -> SpoolFile:
        found = self._found(entry, uid)
        expected = file_digest(name)
        if name in found.complete:
            return SpoolFile(name=name, offset=len(found.files[name]), complete=True)
        file = found.files.setdefault(name, bytearray())
        if offset != len(file):
            raise OffsetError(name, len(file))
        async for piece in pieces:
            if found.held + len(piece) > found.size:
                raise RequestError(Code.REQUEST_LIMIT, entry, f"is more than the {found.size} bytes reserved")
            file += piece
        if not complete:
            return SpoolFile(name=name, offset=len(file), complete=False)
        digest = Digest.of(bytes(file))
        del found.files[name]
        if expected not in (None, digest):
            raise RequestError(Code.REQUEST_INVALID_DIGEST, name, f"is {digest}")
        found.files[str(digest)] = file
        found.complete.add(str(digest))
        return SpoolFile(name=str(digest), offset=len(file), complete=True)

    def _found(self, entry: str, uid: int) -> _Entry:
        found = self._entries.get(entry)
        if found is None or found.uid != uid:
            raise RequestError(Code.REQUEST_NOT_FOUND, entry, "is no entry of the spool")
        return found

    def _shown(self, entry: str) -> SpoolEntry:
        found = self._entries[entry]
        return SpoolEntry(
            id=entry,
            size=found.size,
            created_at=NOON,
            expires_at=NOON + timedelta(hours=1),
            files=tuple(
                SpoolFile(name=name, offset=len(file), complete=name in found.complete)
                for name, file in found.files.items()
            ),
        )
