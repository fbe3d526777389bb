"""What stands in the first line of a request: paths and queries, encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")


def path(*steps: str) -> str:
    """Give the path below `/v1` with these steps, whatever is in them."""
    return "/v1/" + "/".join(quote(step) for step in steps)


def query(pairs: Iterable[tuple[str, str]]) -> str:
    """Give a query, with its question mark; nothing for no pairs."""
    text = "&".join(f"{name}={quote(value)}" for name, value in pairs)
    return f"?{text}" if text else ""


def quote(text: str) -> str:
    """Percent-encode all but unreserved characters (RFC 3986, 2.3), dots too, for `..` is no step of ours.

    It makes one step of a path of any text, or one value of a query. `urllib.parse` is slow to import.
    """
    octets = text.encode(errors="surrogateescape")
    return "".join(chr(octet) if octet in _SAFE else f"%{octet:02X}" for octet in octets)
