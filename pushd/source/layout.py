"""An OCI image layout as a source, wherever its files are (OCI image spec, image-layout.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.source.blobs import Blobs
from pushd.source.documents import read_document
from pushd.source.index import check_marker, choose, parse_index

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.source.blobs import Files
    from pushd.source.extent import Extent


class LayoutSource:
    """One image of a layout. Threads may share it; its methods block."""

    __slots__ = ("_blobs", "_files", "_otherwise", "_reference", "_subject")

    def __init__(self, files: Files, reference: str, subject: str, *, otherwise: str) -> None:
        """Take over `files`; `reference` is empty for the only image, `subject` is what errors name.

        `otherwise` tells how something else is named that may be there in place of a layout.
        """
        self._files = files
        self._blobs = Blobs(files, subject)
        self._otherwise = otherwise
        self._reference = reference
        self._subject = subject

    def image(self, platforms: Collection[Platform] = (), /) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Of an index only what is for `platforms`, if there are any; see `read_image`.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """
        check_marker(self._document("oci-layout"), self._subject)
        entries = parse_index(self._document("index.json"), self._subject)
        return self._blobs.image(choose(entries, self._reference, self._subject), platforms)

    def with_referrers(self, image: Image, /) -> Image:
        """Give an image that was read here with all that refers to it, complete as well.

        That is what `index.json` lists and says so by itself; what it lists under the referrers tag, as a registry
        without an API for it would; and what it lists under cosign's tags.

        Raises:
            SourceError: with the code of what is wrong and the name of where; see `pushd.oci.gathering`.
        """
        entries = parse_index(self._document("index.json"), self._subject)
        return self._blobs.with_referrers(image, entries)

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading; raises as `Blobs.open` does."""
        return self._blobs.open(blob)

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""
        self._files.close()

    def _document(self, name: str) -> bytes:
        """Read one of the layout's own documents."""
        try:
            return read_document(self._files, name, self._subject)
        except FileNotFoundError as error:
            detail = f"is no OCI image layout, it has no {name}"
            raise SourceError(Code.SOURCE_LAYOUT_INVALID, self._subject, detail, hint=self._otherwise) from error
