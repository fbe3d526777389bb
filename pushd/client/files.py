"""The files of an artifact, read as the caller, as a source of one image that can be brought to the daemon's spool.

All are read once before the first byte is brought, since the manifest names their digests; what is different when it
is read again was changed.
"""

from __future__ import annotations

import os
import stat
import tempfile
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from pushd.client.bringing import bring_image
from pushd.client.opening import open_at, refused, whole
from pushd.client.packing import FullError, pack
from pushd.errors import Code, SourceError
from pushd.oci.artifact import EMPTY, EMPTY_CONTENT, TITLE, Layer, build_artifact
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from pushd.oci.media_types import OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST
from pushd.source.extent import Extent, Identity, changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.client.artifact import Artifact
    from pushd.client.conversation import Conversation
    from pushd.job import Spooled
    from pushd.oci.image import Image

T = TypeVar("T")

_UNPACK: Final = "io.deis.oras.content.unpack"
"""Annotation of a layer: it is a directory, which oras unpacks where it pulls it."""
_PLAIN: Final = "io.deis.oras.content.digest"
"""Annotation of such a layer: the digest of its tar before it was compressed."""
_LARGE: Final = "/var/tmp"  # noqa: S108 (files without a name)
"""Where large temporary files belong: /tmp may be memory (file-hierarchy(7))."""

_ROOM: Final = "set TMPDIR to a directory with room for what is packed"


def bring_files(
    conversation: Conversation,
    artifact: Artifact,
    directory: str | None,
    use: Callable[[Spooled], T],
    *,
    progress: Callable[[int, int | None], None] | None,
    keep: bool,
) -> T:
    """Read the files of an artifact, bring them to the daemon's spool, and give what `use` makes of that.

    Raises:
        SourceError: as `Files.image` and `Files.open`.
        PushdError: the daemon's refusals, and what `use` raises.
    """
    files = Files(artifact, directory)
    try:
        return bring_image(conversation, files, files.image(), use, progress=progress, keep=keep)
    except SourceError as error:
        if error.code is Code.SOURCE_BLOB_DIGEST:  # too quick for the clock of its filesystem
            raise changed(files.called(error.subject)) from error
        raise
    finally:
        files.close()


class Files:
    """The files. What is made of them, packed directories above all, lies in one temporary file until `close`."""

    def __init__(self, artifact: Artifact, directory: str | None) -> None:
        """Read what is in `directory`; None for the one of this process.

        Raises:
            SourceError: `source.not_found`, `source.unreadable`; there is no such directory, or none for
                temporary files.
        """
        self._artifact = artifact
        self._directory = None if directory is None else _open_directory(directory)
        try:
            self._made = _temporary()
        except BaseException:
            self._close_directory()
            raise
        self._places: dict[Digest, tuple[str, Callable[[], Extent]]] = {}

    def image(self) -> Image:
        """Read all files, pack all directories, and give the image they are.

        Raises:
            SourceError: `source.not_found`, `source.unreadable`, `source.blob_not_regular`, `source.changed`; of a file
                that is named. `source.manifest_too_large`, they are too many.
        """
        self._made.write(EMPTY_CONTENT)
        self._place_made(EMPTY.digest, "what is empty", 0, EMPTY.size)
        layers = [self._layer(name, media_type) for name, media_type in self._artifact.files]
        content = build_artifact(self._artifact.artifact_type, layers, self._artifact.annotations)
        return read_image(Descriptor(OCI_MANIFEST, Digest.of(content), len(content)), lambda _: content)

    def open(self, blob: Descriptor) -> Extent:
        """Open what `image` named for reading.

        Raises:
            SourceError: `source.changed`, `source.unreadable`.
        """
        _, reopen = self._places[blob.digest]
        return reopen()

    def called(self, digest: str) -> str:
        """Give the name of the file that has a digest."""
        return self._places[Digest.parse(digest)][0]

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""
        self._made.close()
        self._close_directory()

    def _close_directory(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def _layer(self, name: str, media_type: str) -> Layer:
        try:
            fd, status = open_at(self._directory, name, name, follow=True)
        except FileNotFoundError as error:
            hint = "what follows a colon is a media type where it looks like one, such as text/plain"
            hint = hint if ":" in name else ""
            raise SourceError(Code.SOURCE_NOT_FOUND, name, "is not there", hint=hint) from error
        if stat.S_ISDIR(status.st_mode):
            try:
                return self._packed(fd, name, media_type or OCI_LAYER_GZIP)
            finally:
                os.close(fd)
        return self._plain(fd, status, name, media_type or OCI_LAYER)

    def _plain(self, fd: int, status: os.stat_result, name: str, media_type: str) -> Layer:
        identity = Identity.of(status)
        digest = whole(fd, status, name).digest()
        self._places[digest] = name, partial(self._reopen, name, identity)
        return Layer(Descriptor(media_type, digest, identity.size), {TITLE: name})

    def _packed(self, fd: int, name: str, media_type: str) -> Layer:
        start = self._made.tell()
        try:
            packed = pack(fd, name, self._made, mtime=self._artifact.epoch)
        except FullError as error:
            raise SourceError(Code.SOURCE_UNREADABLE, name, f"cannot be packed: {error}", hint=_ROOM) from error
        self._place_made(packed.digest, name, start, packed.size)
        annotations = {TITLE: name, _UNPACK: "true", _PLAIN: str(packed.plain)}
        return Layer(Descriptor(media_type, packed.digest, packed.size), annotations)

    def _reopen(self, name: str, identity: Identity) -> Extent:
        """Open a file once more, if it is the one it was."""
        try:
            fd, status = open_at(self._directory, name, name, follow=True)
        except FileNotFoundError as error:
            raise changed(name) from error
        if Identity.of(status) != identity:
            os.close(fd)
            raise changed(name)
        return whole(fd, status, name)

    def _place_made(self, digest: Digest, name: str, start: int, size: int) -> None:
        self._places[digest] = name, partial(self._open_made, name, start, size)

    def _open_made(self, name: str, start: int, size: int) -> Extent:
        fd = os.dup(self._made.fileno())
        return Extent(fd, Identity.of(os.fstat(fd)), start, size, name)


def _open_directory(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise SourceError(Code.SOURCE_NOT_FOUND, path, "is not there") from error
    except OSError as error:
        raise refused(error, path) from error


def _temporary() -> BinaryIO:
    """Open a file without a name, unbuffered, where there may be room for much."""
    directory = _LARGE if "TMPDIR" not in os.environ and os.access(_LARGE, os.W_OK) else None
    try:
        return tempfile.TemporaryFile(buffering=0, dir=directory)
    except OSError as error:
        detail = f"cannot be made: {error.strerror or error}"
        raise SourceError(Code.SOURCE_UNREADABLE, "a temporary file", detail, hint=_ROOM) from error
