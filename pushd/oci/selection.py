"""Of an index only some children: what it says of each, and the index that lists just those (image-index.md).

An attestation that BuildKit adds to an index is a manifest for `unknown/unknown` whose annotations say what it is about
(moby/buildkit, docs/attestations/attestation-storage.md). It is no choice of its own: it goes with its image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import renamed
from pushd.oci.json_object import read_object, write_object
from pushd.oci.manifest import REBUILD, WHOLE
from pushd.oci.platform import Platform
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pushd.oci.descriptor import Descriptor

_KIND: Final = "vnd.docker.reference.type"
_ATTESTATION: Final = "attestation-manifest"
ABOUT: Final = "vnd.docker.reference.digest"
"""The annotation that says what a manifest an index lists is about."""

_SHOWN: Final = 10
_SHOWN_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Listed:
    """What an index says of a child beside its descriptor.

    Attributes:
        platform: what it runs on, or None where the index does not say.
        attestation: whether it is one.
        about: the digest of what it is an attestation of, as written; empty where that is not said.
    """

    platform: Platform | None
    attestation: bool
    about: str


def read_listed(content: bytes) -> tuple[Listed, ...]:
    """Read what an index, which `Manifest.parse` took, says of its children, in their order.

    Raises:
        SourceError: `source.manifest_invalid`, with the field as its subject.
    """
    entries = read_object(content, WHOLE)["manifests"] or ()
    return tuple(_listed(entry, f"manifests[{number}]") for number, entry in enumerate(entries))


def narrowed(content: bytes, kept: Mapping[int, Descriptor]) -> bytes:
    """Write an index that lists some children of another, in their order; always the same bytes for the same.

    Whatever else the index says stays as it is and where it is, what nobody knows included.

    Args:
        content: the other index, which `Manifest.parse` took.
        kept: by their position in it, the children that stay, as they are now.
    """
    fields = read_object(content, WHOLE)
    entries = fields["manifests"]
    fields["manifests"] = [renamed(entries[number], kept[number]) for number in sorted(kept)]
    return write_object(fields)


class Choice:
    """The platforms that are wanted, and those that were met on the way through an image."""

    def __init__(self, wanted: Collection[Platform]) -> None:
        self._wanted = frozenset(wanted)
        self._met: set[Platform] = set()

    def takes(self, platform: Platform | None) -> bool:
        """Whether an image of that platform was chosen. One without a platform never is."""
        if platform is None:
            return False
        self._met.add(platform)
        return platform in self._wanted

    def check(self, subject: str) -> None:
        """Refuse the image `subject` if it lacks a platform that is wanted.

        Raises:
            SourceError: `source.platform_unknown`.
        """
        lacking = sorted(self._wanted - self._met)
        if not lacking:
            return
        there = f"there {'is' if len(self._met) == 1 else 'are'} {_shown(self._met)}"
        detail = f"has nothing for {_shown(lacking)}; {there if self._met else 'there is nothing with a platform'}"
        raise SourceError(Code.SOURCE_PLATFORM_UNKNOWN, subject, detail, hint="choose among those that are there")


def _listed(entry: Mapping[str, Any], field: str) -> Listed:
    said = _object(entry, "platform", field)
    annotations = _object(entry, "annotations", field)
    about = annotations.get(ABOUT)
    return Listed(
        platform=Platform.of(said, f"{field}.platform"),
        attestation=annotations.get(_KIND) == _ATTESTATION,
        about=about if isinstance(about, str) else "",
    )


def _object(entry: Mapping[str, Any], name: str, field: str) -> Mapping[str, Any]:
    value = entry.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid(f"{field}.{name}", "is not an object")
    return value


def _shown(platforms: Collection[Platform]) -> str:
    """List platforms for a person."""
    shown = [printable(str(platform), _SHOWN_LENGTH) for platform in sorted(platforms)]
    if len(shown) > _SHOWN:
        shown[_SHOWN:] = [f"{len(shown) - _SHOWN} more"]
    return ", ".join(shown)


def _invalid(field: str, detail: str) -> SourceError:
    return SourceError(Code.SOURCE_MANIFEST_INVALID, field, detail, hint=REBUILD)
