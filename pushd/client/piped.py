"""An archive that comes down a pipe, brought to the daemon's spool as `source.cargo` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from pushd.client.bringing import hand_over, lost
from pushd.client.entry import Entry, GoneError
from pushd.client.exchange import Connection
from pushd.client.parts import Held, Tally
from pushd.errors import Code, RequestError, SourceError, StoreError
from pushd.oci.platform import Platform
from pushd.source.cargo import FIRST, LEAST, NO_ROOM, Cargo, put_together
from pushd.source.forward import SUBJECT, Forward
from pushd.source.saved import LIST, find_image

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushd.client.conversation import Conversation
    from pushd.job import Spooled
    from pushd.source.assembly import Apart
    from pushd.source.saved import Documents, Indexed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piped:
    """An image that came down a pipe.

    Attributes:
        name: what it is called, or nothing.
        saved: whether its archive is one of Docker's, in which layers are plain because Docker keeps them so.
    """

    name: str
    saved: bool


def bring_stream(
    conversation: Conversation,
    stream: BinaryIO,
    find: Callable[[Documents], Indexed | Apart],
    use: Callable[[Piped, Spooled], T],
    *,
    platforms: Collection[str],
    progress: Callable[[int, int | None], None] | None,
    keep: bool,
) -> T:
    """Bring the image that `find` finds in the archive in `stream` to the daemon's spool; give what `use` makes of it.

    Of an index only what is for `platforms` has to be in the archive, if there are any, and is the image that was
    brought. `use` is told what it is, and where it was brought. With `keep` it stays there when `use` succeeds, for the
    job that needs it.

    Raises:
        RequestError: `request.malformed`, one of `platforms` is none.
        SourceError: `source.archive_invalid` and its like; the archive has no such image, or is damaged.
        PushdError: the daemon's refusals, and what `use` raises.
    """
    chosen = [Platform.parse(platform) for platform in platforms]
    forward = Forward(stream)
    entry = _make(conversation)
    connection = Connection(conversation.socket_path)
    try:
        with entry.at_hand(keep=keep):
            cargo = Cargo(_Bringing(entry, connection, Tally(progress, None)))
            cargo.take_all(forward)
            name, root = put_together(cargo, find, chosen)
            cargo.trim()
            piped = Piped(name, LIST in cargo)
            return hand_over(entry, root, lambda spooled: use(piped, spooled))
    except GoneError as error:
        raise lost() from error
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class _Bringing:
    """An entry that is filled over a connection."""

    entry: Entry
    connection: Connection
    tally: Tally

    @property
    def reserved(self) -> int:
        return self.entry.reserved

    def resize(self, size: int) -> None:
        self.entry.resize(size)

    def bring(self, name: str, content: bytes, at: int, *, last: bool) -> str:
        part = Held(content, at)
        arrived = self.entry.bring(self.connection, name, part, last=last)
        self.tally.reached(name, part.stop)
        return arrived.name


def _make(conversation: Conversation) -> Entry:
    try:
        return Entry.create(conversation, FIRST)
    except (RequestError, StoreError) as error:
        if error.code not in NO_ROOM:
            raise
        return Entry.create(conversation, LEAST)


def image_named(documents: Documents, reference: str) -> Indexed | Apart:
    """Find the image `reference` of an archive on standard input, or the only one, when that is empty.

    Raises:
        SourceError: the archive has no such image, or more than one.
    """
    try:
        return find_image(documents, reference, SUBJECT)
    except SourceError as error:
        if error.code is Code.SOURCE_AMBIGUOUS:
            hint = "name the one that is meant, as in -:NAME"
            raise SourceError(error.code, error.subject, error.detail, hint=hint) from error
        raise
