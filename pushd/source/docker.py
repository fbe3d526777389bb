"""An image in what `docker save`, `podman save` and `skopeo copy` write to an archive, read where it lies.

A layer that is not compressed, as Docker saves them, is not read to know its digest: the config names it. Whoever reads
it later, to upload it, finds out whether the config told the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.magic import HEAD
from pushd.oci.text import printable
from pushd.source.assembly import Layer, compression_of, root_of
from pushd.source.blobs import open_blob, path_of, read_complete
from pushd.source.documents import read_document
from pushd.source.faults import invalid, unreadable
from pushd.source.members import INCOMPLETE, missing_member, named_digest
from pushd.source.name import SHOWN
from pushd.source.saved import INDEX, LIST, PART, Indexed, find_image

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.source.archive import Archive
    from pushd.source.assembly import Apart
    from pushd.source.extent import Extent
    from pushd.source.members import SavedMembers


class SavedFiles:
    """The files of such an archive, found by their names and by the links to them."""

    __slots__ = ("_archive", "_layers", "_members", "_subject")

    def __init__(self, archive: Archive, members: SavedMembers, subject: str) -> None:
        """Take over `archive`, whose headers `members` has seen; errors name it `subject`."""
        self._archive = archive
        self._members = members
        self._subject = subject
        self._layers: dict[str, Layer] = {}

    def __contains__(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (name,) in self._archive

    def document(self, name: str, *, hint: str = "") -> bytes:
        """Give a small file; raises as `saved.Documents` says."""
        try:
            return read_document(self._archive, self._members.resolve(name), self._subject)
        except FileNotFoundError as error:
            raise missing_member(name, self._subject, hint=hint) from error

    def peek(self, name: str) -> Layer:
        """Give a layer without reading it; its digest where it is known all the same.

        Raises:
            SourceError: `source.blob_missing`; `source.archive_invalid`, it is a link to nowhere; `source.changed`,
                `source.unreadable`.
        """
        path = self.path(name)
        known = self._layers.get("/".join(path))
        if known is None:
            extent = self._open(name, path)
            try:
                known = Layer(extent.size, extent.read(0, min(HEAD, extent.size)), named_digest(path))
            finally:
                extent.close()
            self._layers["/".join(path)] = known
        return known

    def layer(self, name: str) -> Layer:
        """Give a layer, with its digest when it is compressed: it is read for that, once. Raises as `peek` does."""
        layer = self.peek(name)
        if layer.digest is None and compression_of(layer.head):
            path = self.path(name)
            layer = Layer(layer.size, layer.head, self._open(name, path).digest())
            self._layers["/".join(path)] = layer
        return layer

    def path(self, name: str) -> tuple[str, ...]:
        """Give the components of a file's path, wherever a link at its name leads; there may be nothing.

        Raises:
            SourceError: `source.archive_invalid`; it is a link to nowhere.
        """
        return tuple(self._members.resolve(name).split("/"))

    def open(self, path: tuple[str, ...], subject: str) -> Extent:
        """Open a file by the components of its path; raises as `Archive.open` does."""
        return self._archive.open(path, subject)

    def close(self) -> None:
        """Release the archive. Idempotent."""
        self._archive.close()

    def _open(self, name: str, path: tuple[str, ...]) -> Extent:
        where = f"{printable(name, SHOWN)} in {self._subject}"
        try:
            return self._archive.open(path, where)
        except FileNotFoundError as error:
            raise missing_member(name, self._subject) from error
        except OSError as error:
            raise unreadable(error, where) from error


class DockerSource:
    """One image of such an archive. Threads may share it; its methods block."""

    __slots__ = ("_files", "_found", "_reference", "_subject")

    def __init__(self, files: SavedFiles, reference: str, subject: str) -> None:
        """Take over `files`; `reference` is empty for the only image, `subject` is what errors name."""
        self._files = files
        self._reference = reference
        self._subject = subject
        self._found: Indexed | Apart | None = None

    def image(self, platforms: Collection[Platform] = (), /) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Of an index only what is for `platforms`, if there are any; see `read_image`. Layers that are compressed are
        read, unless they are named by their digests.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """
        found = self._image()
        if isinstance(found, Indexed):
            return read_complete(found.root, self._document, self.open, platforms)
        manifest = found.assemble(self._files.layer, self._subject)
        root = root_of(manifest)
        # Beside the root there is only the config to ask for.
        return read_complete(root, lambda it: manifest if it == root else found.config, self.open, platforms)

    def with_referrers(self, image: Image, /) -> Image:
        """Give the image as it is: nothing else lies here."""
        return image

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading; raises as `open_blob` does, and as `image` does where the archive is another."""
        found = self._image()
        path = path_of(blob.digest) if isinstance(found, Indexed) else self._place(found, blob)
        return open_blob(self._files, path, blob, self._subject, missing=INCOMPLETE)

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""
        self._files.close()

    def _image(self) -> Indexed | Apart:
        """Find the image, now or before; threads that come at once find the same."""
        if self._found is None:
            if INDEX in self._files and LIST not in self._files:
                detail = f"is nothing that docker save writes, it has no {LIST}"
                hint = "an archive of an image layout is named oci-archive:FILE[:REF]"
                raise invalid(self._subject, detail, hint=hint)
            self._found = find_image(self._files, self._reference, self._subject)
        return self._found

    def _document(self, document: Descriptor) -> bytes:
        return open_blob(self._files, path_of(document.digest), document, self._subject, missing=PART).whole()

    def _place(self, image: Apart, blob: Descriptor) -> tuple[str, ...]:
        """Give the path of a blob.

        A source that was opened again does not know the digests of compressed layers. Of one size there is often only
        one, and it is not read to be sure: whoever uploads it is.
        """
        if blob.size == len(image.config) and blob.digest.matches(image.config):
            return self._files.path(image.listed.config)
        unread: dict[tuple[str, ...], str] = {}
        for name, plain in zip(image.listed.layers, image.plain, strict=True):
            layer = self._files.peek(name)
            digest = str(layer.digest or "") if compression_of(layer.head) else plain
            if digest == str(blob.digest):
                return self._files.path(name)
            if not digest and layer.size == blob.size:
                unread[self._files.path(name)] = name
        if len(unread) == 1:
            return next(iter(unread))
        for path, name in unread.items():
            if self._files.layer(name).digest == blob.digest:
                return path
        raise missing_member(str(blob.digest), self._subject)
