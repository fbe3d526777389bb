"""One manifest or index, with its original bytes: what its descriptor says, or refused by its digest."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.manifest import REBUILD, WHOLE, Manifest, located
from pushd.oci.selection import narrowed, read_listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pushd.oci.selection import Listed


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest or index.

    Attributes:
        descriptor: as its parent, or the source, names it.
        content: its original bytes, whose digest and size are the descriptor's.
        manifest: what `content` says.
    """

    descriptor: Descriptor
    content: bytes
    manifest: Manifest

    @classmethod
    def read(cls, descriptor: Descriptor, content: bytes) -> Document:
        """Read the document that `descriptor` names.

        Raises:
            SourceError: `source.blob_size` or `.blob_digest`, it is not what the descriptor says; and as
                `Manifest.parse` does, with the document's digest and field as the subject; `source.manifest_cycle`.
        """
        name = name_of(descriptor.digest)
        check_content(descriptor, content, name)
        with _within(name):
            return cls(descriptor, content, Manifest.parse(content, descriptor.media_type))

    def listed(self) -> tuple[Listed, ...]:
        """Give what an index says of its children beside their descriptors, in their order.

        Raises:
            SourceError: `source.manifest_invalid`, with the document's digest and field as the subject.
        """
        with _within(name_of(self.descriptor.digest)):
            return read_listed(self.content)

    def narrowed(self, kept: Mapping[int, Descriptor]) -> Document:
        """Give the index that lists only the children in `kept`: by their position, as they are called now.

        It is this very one when they are all its children, and unchanged.

        Raises:
            SourceError: `source.manifest_invalid` or `.manifest_too_large`, it cannot be written anew.
        """
        if tuple(kept[number] for number in sorted(kept)) == self.manifest.children:
            return self
        return self.written(partial(narrowed, kept=kept))

    def written(self, write: Callable[[bytes], bytes]) -> Document:
        """Give the document that `write` makes of the content of this one, of the same type.

        Raises:
            SourceError: `source.manifest_invalid` or `.manifest_too_large`, it cannot be written anew.
        """
        before = self.descriptor
        with _within(name_of(before.digest)):
            content = write(self.content)
            manifest = Manifest.parse(content, before.media_type)
        digest = Digest.of(content, before.digest.algorithm)
        return Document(Descriptor(before.media_type, digest, len(content)), content, manifest)


def name_of(digest: Digest) -> str:
    """Give what errors call a document."""
    return f"{WHOLE} {digest}"


def check_content(descriptor: Descriptor, content: bytes, name: str) -> None:
    """Check that `content` is what `descriptor` says; errors call it `name`.

    Raises:
        SourceError: `source.blob_size`, `source.blob_digest`; `source.manifest_cycle`, it lists itself.
    """
    if len(content) != descriptor.size:
        detail = f"has {len(content)} bytes; it is said to have {descriptor.size} bytes"
        raise SourceError(Code.SOURCE_BLOB_SIZE, name, detail, hint=REBUILD)
    if descriptor.digest.matches(content):
        return
    if _lists(content, descriptor.digest):
        # No honest digest can be in its own content: of the two things that are wrong this is the one to name. A
        # longer way round ends at the digest of its first document.
        raise SourceError(Code.SOURCE_MANIFEST_CYCLE, name, "lists itself among its manifests", hint=REBUILD)
    detail = f"has the digest {Digest.of(content, descriptor.digest.algorithm)}"
    raise SourceError(Code.SOURCE_BLOB_DIGEST, name, detail, hint=REBUILD)


@contextmanager
def _within(name: str) -> Iterator[None]:
    """Have errors about a field say of which document it is."""
    try:
        yield
    except SourceError as error:
        raise located(error, name) from error


def _lists(content: bytes, digest: Digest) -> bool:
    try:
        return any(child.digest == digest for child in Manifest.parse(content).children)
    except SourceError:
        return False
