"""The Link header by which a registry tells where a list goes on (RFC 8288; OCI distribution spec 1.1, end-12a)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# A parameter's value may have any character in quotes, a comma or an angle bracket too.
_LINK: Final = re.compile(
    r'<(?P<target>[^<>]*)>(?P<parameters>(?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)'
)
_NEXT: Final = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?=\s|;|$))', re.IGNORECASE)


def next_page(headers: Iterable[str]) -> str | None:
    """Give the URL of the next page, absolute or relative as the header has it; None when this is the last.

    Args:
        headers: the values of all Link headers.
    """
    links = (link for header in headers for link in _LINK.finditer(header))
    return next((link["target"] for link in links if _NEXT.search(link["parameters"])), None)
