"""From an HTTP answer to the protocol's `Reply`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from pushd.oci.error_body import excerpt, parse_errors
from pushd.oci.reply import Reply, retry_after

if TYPE_CHECKING:
    from pushd.registry.wire import Answer


def to_reply(answer: Answer) -> Reply:
    """Read the parts of an answer that the protocol gives a meaning to."""
    headers = answer.headers
    location = headers.get("Location")
    failed = answer.status >= 400  # noqa: PLR2004 (4xx and 5xx)
    kind = headers.get("Content-Type")
    errors = parse_errors(answer.content, kind) if failed else ()
    return Reply(
        status=answer.status,
        # Absolute or relative, both are allowed (RFC 9110, 10.2.2).
        location=urljoin(answer.url, location) if location else None,
        range=headers.get("Range"),
        digest=headers.get("Docker-Content-Digest"),
        chunk_min=_bytes(headers.get("OCI-Chunk-Min-Length")) or 0,
        chunk_max=_bytes(headers.get("OCI-Chunk-Max-Length")) or 0,
        retry_after=retry_after(headers.get("Retry-After"), datetime.now(UTC)),
        length=_bytes(headers.get("Content-Length")),
        errors=errors,
        excerpt="" if errors else excerpt(answer.content, kind),
    )


def _bytes(header: str | None) -> int | None:
    text = (header or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None  # noqa: PLR2004 (2**64)
