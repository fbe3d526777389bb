"""Descriptors: what a manifest says of the content it refers to (OCI image spec, descriptor.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushd.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Media type, digest and size in bytes of one piece of content."""

    media_type: str
    digest: Digest
    size: int
