"""A layout's own two documents, and the choice of an image (OCI image spec, image-layout.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from pushd.errors import Code, RequestError, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.media_types import MANIFESTS
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

REF_NAME: Final = "org.opencontainers.image.ref.name"
CONTAINERD_NAME: Final = "io.containerd.image.name"
"""Where containerd and BuildKit write the whole name, when `REF_NAME` is its tag alone."""

_SHOWN_NAMES: Final = 10
_SHOWN: Final = 128

_Document = TypeVar("_Document")


@dataclass(frozen=True, slots=True)
class Entry:
    """One descriptor of `index.json`.

    Attributes:
        position: where it stands, from 0.
        names: what the image is called, none to two of them.
    """

    position: int
    descriptor: Descriptor
    names: tuple[str, ...]


class _Marker(msgspec.Struct, rename={"version": "imageLayoutVersion"}):
    version: str


class _Descriptor(msgspec.Struct, rename={"media_type": "mediaType"}):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct):
    manifests: list[_Descriptor]


def check_marker(content: bytes, subject: str) -> None:
    """Check that `oci-layout` announces version 1 of the layout.

    Raises:
        SourceError: `source.layout_invalid`; it is malformed, or another version.
    """
    version = _decode(content, _Marker, f"oci-layout in {subject}").version
    if version.partition(".")[0] != "1":
        detail = f"is an image layout of version {printable(version, _SHOWN)}; known is 1.0.0"
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, detail)


def parse_index(content: bytes, subject: str) -> tuple[Entry, ...]:
    """Read `index.json`.

    Raises:
        SourceError: `source.layout_invalid`; it is malformed.
    """
    where = f"index.json in {subject}"
    manifests = _decode(content, _Index, where).manifests
    return tuple(_entry(position, given, where) for position, given in enumerate(manifests))


def choose(entries: Sequence[Entry], reference: str, subject: str) -> Descriptor:
    """Choose the image that `reference` names; the only one, when it is empty.

    `@N` is the image at position N of `index.json`, from 0, as newer skopeo has it: the only way to tell apart images
    without a name, and images of one name. An image listed more than once, under several tags, counts as one.
    Descriptors of other things than images, which a layout may list, count when there is nothing else.

    Raises:
        SourceError: `source.reference_unknown`, `source.ambiguous`, or `source.layout_invalid` for an empty layout.
    """
    images = [entry for entry in entries if entry.descriptor.media_type in MANIFESTS] or entries
    if not images:
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, "has no image in it")
    found = [entry for entry in images if reference in ("", f"@{entry.position}", *entry.names)]
    if not found:
        detail = f"has no image named {printable(reference, _SHOWN)}; there are {_listed(images)}"
        raise SourceError(Code.SOURCE_REFERENCE_UNKNOWN, subject, detail)
    if len({entry.descriptor.digest for entry in found}) > 1:
        named = f"more than one image named {printable(reference, _SHOWN)}" if reference else "more than one image"
        detail = f"has {named}: {_listed(found, besides=reference)}"
        hint = "add the one that is meant to the path, after a colon"
        raise SourceError(Code.SOURCE_AMBIGUOUS, subject, detail, hint=hint)
    return found[0].descriptor


def _entry(position: int, given: _Descriptor, where: str) -> Entry:
    try:
        digest = Digest.parse(given.digest)
    except RequestError as error:
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, where, f"the digest {error}") from error
    if given.size < 0:
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, where, f"gives {digest} the size {given.size}")
    annotations = given.annotations or {}
    names = (annotations[key] for key in (REF_NAME, CONTAINERD_NAME) if annotations.get(key))
    return Entry(position, Descriptor(given.media_type, digest, given.size), tuple(dict.fromkeys(names)))


def _decode(content: bytes, kind: type[_Document], subject: str) -> _Document:
    try:
        return msgspec.json.decode(content, type=kind)
    # Invalid UTF-8 is a ValueError, nesting without end a RecursionError; msgspec's own are both ValueErrors.
    except (ValueError, RecursionError) as error:
        detail = f"cannot be read: {printable(str(error), _SHOWN)}"
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, detail) from error


def _listed(entries: Sequence[Entry], besides: str = "") -> str:
    """List for a person what each image can be chosen by, other than `besides`."""
    labels = [next((name for name in entry.names if name != besides), f"@{entry.position}") for entry in entries]
    shown = [printable(label, _SHOWN) for label in dict.fromkeys(labels)]
    if len(shown) > _SHOWN_NAMES:
        shown[_SHOWN_NAMES:] = [f"{len(shown) - _SHOWN_NAMES} more"]
    return ", ".join(shown)
