"""A whole image: its root document and all manifests below it, checked, with their original bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.oci import media_types
from pushd.oci.document import Document, check_content, name_of
from pushd.oci.json_object import read_object
from pushd.oci.manifest import MAX_SIZE, REBUILD, too_large, unsupported
from pushd.oci.platform import Platform
from pushd.oci.selection import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest

MAX_DEPTH = 8
"""Levels of documents, the root's included: far above what builders make, and low enough to recurse."""
MAX_DOCUMENTS = 1_000
"""Documents of one image: far above what builders make."""
MAX_TOTAL = 64 << 20
"""Bytes of all documents together: they are held in memory and in the database."""


@dataclass(frozen=True, slots=True)
class Image:
    """All documents of an image, each digest once, children before parents, the root last; at least one.

    Attributes:
        documents: with what refers to any of them, if that is to go along; each is after what it refers to, but for
            the root.
        tags: tags of cosign's, and the digest of what each names among them.
    """

    documents: tuple[Document, ...]
    tags: tuple[tuple[str, Digest], ...] = ()

    @property
    def root(self) -> Document:
        """The document the others hang from."""
        return self.documents[-1]

    @property
    def referrers(self) -> tuple[Document, ...]:
        """The documents that do not hang from the root but refer to what does, and what hangs from those."""
        below = {self.root.descriptor.digest}
        for document in reversed(self.documents):
            if document.descriptor.digest in below:
                below.update(child.digest for child in document.manifest.children)
        return tuple(document for document in self.documents if document.descriptor.digest not in below)

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


def read_image(root: Descriptor, fetch: Callable[[Descriptor], bytes], platforms: Collection[Platform] = ()) -> Image:
    """Read the root document and all manifests below it, and check that they hold together.

    With `platforms` only what is for these is read of an index, however deep inside, and the attestations of it. The
    index is written anew without the others and has another digest then, as has each index above it; where all of it
    was chosen it stays as it is. It is an index still when one image is left, so that attestations keep their place.
    An index inside that has nothing left is left out. A single image never changes, and must be for those platforms
    by its config.

    Args:
        root: the document to begin with.
        fetch: gives the bytes of one document; it need not check them. Called once per digest, and never for a
            document announced as larger than `MAX_SIZE`. With `platforms` it is asked for configs as well, where
            nothing else says what an image is for.
        platforms: what is chosen; when empty all there is, and nothing is written anew.

    Raises:
        SourceError: `source.blob_size` or `.blob_digest`, a document is not what its descriptor says;
            `source.manifest_invalid`, `.manifest_unsupported`, `.manifest_too_large` or `.manifest_cycle`, with the
            document's digest and field as its subject; `source.platform_unknown`, there is nothing for one of
            `platforms`; whatever `fetch` raises.
    """
    _check_kind(root, name_of(root.digest))
    reading = _Choosing(fetch, Choice(platforms)) if platforms else Reading(fetch)
    reading.begin(root)
    return Image(tuple(reading.documents.values()))


class Reading:
    """One walk over an image, depth first.

    Args:
        fetch: as `read_image` has it.
        image: what was read of it before: its documents are not read again, and count.

    Attributes:
        documents: what was read, in the order in which an image has them.
    """

    def __init__(self, fetch: Callable[[Descriptor], bytes], image: Image | None = None) -> None:
        known = () if image is None else image.documents
        self._fetch = fetch
        self._started = len(known)
        self._bytes = sum(document.descriptor.size for document in known)
        self._sizes: dict[Digest, int] = {one.descriptor.digest: one.descriptor.size for one in known}
        self._seen: dict[Digest, Document] = {document.descriptor.digest: document for document in known}
        self.documents: dict[Digest, Document] = dict(self._seen)

    def begin(self, root: Descriptor) -> None:
        """Read all there is."""
        self._read(root, 1)

    def read(self, root: Descriptor) -> Document:
        """Read one more document, and all below it; give it.

        Raises:
            SourceError: as `read_image` does.
        """
        _check_kind(root, name_of(root.digest))
        self._read(root, 1)
        return self.documents[root.digest]

    def _read(self, descriptor: Descriptor, depth: int) -> None:
        """Read one document, `depth` levels down with the root at 1, after all below it."""
        document = self._open(descriptor, depth)
        if descriptor.digest in self.documents:
            return
        for number, child in enumerate(document.manifest.children):
            _check_kind(child, _place(descriptor, number))
            self._read(child, depth + 1)
        for blob in document.manifest.blobs:
            self._check_size(blob)
        self.documents[descriptor.digest] = document

    def _open(self, descriptor: Descriptor, depth: int) -> Document:
        """Give one document by itself."""
        self._check_size(descriptor)
        if known := self._seen.get(descriptor.digest):
            _check_same_type(known.descriptor, descriptor)
            return known
        self._admit(descriptor, depth)
        document = self._seen[descriptor.digest] = Document.read(descriptor, self._fetch(descriptor))
        return document

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
        name = name_of(descriptor.digest)
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


