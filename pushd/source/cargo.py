"""An archive that is read once and forwards: its files kept here, brought to the spool as they come by, or both.

Which of them make up the image is known only when all have passed. So blobs are brought as soon as they come, small
documents are kept as well, and at the end the image is chosen and put together from them. What it does not need goes
with the entry of the spool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pushd.errors import Code, RequestError, SourceError, StoreError
from pushd.oci.digest import Digest
from pushd.oci.image import MAX_TOTAL, read_image
from pushd.oci.magic import HEAD
from pushd.oci.manifest import MAX_SIZE, too_large
from pushd.oci.tar import MalformedTarError
from pushd.oci.text import printable, quoted
from pushd.source.assembly import Layer, root_of
from pushd.source.blobs import path_of
from pushd.source.faults import damaged, malformed
from pushd.source.forward import SUBJECT
from pushd.source.members import SavedMembers, missing_member, named_digest
from pushd.source.name import SHOWN
from pushd.source.saved import LIST, PART, Indexed
from pushd.source.tar import read_members

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.platform import Platform
    from pushd.oci.tar import Member
    from pushd.source.assembly import Apart
    from pushd.source.forward import Forward
    from pushd.source.saved import Documents

NO_ROOM: Final = frozenset({Code.REQUEST_LIMIT, Code.STORE_BUDGET})
"""How it is refused to reserve so many bytes."""
FIRST: Final = 64 << 20
"""Bytes to be reserved before it is known how many there are; then twice as many, and so on."""
LEAST: Final = 1 << 20
"""Bytes to be reserved at first where there is no room for more."""

_REQUEST: Final = 8 << 20
"""Bytes brought at once, and kept until the spool has them: nobody can go back in a pipe."""
_LOOK: Final = 64 << 10
"""Bytes of a file that are looked at before it is decided what becomes of it."""
_TAIL: Final = 64 << 20
"""Bytes read after the archive's end, so that whoever writes them is not cut off, and checksums are met."""
_ENDLESS: Final = 1 << 63


class Hold(Protocol):
    """An entry of the spool, as whoever fills it sees it. Its methods block."""

    @property
    def reserved(self) -> int:
        """Bytes it may hold."""

    def resize(self, size: int) -> None:
        """Reserve another number of bytes, never less than are there.

        Raises:
            RequestError: `request.limit`, the owner's quota does not have so many left.
            StoreError: `store.budget`, the daemon has not.
        """

    def bring(self, name: str, content: bytes, at: int, *, last: bool) -> str:
        """Append to a file what belongs there from the byte `at` on.

        Args:
            name: the digest it is to have, or another name when nobody knows it yet.
            content: what is appended.
            at: how many bytes came before.
            last: whether the file ends with it.

        Returns:
            The file's digest when it is whole, else its name.

        Raises:
            RequestError: `request.invalid_digest`; whatever else is refused.
            StoreError: `store.full`.
        """


