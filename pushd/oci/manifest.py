"""Manifests and indexes: what they refer to (OCI image spec 1.1, manifest.md and image-index.md; Docker schema 2).

Only what a push needs is read. The bytes are kept by whoever has them and never written anew: their digest is the
image's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pushd.errors import Code, RequestError, SourceError
from pushd.oci import media_types
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.json_object import read_object
from pushd.oci.text import quoted

WHOLE = "manifest"
"""The subject of errors about a document as a whole rather than one of its fields."""

REBUILD = "build or export the image again"
"""The next step when a document is broken: nothing can be mended without giving it another digest."""

MAX_SIZE = 4 << 20
"""Bytes of the largest manifest that registries are asked to take (distribution spec, "Pushing Manifests")."""

_SIZE_LIMIT = (1 << 63) - 1  # descriptor.md: size is an int64
# RFC 6838's names with room for the parameters some tools add; what matters is that no header can be broken.
_MEDIA_TYPE = re.compile(r"(?=.{3,255}\Z)[!-~]+/[ -~]*[!-~]")
_IMAGE_FIELDS = ("config", "layers")
_INDEX_FIELDS = ("manifests",)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest or index refers to.

    Attributes:
        media_type: the document's own, one of `media_types.MANIFESTS`.
        blobs: the config, then the layers as listed, duplicates included. Foreign layers that name another home in
            `urls` are not among them: no client pushes these.
        children: the manifests an index lists, as listed. Their media types are whatever the index says.
        subject: the manifest an OCI document refers to (1.1), which may or may not exist anywhere.
    """

    media_type: str
    blobs: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Descriptor | None

    @classmethod
    def parse(cls, content: bytes, media_type: str | None = None) -> Manifest:
        """Read a manifest or an index.

        Args:
            content: the document's bytes.
            media_type: what the descriptor that led here says it is. It decides when the document itself says nothing;
                with neither, the structure does.

        Raises:
            SourceError: `source.manifest_invalid`, `.manifest_too_large` or `.manifest_unsupported`, with the field
                (`layers[2].digest`) or `manifest` as its subject.
        """
        if len(content) > MAX_SIZE:
            raise too_large(WHOLE, len(content))
        fields = read_object(content, WHOLE)
        _check_schema(fields, media_type)
        kind = _media_type(fields, media_type)
        # A document that is an image to one reader and an index to another is two images under one digest:
        # CVE-2021-41190.
        for name in _IMAGE_FIELDS if kind in media_types.INDEXES else _INDEX_FIELDS:
            if name in fields:
                raise _invalid(name, f"has no place in a document of media type {kind}")
        blobs, children = ((), _children(fields)) if kind in media_types.INDEXES else (_blobs(fields), ())
        return cls(kind, blobs, children, _subject(fields, kind))


def too_large(subject: str, size: int) -> SourceError:
    """Build the error about a document of `size` bytes, which is over `MAX_SIZE`."""
    detail = f"is {size} bytes; registries take at most {MAX_SIZE}"
    return SourceError(Code.SOURCE_MANIFEST_TOO_LARGE, subject, detail)


def located(error: SourceError, document: str) -> SourceError:
    """Give an error of `Manifest.parse` as one about `document`, or about a field of it. Raise it `from error`."""
    subject = document if error.subject == WHOLE else f"{document}, {error.subject}"
    return SourceError(error.code, subject, error.detail, hint=error.hint)


def unsupported(subject: str, media_type: str) -> SourceError:
    """Build the error about a document whose media type is none that registries keep as a manifest today."""
    if media_type in media_types.SCHEMA_1:
        return SourceError(
            Code.SOURCE_MANIFEST_UNSUPPORTED,
            subject,
            "is Docker image manifest version 2, schema 1, which registries no longer take",
            hint="convert the image with skopeo copy --format oci, or build it again",
        )
    return SourceError(
        Code.SOURCE_MANIFEST_UNSUPPORTED,
        subject,
        f"has the media type {quoted(media_type)}, which is no image manifest or index",
        hint="OCI image manifests and indexes, Docker schema 2 manifests and manifest lists can be pushed",
    )


