"""Platforms: what an image runs on (OCI image spec, image-index.md, `platform`; config.md).

One platform has several spellings. Those of containerd are told to be the same, because Docker, BuildKit and
Kubernetes read them so (containerd/platforms, "Normalization").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RequestError, SourceError
from pushd.oci.manifest import REBUILD
from pushd.oci.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT: Final = re.compile(r"([A-Za-z0-9_.-]+)/([A-Za-z0-9_.-]+)(?:/([A-Za-z0-9_.-]+))?")
_SYSTEMS: Final = {"macos": "darwin"}
_ARCHITECTURES: Final = {"x86_64": "amd64", "x86-64": "amd64", "i386": "386", "aarch64": "arm64"}
_ARM: Final = {"armhf": "v7", "armel": "v6"}
"""Names of Debian's that are an architecture and its variant in one."""
_VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    "amd64": {"v1": ""},
    "arm64": {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"},
    "arm": {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"},
}
"""By architecture, the variants that are another's spelling, and what is meant."""


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system and an architecture, in the spelling that stands for all others.

    Attributes:
        os: in lower case, such as `linux`.
        architecture: likewise, such as `amd64`.
        variant: likewise, such as `v7`; empty where there is none, or the usual one is meant (`arm64` is `v8`).
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `OS/ARCH[/VARIANT]`.

        Raises:
            RequestError: `request.malformed`.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            hint = "write it as OS/ARCH[/VARIANT], as in linux/arm64"
            raise RequestError(Code.REQUEST_MALFORMED, quoted(text), "is no platform", hint=hint)
        return _normal(match[1], match[2], match[3] or "")

    @classmethod
    def of(cls, fields: Mapping[str, object], subject: str) -> Platform | None:
        """Read the fields of a descriptor's `platform`, or of a config; None where they name none.

        `os.version` and `os.features` are passed over: what differs in these alone is chosen together.

        Raises:
            SourceError: `source.manifest_invalid`, a field of `subject` is no text.
        """
        system, architecture, variant = (_text(fields, name, subject) for name in ("os", "architecture", "variant"))
        return _normal(system, architecture, variant) if system and architecture else None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def _normal(system: str, architecture: str, variant: str) -> Platform:
    system, architecture, variant = system.lower(), architecture.lower(), variant.lower()
    if architecture in _ARM:
        architecture, variant = "arm", _ARM[architecture]
    architecture = _ARCHITECTURES.get(architecture, architecture)
    variant = _VARIANTS.get(architecture, {}).get(variant, variant)
    return Platform(_SYSTEMS.get(system, system), architecture, variant)


def _text(fields: Mapping[str, object], name: str, subject: str) -> str:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, f"{subject}.{name}", "is not a string", hint=REBUILD)
    return value or ""
