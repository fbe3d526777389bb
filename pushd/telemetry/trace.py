"""Which request a piece of work goes back to, so that logs of several programs can be read together.

A caller's trace (W3C Trace Context, Level 1) goes with their job through all lives of the daemon, and on to
registries. A request id says which request handed a job in.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Version 00, or a later one that begins like it ("Versioning of traceparent").
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})(?P<later>-.*)?"
)
_FIRST: Final = "00"
_LONGEST: Final = 512
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

TRACEPARENT: ContextVar[str | None] = ContextVar("TRACEPARENT", default=None)
"""Of what is being done: the caller's while their request is answered, their job's while it is delivered."""
REQUEST_ID: ContextVar[str | None] = ContextVar("REQUEST_ID", default=None)
"""Of the request that is being answered."""


def read_traceparent(headers: Sequence[str]) -> str | None:
    """Give the `traceparent` of a request, as version 00 has it; None where it has none.

    One that cannot be understood, or two, is as good as none: so the specification says ("Processing Model").
    """
    if len(headers) != 1 or len(headers[0]) > _LONGEST:
        return None
    text = headers[0].strip()
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (text.startswith(_FIRST) and found["later"] is not None):
        return None
    sampled = int(found["flags"], 16) & 1
    return f"00-{text[3:35]}-{text[36:52]}-{sampled:02x}"


def read_request_id(headers: Sequence[str]) -> str:
    """Give the `X-Request-Id` of a request; one of our own where it has none of up to 128 visible characters."""
    if len(headers) == 1 and _REQUEST_ID.fullmatch(headers[0]):
        return headers[0]
    return secrets.token_hex(16)


def trace_id(traceparent: str | None) -> str | None:
    """Give the trace's id of a `traceparent` that was read: 32 hexadecimal digits."""
    return None if traceparent is None else traceparent[3:35]


def passed_on() -> dict[str, str]:
    """Give the header that tells of the trace under way, for one request: each is a span of its own in it."""
    traceparent = TRACEPARENT.get()
    if traceparent is None:
        return {}
    return {"traceparent": f"{traceparent[:36]}{secrets.token_hex(8)}{traceparent[52:]}"}