def is_elsewhere(layer: object, field: str) -> bool:
    """Whether a layer, as a manifest lists it under `field`, is a foreign one and says where else it is to be had.

    Raises:
        SourceError: `source.manifest_invalid`, its `urls` are no list of text.
    """
    if not isinstance(layer, dict):
        return False
    urls = [_string(url, name) for name, url in _array(layer, "urls", within=f"{field}.", required=False)]
    media_type = layer.get("mediaType")
    return bool(urls) and isinstance(media_type, str) and media_type.startswith(media_types.FOREIGN_LAYERS)


def _invalid(field: str, detail: str) -> SourceError:
    return SourceError(Code.SOURCE_MANIFEST_INVALID, field, detail, hint=REBUILD)


def _check_schema(fields: dict[str, Any], expected: str | None) -> None:
    """Refuse Docker's schema 1, whichever way it shows, and documents of no known schema."""
    version = fields.get("schemaVersion")
    first = type(version) is int and version == 1
    for named in (expected, fields.get("mediaType")):
        if isinstance(named, str) and named in media_types.SCHEMA_1:
            first = True
    if first or "fsLayers" in fields:
        raise unsupported(WHOLE, media_types.DOCKER_SCHEMA_1)
    if "schemaVersion" not in fields:
        raise _invalid("schemaVersion", "is missing")
    if type(version) is not int or version != 2:  # noqa: PLR2004 (the only version there is)
        raise _invalid("schemaVersion", "is not 2")


def _media_type(fields: dict[str, Any], expected: str | None) -> str:
    own = fields.get("mediaType")
    if own is not None and not isinstance(own, str):
        raise _invalid("mediaType", "is not a string")
    if own is not None and expected is not None and own != expected:
        raise _invalid("mediaType", f"is {quoted(own)}, but the descriptor of the document says {quoted(expected)}")
    named = own if own is not None else expected
    if named is not None:
        if named not in media_types.MANIFESTS:
            raise unsupported(WHOLE, named)
        return named
    if any(name in fields for name in _IMAGE_FIELDS):
        return media_types.OCI_MANIFEST
    if any(name in fields for name in _INDEX_FIELDS):
        return media_types.OCI_INDEX
    raise _invalid(WHOLE, "is neither an image manifest (config and layers) nor an index (manifests)")


def _blobs(fields: dict[str, Any]) -> tuple[Descriptor, ...]:
    config = _descriptor(_required(fields, "config"), "config")
    layers = (_descriptor(value, field) for field, value in _array(fields, "layers") if not is_elsewhere(value, field))
    return (config, *layers)


def _children(fields: dict[str, Any]) -> tuple[Descriptor, ...]:
    return tuple(_descriptor(value, field) for field, value in _array(fields, "manifests"))


def _subject(fields: dict[str, Any], kind: str) -> Descriptor | None:
    value = fields.get("subject")
    # To Docker's documents the field is unknown; a registry lists no referrers by it.
    if value is None or kind not in media_types.OCI:
        return None
    return _descriptor(value, "subject")


def _descriptor(value: object, field: str) -> Descriptor:
    if not isinstance(value, dict):
        raise _invalid(field, "is not an object")
    within = f"{field}."
    media_type = _string(_required(value, "mediaType", within), f"{within}mediaType")
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise _invalid(f"{within}mediaType", f"is {quoted(media_type)}, which is no media type")
    digest = _string(_required(value, "digest", within), f"{within}digest")
    try:
        parsed = Digest.parse(digest)
    except RequestError as error:
        raise _invalid(f"{within}digest", f"is {error.subject}, which {error.detail}") from error
    return Descriptor(media_type, parsed, _size(_required(value, "size", within), f"{within}size"))


def _size(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid(field, "is not a whole number")
    if value < 0:
        raise _invalid(field, "is negative")
    if value > _SIZE_LIMIT:
        raise _invalid(field, "does not fit into 64 bits")
    return value


def _array(fields: dict[str, Any], name: str, *, within: str = "", required: bool = True) -> list[tuple[str, object]]:
    """Give the elements of an array with their names. null is what Go programs write for one without elements."""
    value = _required(fields, name, within) if required else fields.get(name)
    if value is not None and not isinstance(value, list):
        raise _invalid(f"{within}{name}", "is not an array")
    return [(f"{within}{name}[{number}]", element) for number, element in enumerate(value or ())]


def _required(fields: dict[str, Any], name: str, within: str = "") -> object:
    if name not in fields:
        raise _invalid(f"{within}{name}", "is missing")
    return fields[name]


def _string(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise _invalid(field, "is not a string")
    return value
