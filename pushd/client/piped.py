"""An archive that comes down a pipe: read once and forwards, its files brought to the spool as they come by.

Which of them make up the image is known only when all have passed. So blobs are brought as soon as they come, small
documents are kept as well, and at the end the image is chosen and put together from them. What it does not need goes
with the entry of the spool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from pushd.client.bringing import hand_over, lost
from pushd.client.cargo import NO_ROOM, Cargo
from pushd.client.entry import Entry, GoneError
from pushd.client.exchange import Connection
from pushd.client.forward import SUBJECT, Forward
from pushd.client.parts import Tally
from pushd.errors import Code, RequestError, SourceError, StoreError
from pushd.oci.image import read_image
from pushd.oci.platform import Platform
from pushd.source.assembly import root_of
from pushd.source.blobs import path_of
from pushd.source.saved import LIST, PART, Indexed, find_image

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushd.client.conversation import Conversation
    from pushd.job import Spooled
    from pushd.oci.descriptor import Descriptor
    from pushd.source.assembly import Apart
    from pushd.source.saved import Documents

T = TypeVar("T")

_FIRST: Final = 64 << 20
"""Bytes reserved before it is known how many there are; then twice as many, and so on."""
_LEAST: Final = 1 << 20
"""Bytes reserved at first where there is no room for more."""


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
            cargo = Cargo(entry, connection, Tally(progress, None))
            cargo.take_all(forward)
            name, root = _image(cargo, find, chosen)
            cargo.trim()
            piped = Piped(name, LIST in cargo)
            return hand_over(entry, root, lambda spooled: use(piped, spooled))
    except GoneError as error:
        raise lost() from error
    finally:
        connection.close()


def _make(conversation: Conversation) -> Entry:
    try:
        return Entry.create(conversation, _FIRST)
    except (RequestError, StoreError) as error:
        if error.code not in NO_ROOM:
            raise
        return Entry.create(conversation, _LEAST)


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


def _image(
    cargo: Cargo, find: Callable[[Documents], Indexed | Apart], platforms: Collection[Platform]
) -> tuple[str, Descriptor]:
    """Put the image together; give what it is called, or nothing, and its root, which is in the spool then.

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
    return "/".join(path_of(blob))
