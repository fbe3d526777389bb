"""How single values are read. Each reader gives the value, or raises ValueError with what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pushd.config.values import TcpAddress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum
    from ipaddress import IPv4Network, IPv6Network

Reader = Callable[[object], object]
"""Gives the value for what stands in the file, or raises ValueError with what is wrong."""

# All mistakes of a reader's are of one kind; TypeError would be another: that is what each noqa of TRY004 means.

_ID_MAX: Final = 2**32 - 2
"""The highest uid or gid: the one after it means "none" to chown(2)."""
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_REGISTRY: Final = r"[A-Za-z0-9.*?:_\[\]-]+"
_REPOSITORY: Final = r"[a-z0-9*?][a-z0-9./*?_-]*"
_EVERYONE: Final = "*"
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]{0,254}")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_TCP: Final = re.compile(r"(?:(?P<four>[0-9.]+)|\[(?P<six>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]):(?P<port>[0-9]{1,5})")
_PORT_MAX: Final = 65_535
_BYPASS: Final = re.compile(
    r"\*|[*.]?[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?|[0-9A-Fa-f.:\[\]]+(?:/[0-9]{1,3})?(?::[0-9]{1,5})?"
)


class UntoldError(ValueError):
    """What is wrong with a value that may be a secret: it is not to be repeated."""


def between(reader: Callable[[object], float], least: float, most: float, unit: str) -> Reader:
    """Read what `reader` reads, within bounds; `unit` is what it counts."""

    def read(value: object) -> object:
        number = reader(value)
        if not least <= number <= most:
            raise ValueError(f"must be from {least:.16g} to {most:.16g} {unit}")
        return number

    return read


def whole(value: object) -> int:
    """Read an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 (see above)
    return value


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 (see above)
    return value


def path(value: object) -> Path:
    """Read an absolute path."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path, beginning with /")
    return Path(value)


def word(known: Sequence[str]) -> Callable[[object], str]:
    """Read one of a few words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value

    return read


def one_of(choices: type[StrEnum], *besides: str) -> Reader:
    """Read a member of `choices` by its value; the words in `besides` stand for None."""
    known = word([*besides, *(choice.value for choice in choices)])

    def read(value: object) -> object:
        chosen = known(value)
        return None if chosen in besides else choices(chosen)

    return read


def group(value: object) -> str:
    """Read the name or id of a group."""
    return _account(value, "must be the name or id of a group")


def user(value: object) -> str:
    """Read the name or id of a user, or `*`."""
    return _EVERYONE if value == _EVERYONE else _account(value, 'must be the name or id of a user, or "*" for everyone')


def _account(value: object, wanted: str) -> str:
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _ID_MAX else value
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise ValueError(wanted)
    # As passwd(5) has it, a colon ends a name; a star or a comma is somebody's idea of a pattern or a list.
    if any(character in name for character in ":*,") or (_NUMBER.fullmatch(name) and int(name) > _ID_MAX):
        raise ValueError(wanted)
    return name


def registry_pattern(value: object) -> str:
    """Read a pattern for `host[:port]`."""
    return _pattern(value, _REGISTRY, 'must be a pattern like "*.example.com" or "a.example:5000"')


def repository_pattern(value: object) -> str:
    """Read a pattern for a repository."""
    return _pattern(value, _REPOSITORY, 'must be a pattern like "team/*"')


def destination_pattern(value: object) -> str:
    """Read a pattern for `host[:port]`, or for `host[:port]/repository`."""
    wanted = 'must be a pattern like "*.example.com" or "a.example:5000/team/*"'
    return _pattern(value, f"{_REGISTRY}(?:/{_REPOSITORY})?", wanted)


def _pattern(value: object, syntax: str, wanted: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(syntax, value):
        raise ValueError(wanted)
    return value


def host(value: object) -> str:
    """Read `host[:port]`."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise ValueError("must be host or host:port, as in a reference")
    return value.lower()


def credential_name(value: object) -> str:
    """Read the name of a systemd credential, which is that of a file (systemd.exec(5))."""
    if not isinstance(value, str) or not _FILE_NAME.fullmatch(value):
        raise ValueError("must be the name of a credential, as in LoadCredential=")
    return value


def network(value: object) -> IPv4Network | IPv6Network:
    """Read a network, or one address."""
    try:
        return ip_network(str(value)) if isinstance(value, str) else _no_network()
    except ValueError as error:
        raise ValueError('must be an address or a network like "10.0.0.0/8"') from error


def _no_network() -> IPv4Network:
    raise ValueError


def tcp_address(value: object) -> TcpAddress:
    """Read an address, of either family, and a port."""
    match = _TCP.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is not None and 0 < int(match["port"]) <= _PORT_MAX:
            return TcpAddress(ip_address(match["four"] or match["six"]), int(match["port"]))
    except ValueError:  # it looks like an address, and is none
        pass
    raise ValueError('must be an address and a port like "127.0.0.1:9469" or "[::1]:9469"')


def proxy_url(value: object) -> str:
    """Read the URL of a proxy; an empty text stands for none."""
    if value == "":
        return ""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise UntoldError('must be the URL of a proxy like "http://proxy.example.com:3128"')
    return str(value)


def no_proxy(value: object) -> str:
    """Read a host, or several, to be spoken to without a proxy."""
    if not isinstance(value, str) or not _BYPASS.fullmatch(value):
        raise ValueError('must be a host like "example.com" or "a.example:5000", an address or a network')
    return value
