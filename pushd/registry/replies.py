"""From an HTTP answer to the protocol's `Reply`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from pushd.oci.challenge import parse_challenges
from pushd.oci.error_body import excerpt, parse_errors
from pushd.oci.reply import Reply, retry_after
from pushd.registry.endpoint import resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pushd.oci.error_body import ErrorEntry
    from pushd.registry.wire import Answer

_QUOTED: Final = re.compile(
    r"(?P<kept>/[^\s?]*\?|authorization\W{1,4}(?:basic|bearer)\s+|\b(?:basic|bearer)\s+(?=[\w.~+/=-]{20}))\S+",
    re.IGNORECASE,
)
"""Where a peer that quotes our request to us, as proxies and web frameworks do, quotes what authorises it."""

_SHORTEST: Final = 4
"""Characters of a secret that is looked for: a shorter one is in every sentence, and no secret."""

_EXPIRED: Final = re.compile(r"\btoken has expired\b", re.IGNORECASE)


def to_reply(answer: Answer, *, known: bool = True, secrets: Iterable[str] = ()) -> Reply:
    """Read the parts of an answer that the protocol gives a meaning to.

    Args:
        answer: as it came.
        known: whether we had said who we are: to nobody, a right that is missing means that they are to log in.
        secrets: what we came with, and what is not to be repeated though a peer does.
    """
    headers = answer.headers
    location = headers.get("Location")
    failed = answer.status >= 400  # noqa: PLR2004 (4xx and 5xx)
    kind = headers.get("Content-Type")
    content = _without(answer.content, secrets) if failed else answer.content
    errors = tuple(_discreet(entry) for entry in parse_errors(content, kind)) if failed else ()
    return Reply(
        status=answer.status,
        location=resolved(location, answer.url) if location else None,
        range=headers.get("Range"),
        digest=headers.get("Docker-Content-Digest"),
        chunk_min=_bytes(headers.get("OCI-Chunk-Min-Length")) or 0,
        chunk_max=_bytes(headers.get("OCI-Chunk-Max-Length")) or 0,
        retry_after=retry_after(headers.get("Retry-After"), datetime.now(UTC)),
        length=_bytes(headers.get("Content-Length")),
        errors=errors,
        denied=known and answer.status == 401 and _lacks_right(answer),  # noqa: PLR2004 (unauthorised)
        excerpt="" if errors or not content else _QUOTED.sub(r"\g<kept>***", excerpt(content, kind)),
    )


def has_expired(answer: Answer) -> bool:
    """Whether an answer says that what we came with has expired, in the words of ECR, which calls that denied (403)."""
    if answer.status != 403:  # noqa: PLR2004 (forbidden)
        return False
    entries = parse_errors(answer.content, answer.headers.get("Content-Type"))
    return any(entry.code == "DENIED" and _EXPIRED.search(entry.message) for entry in entries)


def _lacks_right(answer: Answer) -> bool:
    challenges = parse_challenges(answer.headers.getall("WWW-Authenticate", ()))
    return any(challenge.parameters.get("error") == "insufficient_scope" for challenge in challenges)


def _without(content: bytes, secrets: Iterable[str]) -> bytes:
    """Give a body without our secrets, in whatever way it writes them: before it is cut short, and they with it."""
    spellings = {spelling for secret in secrets if len(secret) >= _SHORTEST for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        content = content.replace(spelling.encode(), b"***")
    return content


def _spellings(secret: str) -> Iterator[str]:
    """Give the ways to write a secret: as it is, in a URL or a form, in JSON, and in JSON that JSON quotes."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret))
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1])


def _discreet(entry: ErrorEntry) -> ErrorEntry:
    message, detail = (_QUOTED.sub(r"\g<kept>***", text) for text in (entry.message, entry.detail))
    return replace(entry, message=message, detail=detail)


def _bytes(header: str | None) -> int | None:
    text = (header or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None  # noqa: PLR2004 (2**64)
