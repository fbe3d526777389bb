"""An OCI image layout as a source, wherever its files are (OCI image spec, image-layout.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushd.errors import Code, SourceError
from pushd.oci.image import read_image
from pushd.oci.manifest import MAX_SIZE, too_large
from pushd.source.archive import Archive
from pushd.source.directory import Directory
from pushd.source.faults import IrregularFileError, unreadable
from pushd.source.index import check_marker, choose, parse_index
from pushd.source.name import Kind, SourceName

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.source.extent import Extent


class Files(Protocol):
    """The files of a layout."""

    def open(self, path: tuple[str, ...], subject: str) -> Extent:
        """Open a file by the components of its path; errors in reading it name `subject`.

        Raises:
            OSError: FileNotFoundError and IrregularFileError among others.
        """

    def close(self) -> None:
        """Release what is open. Idempotent."""


class LayoutSource:
    """One image of a layout. Threads may share it; its methods block."""

    __slots__ = ("_files", "_reference", "_subject")

    def __init__(self, files: Files, reference: str, subject: str) -> None:
        """Take over `files`; `reference` is empty for the only image, `subject` is what errors name."""
        self._files = files
        self._reference = reference
        self._subject = subject

    def image(self) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """
        check_marker(self._document("oci-layout"), self._subject)
        entries = parse_index(self._document("index.json"), self._subject)
        image = read_image(choose(entries, self._reference, self._subject), self._manifest)
        for blob in image.blobs:
            self.open(blob).close()
        return image

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading.

        Raises:
            SourceError: `source.blob_missing`, `source.blob_not_regular`, `source.blob_size` (not `blob.size`),
                `source.unreadable`, `source.changed`.
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

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""
        self._files.close()

    def _manifest(self, descriptor: Descriptor) -> bytes:
        """Read a manifest or an index; `read_image` asks for none that is too large."""
        return _whole(self.open(descriptor))

    def _document(self, name: str) -> bytes:
        """Read one of the layout's own documents."""
        subject = f"{name} in {self._subject}"
        try:
            extent = self._files.open((name,), subject)
        except FileNotFoundError as error:
            detail = f"is no OCI image layout, it has no {name}"
            raise SourceError(Code.SOURCE_LAYOUT_INVALID, self._subject, detail) from error
        except IrregularFileError as error:
            raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, "is not a regular file") from error
        except OSError as error:
            raise unreadable(error, subject) from error
        if extent.size > MAX_SIZE:
            extent.close()
            raise too_large(subject, extent.size)
        return _whole(extent)


def open_source(name: str) -> LayoutSource:
    """Open the source `name`, `oci:DIR[:REF]` or `oci-archive:FILE[:REF]`. Blocks.

    Raises:
        SourceError: `source.unsupported`, `source.not_found`, `source.unreadable`, `source.layout_invalid`,
            `source.archive_invalid`, `source.changed`.
    """
    parsed = SourceName.parse(name)
    files = Directory if parsed.kind is Kind.LAYOUT else Archive
    return LayoutSource(files(parsed.path, parsed.shown), parsed.reference, parsed.shown)


def _whole(extent: Extent) -> bytes:
    """Read all of it, and release it."""
    try:
        return extent.read(0, extent.size)
    finally:
        extent.close()
