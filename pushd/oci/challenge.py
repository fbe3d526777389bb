"""`WWW-Authenticate` challenges (RFC 9110, 11.6.1), as registries and the proxies before them send them.

The grammar is ambiguous at its commas, which separate parameters and challenges alike: a name followed by `=` is a
parameter, a name followed by anything else opens the next challenge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
# Commas by the rules; spaces alone are forgiven, because some registries leave the comma out.
_SEPARATOR = re.compile(r"[ \t,]*+")
_SCHEME = re.compile(rf"(?P<scheme>{_TCHARS})(?=[ \t,]|$)")
# A token68 stands alone; followed by anything but the end or a comma it was a parameter's name.
_TOKEN68 = re.compile(r"[ \t]++[0-9A-Za-z._~+/-]++=*+(?=[ \t]*+(?:,|$))")
# An unquoted value may hold more than RFC 9110 allows: a realm without quotes is a URL all the same.
_PARAMETER = re.compile(
    rf'(?P<name>{_TCHARS})[ \t]*+=[ \t]*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<bare>[^ \t,"]++))', re.DOTALL
)
# What is neither is passed over up to the next comma or space, a quoted string as a whole; one that never closes
# takes the rest with it, for nothing after it can be told from its content.
_GARBAGE = re.compile(r'(?:"(?:[^"\\]|\\.)*+(?:"|\\?$)|[^ \t,"])++', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers.

    Attributes:
        scheme: lower-case: `bearer`, `basic`.
        parameters: values by lower-case name; of a name given twice the first. A token68 is no parameter and not kept.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Sequence[str]) -> tuple[Challenge, ...]:
    """Read all challenges of all `WWW-Authenticate` headers, in order. What makes no sense is skipped."""
    return tuple(challenge for header in headers for challenge in _challenges(header))


def _challenges(header: str) -> Iterator[Challenge]:
    position = _skip(_SEPARATOR, header, 0)
    while position < len(header):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            position = _skip(_GARBAGE, header, position)
        else:
            parameters, position = _parameters(header, _skip(_TOKEN68, header, scheme.end()))
            yield Challenge(scheme["scheme"].lower(), parameters)
        position = _skip(_SEPARATOR, header, position)


def _parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    """Read parameters up to the next challenge; give them, and where they ended."""
    parameters: dict[str, str] = {}
    while match := _PARAMETER.match(header, _skip(_SEPARATOR, header, position)):
        value = match["bare"] if match["quoted"] is None else _ESCAPED.sub(r"\1", match["quoted"])
        parameters.setdefault(match["name"].lower(), value)
        position = match.end()
    return parameters, position


def _skip(pattern: re.Pattern[str], header: str, position: int) -> int:
    match = pattern.match(header, position)
    return match.end() if match else position
