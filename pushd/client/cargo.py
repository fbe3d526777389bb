"""What an archive down a pipe brings: kept here, brought to the spool, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pushd.client.bringing import damaged
from pushd.client.forward import SUBJECT
from pushd.client.parts import Held
from pushd.errors import Code, RequestError, SourceError, StoreError
from pushd.oci.digest import Digest
from pushd.oci.image import MAX_TOTAL
from pushd.oci.manifest import MAX_SIZE, too_large
from pushd.oci.tar import MalformedTarError
from pushd.oci.text import printable, quoted
from pushd.source.assembly import HEAD, Layer
from pushd.source.faults import malformed
from pushd.source.members import SavedMembers, missing_member, named_digest
from pushd.source.name import SHOWN
from pushd.source.tar import read_members

if TYPE_CHECKING:
    from pushd.client.entry import Entry
    from pushd.client.exchange import Connection
    from pushd.client.forward import Forward
    from pushd.client.parts import Tally
    from pushd.oci.tar import Member

NO_ROOM: Final = frozenset({Code.REQUEST_LIMIT, Code.STORE_BUDGET})
"""How the daemon refuses to reserve so many bytes."""

_REQUEST: Final = 8 << 20
"""Bytes brought in one request, and kept until the daemon has them: nobody can go back in a pipe."""
_LOOK: Final = 64 << 10
"""Bytes of a file that are looked at before it is decided what becomes of it."""
_TAIL: Final = 64 << 20
"""Bytes read after the archive's end, so that whoever writes them is not cut off, and checksums are met."""
_ENDLESS: Final = 1 << 63


class Cargo:
    """The files of an archive, taken as they pass, and found by their names afterwards."""

    def __init__(self, entry: Entry, connection: Connection, tally: Tally) -> None:
        self._entry = entry
        self._connection = connection
        self._tally = tally
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
        self._entry.resize(self._brought_bytes)

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
                arrived = self._entry.bring(self._connection, called, Held(piece, at), last=end == size)
            except RequestError as error:
                if error.code is Code.REQUEST_INVALID_DIGEST:
                    raise damaged(f"{quoted(name)} in {SUBJECT}") from error
                raise
            self._tally.reached(called, end)
            if end == size:
                return Layer(size, head[:HEAD], digest or Digest.parse(arrived.name))
            at, piece = end, b""

    def _reserve(self, size: int) -> None:
        """Have room for `size` more bytes."""
        needed = self._brought_bytes + size
        if needed > self._entry.reserved:
            try:
                self._entry.resize(max(needed, 2 * self._entry.reserved))
            except (RequestError, StoreError) as error:
                if error.code not in NO_ROOM:
                    raise
                self._entry.resize(needed)
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


def _exactly(forward: Forward, length: int, name: str) -> bytes:
    content = forward.read(length)
    if len(content) < length:
        raise MalformedTarError(f"is truncated: it stops at byte {forward.position}, within {name!r}")
    return content