class Cargo:
    """The files of an archive, taken as they pass, and found by their names afterwards."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._members = SavedMembers(SUBJECT)
        self._kept: dict[str, bytes] = {}
        self._kept_bytes = 0
        self._brought: dict[str, Layer] = {}
        self._brought_bytes = 0

    def take_all(self, forward: Forward) -> None:
        """Take the archive in.

        Raises:
            SourceError: `source.archive_invalid`, `source.blob_digest`, `source.unreadable`.
        """
        try:
            for member in read_members(forward.pread, _ENDLESS):
                self._take(member, forward)
        except MalformedTarError as error:
            raise malformed(SUBJECT, printable(str(error), SHOWN)) from error
        forward.pass_over(_TAIL)

    def trim(self) -> None:
        """Give back what was reserved and not needed."""
        self._hold.resize(self._brought_bytes)

    # -------------------------------------------------------------------------------------------- while it passes

    def _take(self, member: Member, forward: Forward) -> None:
        path = self._members.admit(member)
        if path is not None:
            self._take_file("/".join(path), named_digest(path), member.size, forward)

    def _take_file(self, name: str, digest: Digest | None, size: int, forward: Forward) -> None:
        head = _exactly(forward, min(size, _LOOK), name)
        is_document = size <= MAX_SIZE and head.lstrip()[:1] in (b"{", b"[")
        if not is_document and (digest is not None or size > _LOOK):
            self._brought[name] = self._bring(digest, name, size, head, forward)
            return
        content = head + _exactly(forward, size - len(head), name)
        if self._kept_bytes + size <= MAX_TOTAL:
            self._kept[name] = content
            self._kept_bytes += size
        elif digest is None:
            raise MalformedTarError(f"has more than {MAX_TOTAL} bytes of small files")
        if digest is not None:
            self._brought[name] = self._bring(digest, name, size, content, forward)

    def _bring(self, digest: Digest | None, name: str, size: int, head: bytes, forward: Forward | None) -> Layer:
        """Bring a file that begins with `head` and goes on in `forward`."""
        called = str(digest) if digest is not None else f"layer-{len(self._brought)}"
        self._reserve(size)
        at, piece = 0, head
        while True:
            if forward is not None:
                piece += _exactly(forward, min(_REQUEST, size - at) - len(piece), name)
            end = at + len(piece)
            try:
                arrived = self._hold.bring(called, piece, at, last=end == size)
            except RequestError as error:
                if error.code is Code.REQUEST_INVALID_DIGEST:
                    raise damaged(f"{quoted(name)} in {SUBJECT}") from error
                raise
            if end == size:
                return Layer(size, head[:HEAD], digest or Digest.parse(arrived))
            at, piece = end, b""

    def _reserve(self, size: int) -> None:
        """Have room for `size` more bytes."""
        needed = self._brought_bytes + size
        if needed > self._hold.reserved:
            try:
                self._hold.resize(max(needed, 2 * self._hold.reserved))
            except (RequestError, StoreError) as error:
                if error.code not in NO_ROOM:
                    raise
                self._hold.resize(needed)
        self._brought_bytes = needed

    # ------------------------------------------------------------------------------------------ when it has passed

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a file of that name."""
        return name in self._kept or name in self._brought

    def document(self, name: str, *, hint: str = "") -> bytes:
        """Give a small file, wherever a link at its name leads.

        Raises:
            SourceError: `source.blob_missing`, with the `hint`; `source.archive_invalid`, it is a link to nowhere;
                `source.manifest_too_large` or `.manifest_invalid`, it is no document, and was not kept as one.
        """
        member = self._members.resolve(name)
        if member in self._kept:
            return self._kept[member]
        where = f"{printable(name, SHOWN)} in {SUBJECT}"
        if member not in self._brought:
            raise missing_member(name, SUBJECT, hint=hint)
        if self._brought[member].size > MAX_SIZE:
            raise too_large(where, self._brought[member].size)
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, where, "is not JSON")

    def layer(self, name: str) -> Layer:
        """Give a file that is in the spool, or is brought there now because it was small enough to be kept at first.

        Raises:
            SourceError: `source.blob_missing`; `source.archive_invalid`, it is a link to nowhere.
        """
        member = self._members.resolve(name)
        if member not in self._brought:
            if member not in self._kept:
                raise missing_member(name, SUBJECT)
            self._brought[member] = self.bring(self._kept[member], member)
        return self._brought[member]

    def bring(self, content: bytes, name: str) -> Layer:
        """Bring a file that is at hand to the spool; errors call it `name`."""
        return self._bring(Digest.of(content), name, len(content), content, None)


def put_together(
    cargo: Cargo, find: Callable[[Documents], Indexed | Apart], platforms: Collection[Platform]
) -> tuple[str, Descriptor]:
    """Put the image that `find` finds together; give what it is called, or nothing, and its root, brought by then.

    Of an index only what is for `platforms` has to be there, if there are any, and is the image.

    Raises:
        SourceError: the archive has no such image, or not all of it.
    """
    found = find(cargo)
    if isinstance(found, Indexed):
        return next(iter(found.names), ""), _bring_chosen(cargo, found.root, platforms)
    manifest = found.assemble(cargo.layer, SUBJECT)
    cargo.bring(found.config, found.listed.config)
    cargo.bring(manifest, LIST)
    return next(iter(found.listed.names), ""), root_of(manifest)


def _bring_chosen(cargo: Cargo, listed: Descriptor, platforms: Collection[Platform]) -> Descriptor:
    """Check that all of an image of a layout was brought, and bring what the choice of platforms made of it."""
    image = read_image(listed, lambda document: cargo.document(_name(document), hint=PART), platforms)
    for blob in image.blobs:
        size = cargo.layer(_name(blob)).size
        if size != blob.size:
            detail = f"has {size} bytes; its descriptor says {blob.size}"
            raise SourceError(Code.SOURCE_BLOB_SIZE, f"{blob.digest} in {SUBJECT}", detail)
    for document in image.documents:
        if _name(document.descriptor) not in cargo:
            cargo.bring(document.content, "an index of the chosen platforms")
    return image.root.descriptor


def _name(blob: Descriptor) -> str:
    return "/".join(path_of(blob.digest))


def _exactly(forward: Forward, length: int, name: str) -> bytes:
    content = forward.read(length)
    if len(content) < length:
        raise MalformedTarError(f"is truncated: it stops at byte {forward.position}, within {name!r}")
    return content
