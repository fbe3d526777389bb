"""An entry of the daemon's spool as a source: blobs and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.source.blobs import Blobs, path_of
from pushd.source.directory import Directory
from pushd.source.documents import read_document
from pushd.source.faults import unreadable
from pushd.source.index import parse_index

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.source.extent import Extent


class SpooledSource:
    """One image in a spool entry. Threads may share it; its methods block.

    The entry is the daemon's own, so nobody's rights but the daemon's are asked for. What was brought to it is as
    little trusted as any layout: no link is followed, nothing but regular files is opened.
    """

    __slots__ = ("_blobs", "_files", "_referrers", "_root", "_subject")

    def __init__(self, directory: Path, root: Descriptor | None, referrers: Digest | None = None) -> None:
        """Open the entry in `directory`, whose last component is its id; `root` is what `image` reads.

        `referrers` is the document that lists what refers to it, if anything was brought that does.

        Raises:
            SourceError: `source.not_found`, the entry is gone; `source.unreadable`.
        """
        subject = f"spool entry {directory.name}"
        try:
            fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            hint = "its time was up, or its job had ended: push the image again"
            raise SourceError(Code.SOURCE_NOT_FOUND, subject, "is gone", hint=hint) from error
        except OSError as error:
            raise unreadable(error, subject) from error
        self._files = Directory(fd, str(directory), None)
        self._blobs = Blobs(self._files, subject)
        self._root = root
        self._referrers = referrers
        self._subject = subject

    def image(self, platforms: Collection[Platform] = (), /) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Of an index only what is for `platforms`, if there are any; see `read_image`.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
            ValueError: it was opened without a root.
        """
        if self._root is None:
            raise ValueError("opened without the root of an image")
        return self._blobs.image(self._root, platforms)

    def with_referrers(self, image: Image, /) -> Image:
        """Give an image that was read here with what refers to it, complete as well.

        Raises:
            SourceError: with the code of what is wrong and the name of where; see `pushd.oci.gathering`.
        """
        if self._referrers is None:
            return image
        where = f"{self._referrers} in {self._subject}"
        try:
            content = read_document(self._files, "/".join(path_of(self._referrers)), self._subject)
        except FileNotFoundError as error:
            raise SourceError(Code.SOURCE_BLOB_MISSING, where, "is not there") from error
        if not self._referrers.matches(content):
            raise SourceError(Code.SOURCE_BLOB_DIGEST, where, "is not what its digest says")
        return self._blobs.with_referrers(image, parse_index(content, self._subject))

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob for reading; raises as `Blobs.open` does."""
        return self._blobs.open(blob)

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""
        self._files.close()
