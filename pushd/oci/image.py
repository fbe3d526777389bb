"""A whole image: its root document and all manifests below it, checked, with their original bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.oci import media_types
from pushd.oci.digest import Digest
from pushd.oci.manifest import MAX_SIZE, REBUILD, WHOLE, Manifest, located, too_large, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.oci.descriptor import Descriptor

MAX_DEPTH = 8
"""Levels of documents, the root's included: far above what builders make, and low enough to recurse."""
MAX_DOCUMENTS = 1_000
"""Documents of one image: far above what builders make."""
MAX_TOTAL = 64 << 20
"""Bytes of all documents together: they are held in memory and in the database."""


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


@dataclass(frozen=True, slots=True)
class Image:
    """All documents of an image, each digest once, children before parents, the root last; at least one."""

    documents: tuple[Document, ...]

    @property
    def root(self) -> Document:
        """The document the others hang from."""
        return self.documents[-1]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Each blob once, in the order in which the documents need them."""
        needed = (blob for document in self.documents for blob in document.manifest.blobs)
        first: dict[Digest, Descriptor] = {}
        for blob in needed:
            first.setdefault(blob.digest, blob)
        return tuple(first.values())

    @property
    def size(self) -> int:
        """Bytes of all blobs, each counted once, and documents."""
        return sum(blob.size for blob in self.blobs) + sum(len(document.content) for document in self.documents)


def read_image(root: Descriptor, fetch: Callable[[Descriptor], bytes]) -> Image:
    """Read the root document and all manifests below it, and check that they hold together.

    Args:
        root: the document to begin with.
        fetch: gives the bytes of one document; it need not check them. Called once per digest, and never for a
            document announced as larger than `MAX_SIZE`.

    Raises:
        SourceError: `source.blob_size` or `.blob_digest`, a document is not what its descriptor says;
            `source.manifest_invalid`, `.manifest_unsupported`, `.manifest_too_large` or `.manifest_cycle`, with the
            document's digest and field as its subject; whatever `fetch` raises.
    """
    _check_kind(root, _name(root.digest))
    reading = _Reading(fetch)
    reading.read(root, 1)
    return Image(tuple(reading.documents.values()))


class _Reading:
    """One walk over an image, depth first."""

    def __init__(self, fetch: Callable[[Descriptor], bytes]) -> None:
        self._fetch = fetch
        self._started = 0
        self._bytes = 0
        self._sizes: dict[Digest, int] = {}
        self.documents: dict[Digest, Document] = {}

    def read(self, descriptor: Descriptor, depth: int) -> None:
        """Read one document, `depth` levels down with the root at 1, after all below it."""
        self._check_size(descriptor)
        if known := self.documents.get(descriptor.digest):
            _check_same_type(known.descriptor, descriptor)
            return
        self._admit(descriptor, depth)
        content = self._fetch(descriptor)
        _check_content(descriptor, content)
        name = _name(descriptor.digest)
        try:
            manifest = Manifest.parse(content, descriptor.media_type)
        except SourceError as error:
            raise located(error, name) from error
        for number, child in enumerate(manifest.children):
            _check_kind(child, f"{name}, manifests[{number}].mediaType")
            self.read(child, depth + 1)
        for blob in manifest.blobs:
            self._check_size(blob)
        self.documents[descriptor.digest] = Document(descriptor, content, manifest)

    def _check_size(self, descriptor: Descriptor) -> None:
        size = self._sizes.setdefault(descriptor.digest, descriptor.size)
        if size != descriptor.size:
            raise SourceError(
                Code.SOURCE_MANIFEST_INVALID,
                str(descriptor.digest),
                f"is said to be {size} bytes in one place and {descriptor.size} bytes in another",
                hint=REBUILD,
            )

    def _admit(self, descriptor: Descriptor, depth: int) -> None:
        """Keep the image within bounds, before anything of its next document is read."""
        name = _name(descriptor.digest)
        self._started += 1
        self._bytes += descriptor.size
        if depth > MAX_DEPTH:
            detail = f"is more than {MAX_DEPTH} levels down"
            raise SourceError(Code.SOURCE_MANIFEST_UNSUPPORTED, name, detail, hint="push the inner index by itself")
        if descriptor.size > MAX_SIZE:
            raise too_large(name, descriptor.size)
        if self._started > MAX_DOCUMENTS:
            detail = f"is one too many: an image has at most {MAX_DOCUMENTS} documents"
            raise SourceError(Code.SOURCE_MANIFEST_TOO_LARGE, name, detail, hint="push its parts by themselves")
        if self._bytes > MAX_TOTAL:
            detail = f"is too much: all documents of an image have at most {MAX_TOTAL} bytes"
            raise SourceError(Code.SOURCE_MANIFEST_TOO_LARGE, name, detail, hint="push its parts by themselves")


def _name(digest: Digest) -> str:
    return f"{WHOLE} {digest}"


def _check_kind(descriptor: Descriptor, subject: str) -> None:
    if descriptor.media_type not in media_types.MANIFESTS:
        raise unsupported(subject, descriptor.media_type)


def _check_same_type(known: Descriptor, again: Descriptor) -> None:
    """Refuse one document listed under two media types: it can be of one only."""
    if known.media_type != again.media_type:
        detail = f"is said to be {known.media_type} in one place and {again.media_type} in another"
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, _name(again.digest), detail, hint=REBUILD)


def _check_content(descriptor: Descriptor, content: bytes) -> None:
    name = _name(descriptor.digest)
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


def _lists(content: bytes, digest: Digest) -> bool:
    try:
        return any(child.digest == digest for child in Manifest.parse(content).children)
    except SourceError:
        return False
