"""Files of credentials, read again whenever they have changed: every job asks, and few change them."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.credentials.credential import Credential
from pushd.credentials.faults import malformed, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.credentials.docker import DockerConfig

    Held = DockerConfig | Credential
    """What a file may hold."""
    Parse = Callable[[bytes, str], Held]
    """Makes that of the content of a file and its path."""

_LIMIT: Final = 1 << 20  # bytes
_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH
_SETTLED = 2.0
"""Seconds after which a further change shows in a file's times: the coarsest, FAT's, count in two seconds."""

_Identity = tuple[int, int, int, int, int, int]


class UnreadError(Exception):
    """A file is to be read, and whoever asked does not want to wait for that."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A file that holds secrets and is open to everybody on the machine.

    Attributes:
        path: of the file.
        mode: its permission bits.
    """

    path: str
    mode: int


class Files:
    """Files, as they were when they were read last."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[_Identity, Held]] = {}
        self._noticed: dict[str, _Identity] = {}
        self._exposed: deque[Exposed] = deque()

    def known(self, path: str, parse: Parse) -> Held | None:
        """As `read`, where one look at the file's times tells that it need not be read.

        Raises:
            UnreadError: it must be.
            RegistryError: as `read`.
        """
        return self._get(path, parse, may_read=False)

    def read(self, path: str, parse: Parse) -> Held | None:
        """Give what a file holds; None when it is not there. Blocks for as long as the disk takes.

        Args:
            path: of the file.
            parse: always the same for the same path.

        Raises:
            RegistryError: `registry.credentials_unreadable`; `registry.credentials_malformed`, it is too long; and
                what `parse` raises.
        """
        return self._get(path, parse, may_read=True)

    def exposed(self) -> list[Exposed]:
        """Give the files noticed since this was asked last: each once, and again when it has changed."""
        return [self._exposed.popleft() for _ in range(len(self._exposed))]

    def _get(self, path: str, parse: Parse, *, may_read: bool) -> Held | None:
        try:
            identity = _identity(os.stat(path))  # noqa: PTH116 (a Path would take longer to make than this)
            known = self._read.get(path)
            if known is not None and known[0] == identity:
                return known[1]
            if not may_read:
                raise UnreadError(path)
            content, status = _content(path)
        except (FileNotFoundError, NotADirectoryError):
            self._read.pop(path, None)
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        held = parse(content, path)
        self._notice(path, held, status)
        self._read.pop(path, None)
        if time.time() - max(status.st_mtime, status.st_ctime) >= _SETTLED:  # another change could still look the same
            self._read[path] = _identity(status), held
        return held

    def _notice(self, path: str, held: Held, status: os.stat_result) -> None:
        identity = _identity(status)
        secret = isinstance(held, Credential) or held.holds_secret
        if status.st_mode & _OTHERS and secret and self._noticed.get(path) != identity:
            self._noticed[path] = identity
            self._exposed.append(Exposed(path, stat.S_IMODE(status.st_mode)))


def _content(path: str) -> tuple[bytes, os.stat_result]:
    # A FIFO would be waited for, and a device has no end.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(_LIMIT + 1)
    finally:
        os.close(fd)
    if len(content) > _LIMIT:
        raise malformed(path, f"is longer than {_LIMIT >> 20} MiB")
    return content, status


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns
