"""The blobs of an image, each under its digest (OCI image spec, image-layout.md, "Blobs")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushd.errors import Code, SourceError
from pushd.oci.image import read_image
from pushd.source.faults import IrregularFileError, unreadable

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.source.extent import Extent


class Files(Protocol):
    """The files of a layout."""

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

    def image(self, root: Descriptor) -> Image:
        """Read and check a root and all manifests below it, and that each blob is there with its size.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """
        # `read_image` asks for no document that is too large to be read at once.
        image = read_image(root, lambda document: self.open(document).whole())
        for blob in image.blobs:
            self.open(blob).close()
        return image

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading.

        Raises:
            SourceError: `source.blob_missing`, `source.blob_not_regular`, `source.blob_size` (not `blob.size`),
                `source.unreadable`, `source.forbidden`, `source.changed`.
        """
        subject = f"{blob.digest} in {self._subject}"
        try:
            extent = self._files.open(("blobs", blob.digest.algorithm, blob.digest.encoded), subject)
        except FileNotFoundError as error:
            raise SourceError(Code.SOURCE_BLOB_MISSING, subject, "is not there") from error
        except IrregularFileError as error:
            detail = "is not a regular file, or lies behind a symbolic link"
            hint = "inside a layout no link is followed: copy it with cp -rL"
            raise SourceError(Code.SOURCE_BLOB_NOT_REGULAR, subject, detail, hint=hint) from error
        except OSError as error:
            raise unreadable(error, subject) from error
        if extent.size != blob.size:
            extent.close()
            detail = f"has {extent.size} bytes; its descriptor says {blob.size}"
            raise SourceError(Code.SOURCE_BLOB_SIZE, subject, detail)
        return extent
