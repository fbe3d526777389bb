"""A layout's own two documents, and the choice of an image (OCI image spec, image-layout.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pushd.errors import Code, RequestError, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.json_object import read_object
from pushd.oci.media_types import MANIFESTS
from pushd.oci.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REF_NAME: Final = "org.opencontainers.image.ref.name"
CONTAINERD_NAME: Final = "io.containerd.image.name"
"""Where containerd and BuildKit write the whole name, when `REF_NAME` is its tag alone."""

_SHOWN_NAMES: Final = 10
_SHOWN: Final = 128
_MAX_SIZE: Final = (1 << 63) - 1  # descriptor.md: size is an int64


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


def check_marker(content: bytes, subject: str) -> None:
    """Check that `oci-layout` announces version 1 of the layout.

    Raises:
        SourceError: `source.layout_invalid`; it is malformed, or another version.
    """
    where = f"oci-layout in {subject}"
    version = _string(_read(content, where), "imageLayoutVersion", where)
    if version.partition(".")[0] != "1":
        detail = f"is an image layout of version {printable(version, _SHOWN)}; known is 1.0.0"
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, detail)


def parse_index(content: bytes, subject: str) -> tuple[Entry, ...]:
    """Read `index.json`.

    Raises:
        SourceError: `source.layout_invalid`; it is malformed.
    """
    where = f"index.json in {subject}"
    manifests = _read(content, where).get("manifests")
    if not isinstance(manifests, list):
        raise _malformed(where, "`manifests` is no array")
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
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, "has no image in it", hint="save or copy one to it")
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


def _entry(position: int, given: object, where: str) -> Entry:
    field = f"manifests[{position}]"
    if not isinstance(given, dict):
        raise _malformed(where, f"`{field}` is no object")
    media_type = _string(given, "mediaType", where, f"{field}.")
    try:
        digest = Digest.parse(_string(given, "digest", where, f"{field}."))
    except RequestError as error:
        raise _malformed(where, f"`{field}.digest` is {error.subject}, which {error.detail}") from error
    size = given.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        raise _malformed(where, f"`{field}.size` is no number of bytes")
    return Entry(position, Descriptor(media_type, digest, size), _names(given, where, field))


def _names(given: Mapping[str, Any], where: str, field: str) -> tuple[str, ...]:
    annotations = given.get("annotations") or {}  # null is what Go programs write for an empty one
    if not isinstance(annotations, dict):
        raise _malformed(where, f"`{field}.annotations` is no object")
    found = [key for key in (REF_NAME, CONTAINERD_NAME) if annotations.get(key)]
    return tuple(dict.fromkeys(_string(annotations, key, where, f"{field}.annotations.") for key in found))


def _read(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        return read_object(content, where)
    except SourceError as error:
        # What is given twice is named in place of the document.
        detail = error.detail if error.subject == where else f"{error.subject} {error.detail}"
        raise _malformed(where, detail) from error


def _string(fields: Mapping[str, Any], name: str, where: str, within: str = "") -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {quoted(str(value))}, no text"
        raise _malformed(where, f"`{within}{name}` {found}")
    return value


def _malformed(where: str, detail: str) -> SourceError:
    return SourceError(Code.SOURCE_LAYOUT_INVALID, where, detail)


def _listed(entries: Sequence[Entry], besides: str = "") -> str:
    """List for a person what each image can be chosen by, other than `besides`."""
    labels = [next((name for name in entry.names if name != besides), f"@{entry.position}") for entry in entries]
    shown = [printable(label, _SHOWN) for label in dict.fromkeys(labels)]
    if len(shown) > _SHOWN_NAMES:
        shown[_SHOWN_NAMES:] = [f"{len(shown) - _SHOWN_NAMES} more"]
    return ", ".join(shown)
