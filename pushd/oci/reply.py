"""What a registry answered, as a value, and what a refusal means (OCI distribution spec 1.1, "Error codes")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.text import printable

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.oci.digest import Digest
    from pushd.oci.error_body import ErrorEntry


@dataclass(frozen=True, slots=True)
class Reply:
    """The parts of an HTTP response that the protocol gives a meaning to.

    Attributes:
        status: the HTTP status.
        location: the Location header made absolute, or None. Its query is a secret.
        range: the Range header as sent, or None.
        digest: the Docker-Content-Digest header as sent, or None.
        chunk_min: OCI-Chunk-Min-Length in bytes, 0 when absent.
        chunk_max: OCI-Chunk-Max-Length in bytes, 0 when absent; only a proposal, yet some registries send it.
        retry_after: seconds until the registry wants to hear of us again, or None.
        length: the Content-Length, or None.
        errors: the entries of the error body; empty when it had none that could be read.
        excerpt: what a body that is no error document says, short and printable.
        denied: whether the challenge of a 401 says that a right is missing (RFC 6750, 3.1, `insufficient_scope`).
    """

    status: int
    location: str | None = field(default=None, repr=False)
    range: str | None = None
    digest: str | None = None
    chunk_min: int = 0
    chunk_max: int = 0
    retry_after: float | None = None
    length: int | None = None
    errors: tuple[ErrorEntry, ...] = ()
    excerpt: str = ""
    denied: bool = False

    @property
    def codes(self) -> frozenset[str]:
        """The codes of the error body."""
        return frozenset(entry.code for entry in self.errors)

    @property
    def throttled(self) -> bool:
        """Whether the registry asks to be left alone for a while."""
        return self.status == 429 or "TOOMANYREQUESTS" in self.codes or self.retry_after is not None  # noqa: PLR2004

    @property
    def transient(self) -> bool:
        """Whether the status says "not now" rather than "no"."""
        return self.status in _TRANSIENT or (self.status >= 500 and self.status not in _NEVER)  # noqa: PLR2004 (5xx)


_TRANSIENT = frozenset({408, 425, 429})
_NEVER = frozenset({501, 505, 511})


@dataclass(frozen=True, slots=True)
class Stored:
    """What a registry answered that has taken a manifest.

    Attributes:
        digest: under which it keeps it.
        listed: whether it lists it by its subject (spec end-7, `OCI-Subject`); else whoever pushed it is to do so.
    """

    digest: Digest
    listed: bool = False


_BY_ERROR_CODE = {
    "NAME_INVALID": Code.REGISTRY_NAME_INVALID,
    "DIGEST_INVALID": Code.REGISTRY_DIGEST_MISMATCH,
    "MANIFEST_INVALID": Code.REGISTRY_MANIFEST_INVALID,
    "MANIFEST_UNVERIFIED": Code.REGISTRY_MANIFEST_INVALID,
    "MANIFEST_BLOB_UNKNOWN": Code.REGISTRY_BLOB_UNKNOWN,
    "BLOB_UPLOAD_UNKNOWN": Code.REGISTRY_UPLOAD_LOST,
    "TOOMANYREQUESTS": Code.REGISTRY_THROTTLED,
}
# A code that names an identity problem is believed only with a status that can mean it: registries have answered
# 500 with UNAUTHORIZED in the body while their token service was down, and that passes.
_BY_STATUS = {
    401: Code.REGISTRY_UNAUTHORIZED,
    403: Code.REGISTRY_DENIED,
    404: Code.REGISTRY_NOT_FOUND,
    429: Code.REGISTRY_THROTTLED,
}

_HINTS = {
    Code.REGISTRY_UNAUTHORIZED: "log in to it: `docker login` where you push, or `pushctl login`",
    Code.REGISTRY_DENIED: "the credential in use may not push there; ask for the right, or use another credential",
    Code.REGISTRY_NOT_FOUND: "check the repository's name; some registries want it created first",
    Code.REGISTRY_NAME_INVALID: "check the repository's name against the registry's rules",
    Code.REGISTRY_MALFORMED: "check that the address is a registry and not a web site or proxy in front of it",
    Code.REGISTRY_REDIRECTED: "push to the address it names instead",
    Code.REGISTRY_THROTTLED: "it asks for patience",
}


def refusal(reply: Reply, subject: str, asked: str) -> RegistryError:
    """Turn a reply that is not the hoped-for one into an error.

    Args:
        reply: what was answered.
        subject: what it was about: a reference, or a blob at a repository.
        asked: what was asked for, in words: "to open an upload".
    """
    code = _code(reply)
    said = "; ".join(": ".join(filter(None, (entry.code, entry.message))) for entry in reply.errors)
    detail = f"the registry answered {reply.status} when asked {asked}"
    if said or reply.excerpt:
        detail = f"{detail} ({said or reply.excerpt})"
    if code is Code.REGISTRY_REDIRECTED and reply.location:
        detail = f"{detail} and points to {_shown(reply.location)}"
    return RegistryError(code, subject, detail, hint=_HINTS.get(code, ""), retry_after=reply.retry_after)


def _shown(url: str) -> str:
    """Give a URL without what may be secret in it: user information, query, fragment."""
    scheme, slashes, rest = re.split("[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return printable(f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}", 200)


def _code(reply: Reply) -> Code:
    # A blob that a manifest lacks can be brought, whatever else there was about it. The others in their order: that of
    # `codes` is another in each process.
    for entry in sorted(reply.errors, key=lambda it: it.code != "MANIFEST_BLOB_UNKNOWN"):
        if entry.code in _BY_ERROR_CODE:
            return _BY_ERROR_CODE[entry.code]
    if reply.status in _BY_STATUS:
        return Code.REGISTRY_DENIED if reply.denied else _BY_STATUS[reply.status]
    if reply.transient:
        return Code.REGISTRY_UNAVAILABLE
    if reply.status < 300:  # noqa: PLR2004 (a success nobody asked for)
        return Code.REGISTRY_MALFORMED
    if reply.status < 400:  # noqa: PLR2004 (3xx)
        return Code.REGISTRY_REDIRECTED
    return Code.REGISTRY_REFUSED


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, 10.2.3).

    Args:
        header: as sent.
        now: aware; a date is counted from here.

    Returns:
        Seconds, never negative; None when absent or unreadable.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else None  # noqa: PLR2004 (three hundred years is no answer)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:  # "-0000": a date in UTC of unknown zone
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
