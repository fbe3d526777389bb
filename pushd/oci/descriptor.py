"""Descriptors: what a manifest says of the content it refers to (OCI image spec, descriptor.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushd.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Media type, digest and size in bytes of one piece of content."""

    media_type: str
    digest: Digest
    size: int

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON has it, in the order of the specification."""
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}


def renamed(entry: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Give a descriptor as JSON has it with the media type, the digest and the size of what it names now.

    What else it says stays, in its order; not its embedded content (descriptor.md, `data`), if it names another thing.
    """
    if entry["digest"] == str(descriptor.digest):
        return entry
    kept = {name: value for name, value in entry.items() if name != "data"}
    return kept | descriptor.fields
