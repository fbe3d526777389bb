"""An archive that comes down a pipe: read once and forwards, its files brought to the spool as they come by.

Which of them make up the image is known only when all have passed. So blobs are brought as soon as they come, small
documents are kept as well, and at the end the image is chosen and put together from them. What it does not need goes
with the entry of the spool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from pushd.client import docker
from pushd.client.bringing import hand_over, lost
from pushd.client.cargo import NO_ROOM, Cargo, blob_path
from pushd.client.entry import Entry, GoneError
from pushd.client.exchange import Connection
from pushd.client.forward import SUBJECT, Forward, invalid
from pushd.client.parts import Tally
from pushd.errors import Code, RequestError, SourceError, StoreError
from pushd.oci.descriptor import Descriptor
from pushd.oci.image import read_image
from pushd.oci.media_types import OCI_MANIFEST
from pushd.oci.platform import Platform
from pushd.source.index import check_marker, choose, parse_index

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pushd.client.conversation import Conversation
    from pushd.job import Spooled
    from pushd.source.index import Entry as Listed

T = TypeVar("T")

_FIRST: Final = 64 << 20
"""Bytes reserved before it is known how many there are; then twice as many, and so on."""
_LEAST: Final = 1 << 20
"""Bytes reserved at first where there is no room for more."""
_NOT_LISTED: Final = frozenset({Code.SOURCE_LAYOUT_INVALID, Code.SOURCE_REFERENCE_UNKNOWN})
_INDEX: Final = "index.json"
_MARKER: Final = "oci-layout"
_LIST: Final = "manifest.json"
_PART: Final = "if it has only one platform of several, choose that with --platform"


def bring_stream(
    conversation: Conversation,
    stream: BinaryIO,
    reference: str,
    use: Callable[[str, Spooled], T],
    *,
    platforms: Collection[str],
    progress: Callable[[int, int | None], None] | None,
) -> T:
    """Bring the image `reference` of the archive in `stream` to the daemon's spool; give what `use` makes of it.

    Of an index only what is for `platforms` has to be in the archive, if there are any, and is the image that was
    brought. `use` is told what the image is called, or nothing, and where it was brought.

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
        with entry.at_hand(keep=True):
            cargo = Cargo(entry, connection, Tally(progress, None))
            cargo.take_all(forward)
            name, root = _image(cargo, reference, chosen)
            cargo.trim()
            return hand_over(entry, root, lambda spooled: use(name, spooled))
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


def _image(cargo: Cargo, reference: str, platforms: Collection[Platform]) -> tuple[str, Descriptor]:
    """Put the image together; give what it is called, or nothing, and its root, which is in the spool then.

    Raises:
        SourceError: the archive has no such image, or not all of it.
    """
    if _INDEX in cargo:
        try:
            return _layout(cargo, reference, platforms)
        except SourceError as error:
            # Docker 25 and newer leave images out of index.json that were named by digest, or all of them
            # (moby/moby#47210, #51389); manifest.json has them.
            if error.code not in _NOT_LISTED or _LIST not in cargo:
                raise
    if _LIST in cargo:
        return _saved(cargo, reference)
    raise invalid(
        "is no image: it has neither an index.json nor a manifest.json",
        hint="what docker save, podman save and skopeo copy write can be pushed; what docker export writes cannot",
    )


def _layout(cargo: Cargo, reference: str, platforms: Collection[Platform]) -> tuple[str, Descriptor]:
    """Find an image of an OCI image layout (image-layout.md), and bring what the choice of platforms made of it."""
    if _MARKER not in cargo:
        raise invalid(f"is no OCI image layout, it has no {_MARKER}")
    check_marker(cargo.kept(_MARKER), SUBJECT)
    entries = parse_index(cargo.kept(_INDEX), SUBJECT)
    listed = _said(lambda: choose(entries, _spelled(entries, reference), SUBJECT))
    image = read_image(listed, lambda document: cargo.kept(blob_path(document), hint=_PART), platforms)
    for blob in image.blobs:
        size = cargo.brought(blob_path(blob)).size
        if size != blob.size:
            detail = f"has {size} bytes; its descriptor says {blob.size}"
            raise SourceError(Code.SOURCE_BLOB_SIZE, f"{blob.digest} in {SUBJECT}", detail)
    for document in image.documents:
        if blob_path(document.descriptor) not in cargo:
            cargo.bring(document.content, "an index of the chosen platforms")
    names = [name for entry in entries if entry.descriptor.digest == listed.digest for name in entry.names]
    return reference or next(iter(names), ""), image.root.descriptor


def _saved(cargo: Cargo, reference: str) -> tuple[str, Descriptor]:
    """Put an image together that `docker save` took apart, and bring what was missing of it."""
    images = docker.parse_list(cargo.kept(_LIST))
    image = _said(lambda: docker.select(images, reference))
    config = cargo.kept(image.config)
    manifest = docker.build_manifest(image, config, cargo.brought)
    cargo.bring(config, image.config)
    root = cargo.bring(manifest, _LIST)
    return reference or next(iter(image.names), ""), Descriptor(OCI_MANIFEST, root.digest, root.size)


def _said(chosen: Callable[[], T]) -> T:
    """Give the image that was chosen; where there are several, say how to name one here."""
    try:
        return chosen()
    except SourceError as error:
        if error.code is Code.SOURCE_AMBIGUOUS:
            hint = "name the one that is meant, as in -:NAME"
            raise SourceError(error.code, error.subject, error.detail, hint=hint) from error
        raise


def _spelled(entries: Sequence[Listed], reference: str) -> str:
    """Give `reference` as the archive writes it: what was saved as `app:1` is `docker.io/library/app:1` in there."""
    if not reference or any(reference in entry.names for entry in entries):
        return reference
    names = (name for entry in entries for name in entry.names)
    return next((name for name in names if docker.familiar(name) == docker.familiar(reference)), reference)
