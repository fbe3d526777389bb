"""Content digests: `algorithm:hex` (OCI image spec, descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from pushd.errors import Code, RequestError
from pushd.oci.text import printable, quoted

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_PATTERN = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<encoded>[a-zA-Z0-9=_-]+)")
_HEX = re.compile(r"[0-9a-f]+")


class Hasher(Protocol):
    """What of `hashlib`'s objects is used."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Feed more bytes."""

    def hexdigest(self) -> str:
        """Lower-case hex of all bytes fed."""

    def copy(self) -> Hasher:
        """Give a snapshot that goes on independently."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest whose algorithm is registered (sha256, sha512) and whose encoding is lower-case hex of its length."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `algorithm:hex`.

        Raises:
            RequestError: `request.invalid_digest`; malformed, or an algorithm nobody registered.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise _invalid(text, "is not algorithm:hex")
        algorithm, encoded = match["algorithm"], match["encoded"]
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            raise _invalid(text, f"has the algorithm {printable(algorithm, 20)}; known are {', '.join(_HEX_LENGTH)}")
        if len(encoded) != length or not _HEX.fullmatch(encoded):
            raise _invalid(text, f"is not {algorithm} followed by {length} lower-case hexadecimal digits")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """Compute the digest of `content`."""
        hasher = hashlib.new(algorithm, usedforsecurity=False)
        hasher.update(content)
        return cls(algorithm, hasher.hexdigest())

    def hasher(self) -> Hasher:
        """Give a fresh hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def matches(self, content: bytes) -> bool:
        """Whether `content` is what this digest names."""
        return Digest.of(content, self.algorithm) == self

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


def _invalid(text: str, detail: str) -> RequestError:
    return RequestError(Code.REQUEST_INVALID_DIGEST, quoted(text), detail)
