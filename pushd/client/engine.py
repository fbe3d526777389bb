"""A container engine, asked for an image over its socket with the caller's own rights.

It is Docker's Engine API, "Export an image", which podman answers to as well. The path has no version: an engine takes
that as its newest one, and refuses those it finds too old.
"""

from __future__ import annotations

import io
import os
import socket
from typing import TYPE_CHECKING, Any, Final, Self

from pushd.client.framing import read_body, read_head
from pushd.client.targets import quote
from pushd.errors import Code, SourceError
from pushd.oci.text import printable
from pushd.source.engine_answer import (
    BEGIN_WITHIN,
    CONNECT_WITHIN,
    END,
    GO_ON_WITHIN,
    MESSAGE,
    broken_off,
    no_engine,
    refused,
    regret,
    silent,
    unopened,
)
from pushd.source.name import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

_OK: Final = 200


class Export(io.RawIOBase):
    """An image on its way out of an engine: an archive as `docker save` writes it, read once and forwards.

    Attributes:
        engine: what errors call where it comes from.
    """

    def __init__(self, image: str, path: str, connection: socket.socket) -> None:
        """Take over a connection to the engine at `path`, which was not asked yet (see `ask`)."""
        super().__init__()
        self.engine = printable(f"the engine at {path}", SHOWN)
        self._subject = printable(f"{image} in {self.engine}", SHOWN)
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._pieces: Iterator[bytes] = iter(())
        self._left = memoryview(b"")
        self._end = b""
        self._began = False

    @classmethod
    def ask(cls, image: str, sockets: Sequence[str]) -> Self:
        """Ask the first engine that lets the caller in at one of `sockets` for `image`, and wait for its answer.

        Raises:
            SourceError: `source.not_found`, it has no such image; `source.unreadable`, there is no such engine, or it
                answered with an error, or not in time.
        """
        export = cls(image, *_connected(image, sockets))
        try:
            export._pieces = export._asked(image)
        except BaseException:
            export.close()
            raise
        return export

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; none at the end.

        Raises:
            SourceError: `source.unreadable`; it broke off.
        """
        if not self._left:
            self._left = memoryview(self._next())
        part = self._left[: len(buffer)]
        buffer[: len(part)] = part
        self._left = self._left[len(part) :]
        return len(part)

    def regret(self) -> str:
        """Read to the end, unless that is far, and give what stands there of why it is no whole archive; or nothing.

        Docker that has begun to answer cannot say it otherwise (moby/moby, `getImagesGet`).
        """
        seen = 0
        while seen < END and (piece := self._next()):
            seen += len(piece)
        return regret(self._end)

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._stream.close()
        self._connection.close()
        super().close()

    def _next(self) -> bytes:
        try:
            piece = next(self._pieces, b"")
        except (OSError, ValueError) as error:
            raise self._broken(error) from error
        if piece and not self._began:
            self._began = True
            self._connection.settimeout(GO_ON_WITHIN)
        self._end = (self._end + piece)[-END:]
        return piece

    def _asked(self, image: str) -> Iterator[bytes]:
        """Ask for the image, and give its bytes as they come."""
        name = "/".join(quote(step) for step in image.split("/"))
        head = f"GET /images/{name}/get HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"
        try:
            self._connection.settimeout(BEGIN_WITHIN)
            self._connection.sendall(head.encode())
            status, headers = read_head(self._stream)
        except (OSError, ValueError) as error:
            raise self._broken(error) from error
        if status != _OK:
            raise refused(self._subject, status, _error(self._stream, headers))
        return read_body(self._stream, headers)

    def _broken(self, error: OSError | ValueError) -> SourceError:
        if isinstance(error, TimeoutError):
            return silent(self._subject, GO_ON_WITHIN if self._began else BEGIN_WITHIN)
        if isinstance(error, OSError):
            return broken_off(self._subject)
        return no_engine(self._subject, hint="name the socket of Docker or podman in DOCKER_HOST=unix:///PATH")


def _connected(image: str, sockets: Sequence[str]) -> tuple[str, socket.socket]:
    """Connect to the first socket that somebody listens at and the caller may open."""
    tried = []
    denied = False
    for path in sockets:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_WITHIN)
        try:
            connection.connect(path)
        except (OSError, ValueError) as error:
            connection.close()
            denied = denied or isinstance(error, PermissionError)
            tried.append(f"{path} {unopened(error, f'you, uid {os.geteuid()}')}")
        else:
            return path, connection
    hint = "start Docker or podman (`systemctl --user start podman.socket`), or name its socket in DOCKER_HOST"
    if denied:
        hint = (
            "join those who may, as the group docker (they are as good as root), or have one of them pipe it:"
            " docker save IMAGE | pushctl push - DESTINATION"
        )
    detail = printable(f"no engine answers: {', '.join(tried)}", SHOWN)
    raise SourceError(Code.SOURCE_UNREADABLE, printable(image, SHOWN), detail, hint=hint)


def _error(stream: BinaryIO, headers: Mapping[str, str]) -> bytes:
    """Read what an engine says of an error, as far as it gets to."""
    content = b""
    try:
        for piece in read_body(stream, headers):
            content += piece
            if len(content) > MESSAGE:
                break
    except (OSError, ValueError):
        pass
    return content[:MESSAGE]
