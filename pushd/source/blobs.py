"""The blobs of an image: under their digests in a layout (OCI image spec, image-layout.md, "Blobs"), or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushd.errors import Code, SourceError
from pushd.oci.gathering import with_referrers
from pushd.oci.image import read_image
from pushd.source.about import About
from pushd.source.faults import IrregularFileError, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.source.extent import Extent
    from pushd.source.index import Entry


class Files(Protocol):
    """The files of an image."""

    def open(self, path: tuple[str, ...], subject: str) -> Extent:
        """Open a file by the components of its path; errors in reading it name `subject`.

        Raises:
            SourceError: `source.forbidden`, `source.changed`.
            OSError: FileNotFoundError and IrregularFileError among others.
        """

    def close(self) -> None:
        """Release what is open. Idempotent."""


class Blobs:
    """What is under `blobs` among some files. Threads may share it; its methods block."""

    __slots__ = ("_files", "_subject")

    def __init__(self, files: Files, subject: str) -> None:
        """Look among `files`, which stay the caller's; `subject` is what errors name."""
        self._files = files
        self._subject = subject

    def image(self, root: Descriptor, platforms: Collection[Platform]) -> Image:
        """Read and check a root and all manifests below it; raises as `read_complete` does."""
        return read_complete(root, lambda document: self.open(document).whole(), self.open, platforms)

    def with_referrers(self, image: Image, entries: Collection[Entry]) -> Image:
        """Give an image with what refers to it among the entries of an `index.json`, complete as well.

        Raises:
            SourceError: as `read_complete` and `with_referrers` do.
        """

        def fetch(document: Descriptor) -> bytes:
            return self.open(document).whole()

        whole = with_referrers(image, About(entries, fetch, image).look, fetch)
        for blob in dict.fromkeys(whole.blobs).keys() - set(image.blobs):
            self.open(blob).close()
        return whole

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading; raises as `open_blob` does."""
        return open_blob(self._files, path_of(blob.digest), blob, self._subject)


def path_of(digest: Digest) -> tuple[str, str, str]:
    """Give the components of the path a blob has in a layout."""
    return "blobs", digest.algorithm, digest.encoded


def read_complete(
    root: Descriptor,
    fetch: Callable[[Descriptor], bytes],
    open_: Callable[[Descriptor], Extent],
    platforms: Collection[Platform],
) -> Image:
    """Read and check a root and all manifests below it, and that each blob is there with its size.

    Args:
        root: the document to begin with.
        fetch: reads a document, or a config; asked for none that is too large to be read at once.
        open_: opens a blob.
        platforms: what is read of an index, as `read_image` has it; all when there are none.

    Raises:
        SourceError: with the code of what is wrong and the name of where.
    """
    image = read_image(root, fetch, platforms)
    for blob in image.blobs:
        open_(blob).close()
    return image


def open_blob(files: Files, path: tuple[str, ...], blob: Descriptor, subject: str, *, missing: str = "") -> Extent:
    """Open one blob for reading.

    Args:
        files: where it is.
        path: where it should be among them.
        blob: what it should be; only its size is looked at.
        subject: what errors name the files.
        missing: the next step where it is not there.

    Raises:
        SourceError: `source.blob_missing`, `source.blob_not_regular`, `source.blob_size` (not `blob.size`),
            `source.unreadable`, `source.forbidden`, `source.changed`.
    """
    where = f"{blob.digest} in {subject}"
    try:
        extent = files.open(path, where)
    except FileNotFoundError as error:
        raise SourceError(Code.SOURCE_BLOB_MISSING, where, "is not there", hint=missing) from error
    except IrregularFileError as error:
        detail = "is not a regular file, or lies behind a symbolic link"
        hint = "inside the directory of an image no link is followed: copy it with cp -rL"
        raise SourceError(Code.SOURCE_BLOB_NOT_REGULAR, where, detail, hint=hint) from error
    except OSError as error:
        raise unreadable(error, where) from error
    if extent.size != blob.size:
        extent.close()
        detail = f"has {extent.size} bytes; its descriptor says {blob.size}"
        raise SourceError(Code.SOURCE_BLOB_SIZE, where, detail)
    return extent
