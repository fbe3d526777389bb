"""An image the daemon cannot read, opened by the caller, who can, and brought to its spool."""

from __future__ import annotations

import os
import threading
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pushd.client.entry import Entry, GoneError
from pushd.client.exchange import Connection
from pushd.client.parts import Held, Lying, Tally
from pushd.errors import Code, RequestError, SourceError
from pushd.job import Spooled
from pushd.oci.digest import Digest
from pushd.oci.platform import Platform
from pushd.source import open_source
from pushd.source.about import listing_of
from pushd.source.faults import damaged
from pushd.source.name import COLONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pushd.client.conversation import Conversation
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.source import ImageSource
    from pushd.source.extent import Extent

T = TypeVar("T")

_HANDS: Final = 2
"""Files on their way at once: while the daemon makes one durable, the other moves."""
_TIMES: Final = 3
"""How often all is brought when the daemon forgets it."""
_JOINED_WITHIN: Final = 2.0  # seconds for a thread to notice that nobody wants the rest


class Source(Protocol):
    """What an image is brought from. Threads share it."""

    def open(self, blob: Descriptor) -> Extent:
        """Open one blob of it for reading."""


def bring_source(
    conversation: Conversation,
    name: str,
    use: Callable[[Spooled], T],
    *,
    platforms: Collection[str],
    with_referrers: bool,
    progress: Callable[[int, int | None], None] | None,
    keep: bool,
) -> T:
    """Open the source `name` as the caller, bring its image to the daemon's spool, and give what `use` makes of that.

    Of an index only what is for `platforms` is brought, if there are any; `with_referrers` also what refers to it. With
    `keep` it stays there when `use` succeeds, for the job that needs it.

    Raises:
        RequestError: `request.malformed`, one of `platforms` is none.
        SourceError: the image is not the caller's to read either, or is malformed.
        PushdError: the daemon's refusals, and what `use` raises.
    """
    chosen = [Platform.parse(platform) for platform in platforms]
    source = _open(name)
    try:
        image = source.image(chosen)
        listing = None
        if with_referrers:
            image = source.with_referrers(image)
            listing = listing_of(image)
        return bring_image(conversation, source, image, use, listing=listing, progress=progress, keep=keep)
    finally:
        source.close()


def bring_image(
    conversation: Conversation,
    source: Source,
    image: Image,
    use: Callable[[Spooled], T],
    *,
    listing: bytes | None = None,
    progress: Callable[[int, int | None], None] | None,
    keep: bool,
) -> T:
    """Bring an image whose source is open, and what lists its referrers; otherwise as `bring_source`.

    Raises:
        SourceError: as the source does.
        PushdError: the daemon's refusals, and what `use` raises.
    """
    size = image.size + len(listing or b"")
    for _ in range(_TIMES):
        entry = Entry.create(conversation, size)
        try:
            with entry.at_hand(keep=keep):
                _Crew(conversation, entry, source, Tally(progress, size)).bring(image, listing)
                return hand_over(entry, image.root.descriptor, use, listing=listing)
        except GoneError:
            continue
    raise lost()


def hand_over(entry: Entry, root: Descriptor, use: Callable[[Spooled], T], *, listing: bytes | None = None) -> T:
    """Give what `use` makes of an image that is in the spool, and of what lists its referrers there.

    Raises:
        GoneError: it is there no more.
        PushdError: what `use` raises.
    """
    try:
        return use(
            Spooled(
                entry=entry.id,
                media_type=root.media_type,
                digest=str(root.digest),
                size=root.size,
                referrers=None if listing is None else str(Digest.of(listing)),
            )
        )
    except (RequestError, SourceError) as error:
        if error.code in (Code.REQUEST_NOT_FOUND, Code.SOURCE_NOT_FOUND):
            raise GoneError from error
        raise


def lost() -> RequestError:
    """Tell that the daemon forgot what was brought to it."""
    return RequestError(
        Code.REQUEST_NOT_FOUND, "what was brought to the daemon", "is gone from its spool", hint="bring it once more"
    )


def _open(name: str) -> ImageSource:
    gids = frozenset(os.getgroups()) | {os.getegid()}
    try:
        return open_source(name, uid=os.geteuid(), gids=gids)
    except SourceError as error:
        # The daemon is asked first, so what is said here is about the caller and not about it.
        if error.code is Code.SOURCE_NOT_FOUND:
            raise SourceError(error.code, error.subject, "is not there", hint=COLONS) from error
        raise


class _Crew:
    """A few threads that bring the files of an image, each over a connection of its own."""

    def __init__(self, conversation: Conversation, entry: Entry, source: Source, tally: Tally) -> None:
        self._conversation = conversation
        self._entry = entry
        self._source = source
        self._tally = tally
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def bring(self, image: Image, listing: bytes | None) -> None:
        """Bring all documents and blobs, and what lists referrers.

        Raises:
            GoneError, PushdError: what stopped the first thread that was stopped.
        """
        documents = {str(document.descriptor.digest): document.content for document in image.documents}
        if listing is not None:
            documents[str(Digest.of(listing))] = listing
        files: list[Callable[[Connection], None]] = [
            *(partial(self._document, name, content) for name, content in documents.items()),
            *(partial(self._blob, blob) for blob in image.blobs),
        ]
        rest = iter(files)
        # Daemon threads: nobody waits long for them when the caller is interrupted.
        hands = [Thread(target=self._work, args=(rest,), daemon=True) for _ in range(min(_HANDS, len(files)))]
        for hand in hands:
            hand.start()
        try:
            for hand in hands:
                hand.join()
        except BaseException:
            self._tally.stop()
            for hand in hands:
                hand.join(_JOINED_WITHIN)
            raise
        if self._failure is not None:
            raise self._failure

    def _work(self, files: Iterator[Callable[[Connection], None]]) -> None:
        connection = Connection(self._conversation.socket_path)
        try:
            while (bring := self._next(files)) is not None:
                bring(connection)
        except BaseException as error:  # noqa: BLE001 (it is raised in the thread that waits for this one)
            with self._lock:
                self._failure = self._failure or error
            self._tally.stop()
        finally:
            connection.close()

    def _next(self, files: Iterator[Callable[[Connection], None]]) -> Callable[[Connection], None] | None:
        with self._lock:
            return None if self._failure is not None else next(files, None)

    def _document(self, name: str, content: bytes, connection: Connection) -> None:
        self._entry.bring(connection, name, Held(content), last=True)
        self._tally.reached(name, len(content))

    def _blob(self, blob: Descriptor, connection: Connection) -> None:
        name = str(blob.digest)
        extent = self._source.open(blob)
        try:
            self._entry.bring(connection, name, Lying(extent, partial(self._tally.reached, name)), last=True)
        except RequestError as error:
            if error.code is Code.REQUEST_INVALID_DIGEST:
                raise damaged(name) from error
            raise
        finally:
            extent.close()
        self._tally.reached(name, blob.size)
