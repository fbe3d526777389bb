"""Keep secrets out of the log: URLs lose what may hold one.

The rooms that meet a secret do not tell it; this is the belt to their braces. The query of an upload's Location
authorises whoever knows it (OCI distribution spec, "Pushing a blob in chunks"), and so does that of a signed
redirect; a URL with userinfo carries a password.
"""

from __future__ import annotations

import re
from typing import Final

# Each match takes all it looked at, so that a long text of somebody else's is read once.
_URL: Final = re.compile(r"://(?P<authority>[^\s/?#]*)(?P<path>[^\s?#]*)(?:[?#]\S*)?")
_LOCATION: Final = re.compile(r"(?P<path>/v2/[^\s?#]*)(?:[?#]\S*)?")
"""A Location may be relative, too."""


def redacted(text: str) -> str:
    """Give `text` with every URL in it short of its userinfo, query and fragment."""
    if "://" in text:
        text = _URL.sub(_bare, text)
    return _LOCATION.sub(r"\g<path>", text) if "/v2/" in text else text


def _bare(url: re.Match[str]) -> str:
    return f"://{url['authority'].rpartition('@')[2]}{url['path']}"
