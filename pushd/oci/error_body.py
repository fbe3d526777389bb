"""The body of a registry's error reply (OCI distribution spec 1.1, "Error Codes"), or whatever came instead of it.

All text is from outside: it is given as single printable lines of bounded length.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from pushd.oci.text import printable

_MOST_BYTES = 64 << 10
_MOST_ENTRIES = 8
_CODE_LIMIT = 64
_TEXT_LIMIT = 300
_EXCERPT_LIMIT = 200

# Only what is meant as a headline: error pages of object stores quote what was signed, signatures included. Each
# repetition stops at the next "<", so that a hostile page is still read in linear time.
_HEADLINES = tuple(
    re.compile(rf"<{tag}(?:\s[^<>]*)?>(?P<text>[^<]*)", re.IGNORECASE) for tag in ("title", "h1", "message")
)


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One entry of `errors`.

    Attributes:
        code: as the spec lists them (`BLOB_UNKNOWN`), or empty when the registry named none.
        message: for a person, or empty.
        detail: text as it is, anything else as JSON, or empty.
    """

    code: str
    message: str
    detail: str


def parse_errors(body: bytes, content_type: str | None) -> tuple[ErrorEntry, ...]:
    """Read `{"errors": [...]}`; nothing of any other body. At most eight entries, and of at most 64 KiB."""
    if len(body) > _MOST_BYTES or "html" in (content_type or "").lower():
        return ()
    try:
        document = json.loads(body.decode())
        entries = document.get("errors") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            return ()
        said = [_entry(entry) for entry in entries if isinstance(entry, dict)]
    except (ValueError, RecursionError):
        return ()
    return tuple(entry for entry in said if entry.code or entry.message)[:_MOST_ENTRIES]


def excerpt(body: bytes, content_type: str | None) -> str:
    """Give one readable line of a body that `parse_errors` made nothing of; of markup the headline alone."""
    text = body[:_MOST_BYTES].decode(errors="replace")
    if "\0" in text:  # not text at all
        return ""
    if "html" in (content_type or "").lower() or text.lstrip().startswith("<"):
        text = _headline(text)
    return printable(text, _EXCERPT_LIMIT)


def _entry(entry: dict[str, Any]) -> ErrorEntry:
    detail = entry.get("detail")
    if not isinstance(detail, str):
        detail = json.dumps(detail, ensure_ascii=False) if detail else ""
    return ErrorEntry(
        _text(entry.get("code"), _CODE_LIMIT), _text(entry.get("message"), _TEXT_LIMIT), printable(detail, _TEXT_LIMIT)
    )


def _text(value: object, limit: int) -> str:
    return printable(value, limit) if isinstance(value, str) else ""


def _headline(page: str) -> str:
    for pattern in _HEADLINES:
        for match in pattern.finditer(page):
            if text := html.unescape(match["text"]).strip():
                return text
    return ""
