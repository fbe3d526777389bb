"""Where entries are on the disk. All of it blocks.

DIRECTORY/ENTRY/entry.json           its record, written whole and renamed into place
DIRECTORY/ENTRY/incoming/NAME        a file on its way in; its length is its offset
DIRECTORY/ENTRY/blobs/sha256/HEX     a file that is whole, has this digest, and is durable
DIRECTORY/ENTRY/names/LABEL          a symbolic link: which digest a file got that came without knowing it
DIRECTORY/.new-ENTRY, .gone-ENTRY    one being made, one being removed: left over only by a crash
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RequestError, StoreError
from pushd.oci.digest import Digest
from pushd.spool.faults import disk
from pushd.spool.name import file_digest, is_entry, is_label
from pushd.spool.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODE: Final = 0o700
NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
OLD_FILE: Final = os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC

RECORD: Final = "entry.json"
_RECORD_MAX: Final = 4096
_GONE: Final = ".gone-"
_NEW: Final = ".new-"


@dataclass(slots=True)
class Found:
    """An entry as it is on the disk.

    Attributes:
        record: None when it is damaged.
        blobs: sizes in bytes of the files that are whole, by digest.
        incoming: lengths in bytes of those on their way in, by name.
        labels: the digests of files that came without knowing them, by the names they came under.
    """

    id: str
    record: Record | None
    blobs: dict[str, int] = field(default_factory=dict)
    incoming: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class Shelf:
    """The directory of the spool, held by one daemon."""

    def __init__(self, directory: Path) -> None:
        """Take the directory, which is made if it is not there.

        Raises:
            StoreError: `store.unavailable`; it cannot be used, or another daemon has it.
        """
        self.directory = directory
        with disk(directory):
            directory.mkdir(mode=MODE, parents=True, exist_ok=True)
            if directory.stat().st_mode & 0o077:
                directory.chmod(MODE)
            self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Two daemons would sweep away each other's entries.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            hint = "each daemon needs a spool of its own: set directory in [spool]"
            raise StoreError(
                Code.STORE_UNAVAILABLE, str(directory), "another daemon has its spool there", hint=hint
            ) from error

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._fd)

    def scan(self) -> Iterator[Found]:
        """Read all entries."""
        with disk(self.directory), os.scandir(self._fd) as listing:
            names = [item.name for item in listing if is_entry(item.name)]
        for name in names:
            yield self._read(name)

    def make(self, entry: str, record: Record) -> None:
        """Make an entry. It is there whole and durable, or not at all."""
        new = self.directory / f"{_NEW}{entry}"
        with disk(self.directory):
            try:
                for part in ("", "incoming", "names", "blobs", "blobs/sha256"):
                    (new / part).mkdir(mode=MODE)
                self._save(new, record)
                for part in ("blobs", ""):
                    sync(new / part)
                new.rename(self.path(entry))
                os.fsync(self._fd)
            except OSError:
                shutil.rmtree(new, ignore_errors=True)
                raise

    def save(self, entry: str, record: Record) -> None:
        """Write the record of an entry anew."""
        with disk(self.directory):
            self._save(self.path(entry), record)

    def path(self, entry: str) -> Path:
        """Give where an entry is."""
        return self.directory / entry

    def incoming(self, entry: str, name: str) -> Path:
        """Give where a file is that is on its way in."""
        return self.directory / entry / "incoming" / name

    def blob(self, entry: str, digest: Digest) -> Path:
        """Give where a file is that is whole."""
        return self.directory / entry / "blobs" / digest.algorithm / digest.encoded

    def settle(self, entry: str, name: str, digest: Digest) -> None:
        """Put a file that came under `name`, whole and synced, where its digest says; durable."""
        with disk(self.directory):
            target = self.blob(entry, digest)
            self._shelve(target.parent)
            if is_label(name):
                # First the name and then the file: a crash between them leaves a name that leads nowhere, and is
                # nothing; the other way round, a caller who did not hear the answer could never ask for it again.
                self.label(entry, name, digest)
            self.incoming(entry, name).rename(target)
            sync(target.parent)

    def shelve(self, entry: str, name: str, digest: Digest) -> None:
        """Put a file that was made under `name`, whole and synced, where its digest says; durable."""
        with disk(self.directory):
            target = self.blob(entry, digest)
            self._shelve(target.parent)
            self.incoming(entry, name).rename(target)
            sync(target.parent)

    def label(self, entry: str, name: str, digest: Digest) -> None:
        """Write down which digest a file got that came without knowing it."""
        with disk(self.directory):
            link = self.path(entry) / "names" / name
            link.unlink(missing_ok=True)
            link.symlink_to(f"../blobs/{digest.algorithm}/{digest.encoded}")
            sync(link.parent)

    def drop(self, entry: str, name: str) -> None:
        """Remove a file that is on its way in."""
        with disk(self.directory):
            self.incoming(entry, name).unlink(missing_ok=True)

    def sync_blobs(self, entry: str, digests: Iterable[Digest]) -> None:
        """Make files that were put there otherwise durable, and that they are there."""
        with disk(self.directory):
            parents = set()
            for digest in digests:
                path = self.blob(entry, digest)
                parents.add(path.parent)
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
            for parent in parents:
                sync(parent)

    def new_blob(self, entry: str, digest: Digest) -> int:
        """Give a descriptor of a new, empty file where its digest says."""
        with disk(self.directory):
            path = self.blob(entry, digest)
            self._shelve(path.parent)
            return os.open(path, NEW_FILE, 0o600)

    def remove(self, entry: str) -> None:
        """Remove an entry: it is there no more, at once and whole; then what it took is freed. Idempotent."""
        self.free(self.put_away(entry))

    def put_away(self, entry: str) -> str:
        """Have an entry be there no more; give what is to be freed of it. Idempotent."""
        gone = f"{_GONE}{entry}"
        with disk(self.directory), suppress(FileNotFoundError):
            self.path(entry).rename(self.directory / gone)
        return gone

    def leftovers(self) -> list[str]:
        """Give what a crash left over, to be freed: names in the directory."""
        with disk(self.directory), os.scandir(self._fd) as listing:
            return [item.name for item in listing if item.name.startswith((_GONE, _NEW))]

    def free(self, name: str) -> None:
        """Free what is left over; what cannot be freed now is left over still when the daemon starts again."""
        shutil.rmtree(self.directory / name, ignore_errors=True)

    @staticmethod
    def _shelve(path: Path) -> None:
        """Make the directory of another algorithm than the usual one."""
        if not path.exists():
            path.mkdir(mode=MODE, exist_ok=True)
            sync(path.parent)

    @staticmethod
    def _save(path: Path, record: Record) -> None:
        draft = path / ".entry.json"
        draft.unlink(missing_ok=True)
        fd = os.open(draft, NEW_FILE, 0o600)
        try:
            os.write(fd, record.encode())
            os.fdatasync(fd)
        finally:
            os.close(fd)
        draft.rename(path / RECORD)

    def _read(self, entry: str) -> Found:
        path = self.path(entry)
        found = Found(entry, _record(path / RECORD))
        with suppress(OSError):
            for name, size in _files(path / "incoming"):
                with suppress(RequestError):
                    file_digest(name)
                    found.incoming[name] = size
        with suppress(OSError), os.scandir(path / "blobs") as listing:
            for algorithm in [item.name for item in listing]:
                for encoded, size in _files(path / "blobs" / algorithm):
                    with suppress(RequestError):
                        found.blobs[str(Digest.parse(f"{algorithm}:{encoded}"))] = size
        with suppress(OSError), os.scandir(path / "names") as listing:
            for item in listing:
                algorithm, _, encoded = str(Path(item.path).readlink()).removeprefix("../blobs/").partition("/")
                digest = f"{algorithm}:{encoded}"
                if digest in found.blobs:
                    found.labels[item.name] = digest
        return found


def sync(directory: Path) -> None:
    """Make durable what names are in a directory."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _record(path: Path) -> Record | None:
    with suppress(OSError, ValueError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return Record.parse(os.read(fd, _RECORD_MAX))
        finally:
            os.close(fd)
    return None


def _files(directory: Path) -> list[tuple[str, int]]:
    with os.scandir(directory) as listing:
        return [
            (item.name, item.stat(follow_symlinks=False).st_size)
            for item in listing
            if item.is_file(follow_symlinks=False)
        ]
