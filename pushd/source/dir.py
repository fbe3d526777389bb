"""An image whose files lie side by side in a directory: the directory transport of containers/image.

It is what `skopeo copy` writes to `dir:DIR`, and `podman save --format docker-dir`. No specification says what is in
it, but `image/directory` of github.com/podman-container-tools/container-libs does:

    version              "Directory Transport Version: 1.1", or 1.2 where a digest is not sha256
    manifest.json        the root, whose digest is nowhere written down
    HEX.manifest.json    a manifest that an index lists; HEX is its digest without the algorithm
    HEX                  a blob
    signature-N          of the root, and HEX.signature-N of a manifest below: nothing that is pushed

Where a digest is not sha256 the algorithm and a dash stand before HEX.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, SourceError
from pushd.oci import media_types
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.manifest import Manifest, located
from pushd.source.blobs import open_blob, read_complete
from pushd.source.documents import read_document

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.source.blobs import Files
    from pushd.source.extent import Extent

_MANIFEST: Final = "manifest.json"
_VERSION: Final = "version"
_NEWEST: Final = (1, 2)
_ANNOUNCED: Final = re.compile(rb"Directory Transport Version: (\d{1,20})\.(\d{1,20})\s*")


class DirSource:
    """The one image of such a directory. Threads may share it; its methods block."""

    __slots__ = ("_files", "_subject")

    def __init__(self, files: Files, subject: str) -> None:
        """Take over `files`; `subject` is what errors name."""
        self._files = files
        self._subject = subject

    def image(self, platforms: Collection[Platform] = (), /) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Of an index only what is for `platforms`, if there are any; see `read_image`.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """
        content = self._root()
        self._check_version()
        root = self._described(content)

        def fetch(document: Descriptor) -> bytes:
            if document == root:
                return content
            is_manifest = document.media_type in media_types.MANIFESTS
            return (self._child(document) if is_manifest else self.open(document)).whole()

        return read_complete(root, fetch, self.open, platforms)

    def with_referrers(self, image: Image, /) -> Image:
        """Give the image as it is: nothing else lies here."""
        return image

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading; raises as `open_blob` does."""
        return open_blob(self._files, (_file(blob.digest),), blob, self._subject)

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""
        self._files.close()

    def _root(self) -> bytes:
        """Read the root, if it is one and not the list of images that `docker save` writes by the same name."""
        try:
            content = read_document(self._files, _MANIFEST, self._subject)
        except FileNotFoundError as error:
            raise self._something_else(f"it has no {_MANIFEST}") from error
        if content.lstrip().startswith(b"["):
            raise self._something_else(f"its {_MANIFEST} is that of docker save")
        return content

    def _something_else(self, reason: str) -> SourceError:
        detail = f"is no image as skopeo copy writes it to dir:DIR, {reason}"
        hint = "an image layout is named oci:DIR[:REF]; the file that docker save wrote docker-archive:FILE[:REF]"
        return SourceError(Code.SOURCE_LAYOUT_INVALID, self._subject, detail, hint=hint)

    def _check_version(self) -> None:
        """Check that the files are named as is known here. As in the library, no version at all is as good as one."""
        try:
            content = read_document(self._files, _VERSION, self._subject)
        except FileNotFoundError:
            return
        where = f"{_VERSION} in {self._subject}"
        announced = _ANNOUNCED.fullmatch(content)
        if announced is None:
            detail = "is not what is written beside an image in a directory"
            hint = "write the directory anew with skopeo copy"
            raise SourceError(Code.SOURCE_LAYOUT_INVALID, where, detail, hint=hint)
        major, minor = map(int, announced.groups())
        if (major, minor) > _NEWEST:
            newest = ".".join(map(str, _NEWEST))
            detail = f"says that it is version {major}.{minor}; known are those up to {newest}"
            hint = "copy the image to a layout with skopeo copy dir:DIR oci:DIR:REF"
            raise SourceError(Code.SOURCE_LAYOUT_INVALID, where, detail, hint=hint)

    def _described(self, content: bytes) -> Descriptor:
        """Give the descriptor that the root would have, were there anything to hold one."""
        try:
            manifest = Manifest.parse(content)
        except SourceError as error:
            raise located(error, f"{_MANIFEST} in {self._subject}") from error
        return Descriptor(manifest.media_type, Digest.of(content), len(content))

    def _child(self, document: Descriptor) -> Extent:
        hint = "an index alone cannot be pushed: copy all of its images with skopeo copy --all"
        path = (f"{_file(document.digest)}.{_MANIFEST}",)
        return open_blob(self._files, path, document, self._subject, missing=hint)


def _file(digest: Digest) -> str:
    return digest.encoded if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.encoded}"