class _Choosing(Reading):
    """One walk over what was chosen of an image."""

    def __init__(self, fetch: Callable[[Descriptor], bytes], choice: Choice) -> None:
        super().__init__(fetch)
        self._choice = choice
        self._indexes: dict[Digest, Descriptor | None] = {}

    def begin(self, root: Descriptor) -> None:
        """Read what was chosen."""
        self._choose(root, None, 1, subject=name_of(root.digest))
        self._choice.check(name_of(root.digest))

    def _choose(
        self, descriptor: Descriptor, platform: Platform | None, depth: int, *, subject: str
    ) -> Descriptor | None:
        """Read what was chosen of a document, which is for `platform` as far as its parent says.

        Returns:
            What it is called now; None when nothing of it was chosen.
        """
        if descriptor.media_type in media_types.INDEXES:
            return self._choose_within(self._open(descriptor, depth), depth)
        if platform is None and descriptor.media_type in media_types.IMAGES:
            platform = self._platform(self._open(descriptor, depth))
        if not self._choice.takes(platform):
            return None
        _check_kind(descriptor, subject)
        self._read(descriptor, depth)
        return descriptor

    def _choose_within(self, index: Document, depth: int) -> Descriptor | None:
        """Read what was chosen of an index, after all below it."""
        before = index.descriptor.digest
        if before not in self._indexes:
            kept = self._children(index, depth + 1)
            after = index.narrowed(kept) if kept else None
            if after is not None:
                self.documents[after.descriptor.digest] = after
            self._indexes[before] = None if after is None else after.descriptor
        return self._indexes[before]

    def _children(self, index: Document, depth: int) -> dict[int, Descriptor]:
        """Read what was chosen of an index's children, at `depth`; give it by position, as it is called now."""
        children = [
            (number, child, listed, _place(index.descriptor, number))
            for number, (child, listed) in enumerate(zip(index.manifest.children, index.listed(), strict=True))
        ]
        kept: dict[int, Descriptor] = {}
        for number, child, listed, place in children:
            chosen = None if listed.attestation else self._choose(child, listed.platform, depth, subject=place)
            if chosen is not None:
                kept[number] = chosen
        there = {str(child.digest) for child in kept.values()}
        for number, child, listed, place in children:
            if listed.attestation and listed.about in there:
                _check_kind(child, place)
                self._read(child, depth)
                kept[number] = child
        return kept

    def _platform(self, image: Document) -> Platform | None:
        """Give what an image is for by its config; None where it is no image that runs anywhere."""
        config = image.manifest.blobs[0]
        if config.media_type not in media_types.CONFIGS:
            return None
        self._check_size(config)
        name = f"config {config.digest}"
        if config.size > MAX_SIZE:
            raise too_large(name, config.size)
        content = self._fetch(config)
        check_content(config, content, name)
        return Platform.of(read_object(content, name), name)


def _place(parent: Descriptor, number: int) -> str:
    return f"{name_of(parent.digest)}, manifests[{number}].mediaType"


def _check_kind(descriptor: Descriptor, subject: str) -> None:
    if descriptor.media_type not in media_types.MANIFESTS:
        raise unsupported(subject, descriptor.media_type)


def _check_same_type(known: Descriptor, again: Descriptor) -> None:
    """Refuse one document listed under two media types: it can be of one only."""
    if known.media_type != again.media_type:
        detail = f"is said to be {known.media_type} in one place and {again.media_type} in another"
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, name_of(again.digest), detail, hint=REBUILD)
