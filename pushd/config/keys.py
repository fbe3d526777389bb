"""All keys there are, with how the value of each is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Union

from pushd.config.quantity import duration, size
from pushd.config.readers import (
    between,
    boolean,
    credential_name,
    destination_pattern,
    group,
    host,
    network,
    no_proxy,
    one_of,
    path,
    proxy_url,
    registry_pattern,
    repository_pattern,
    tcp_address,
    user,
    whole,
    word,
)
from pushd.oci.compression import Encoding
from pushd.oci.upload import Form
from pushd.principal import Role
from pushd.registry.profiles import NAMES
from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from pushd.config.readers import Reader


@dataclass(frozen=True, slots=True)
class Array:
    """An array of any length.

    Attributes:
        item: how each of its items is read: as a value, or as a table of keys.
        items: what they are, for people.
    """

    item: Kind
    items: str


Kind = Union["Reader", Array, Mapping[str, "Kind"]]
"""How a value is read: as one, as an array, or as a table with these keys."""
Keys = Mapping[str, Kind]
"""The keys of a table, with how their values are read."""

_MIB: Final = 1 << 20
_TIB: Final = 1 << 40
_PIB: Final = 1 << 50
_DAY: Final = 86_400.0
_YEAR: Final = 366 * _DAY

_SECONDS: Final = between(duration, 0.001, _DAY, "seconds")
_UP_TO_A_YEAR: Final = between(duration, 1, _YEAR, "seconds")
_UP_TO_TEN_YEARS: Final = between(duration, 1, 10 * _YEAR, "seconds")
_PLACES: Final = between(whole, 1, 1000, "at a time")
_CHUNK: Final = between(size, 1, _TIB, "bytes")
_SPACE: Final = between(size, _MIB, _PIB, "bytes")
_SPACE_OR_NONE: Final = between(size, 0, _PIB, "bytes")
_BANDWIDTH: Final = between(size, 1 << 10, _TIB, "bytes a second")

_GRANT: Final[Keys] = {
    "registry": registry_pattern,
    "users": Array(user, "users"),
    "groups": Array(group, "groups"),
    "repositories": Array(repository_pattern, "patterns"),
}

TABLES: Final[Mapping[str, Keys]] = {
    "daemon": {"socket": path, "state_dir": path, "log_level": one_of(Level), "queue_warning": _UP_TO_A_YEAR},
    "limits": {
        "deliveries": _PLACES,
        "uploads_per_registry": _PLACES,
        "small_uploads_per_registry": _PLACES,
        "memory": between(size, _MIB, _TIB, "bytes"),
        "bandwidth": _BANDWIDTH,
        "deadline": _UP_TO_A_YEAR,
        "attempts": between(whole, 1, 1000, "times"),
        "jobs_per_user": between(whole, 1, 10_000_000, "jobs"),
        "streams_per_user": between(whole, 1, 100_000, "streams"),
        "request_size": between(size, 4 << 10, 64 * _MIB, "bytes"),
    },
    "timeouts": {"connect": _SECONDS, "stall": _SECONDS, "commit": _SECONDS, "request": _SECONDS},
    "credentials": {
        "docker_config": path,
        "grants": Array(_GRANT, "tables, [[credentials.grants]]"),
        "helper_timeout": between(duration, 0.1, 300, "seconds"),
        "helper_cache": between(duration, 0, _DAY, "seconds"),
        "login_ttl": _UP_TO_TEN_YEARS,
    },
    "tls": {"certs_d": Array(path, "absolute paths")},
    "proxy": {"http": proxy_url, "https": proxy_url, "no_proxy": Array(no_proxy, "hosts")},
    "access": {"administrators": Array(group, "groups"), "submitters": Array(group, "groups")},
    "destinations": {"allow": Array(destination_pattern, "patterns"), "deny": Array(destination_pattern, "patterns")},
    "images": {"compression": one_of(Encoding, "none")},
    "engine": {"role": one_of(Role, "nobody"), "socket": path},
    "spool": {
        "directory": path,
        "ttl": _UP_TO_A_YEAR,
        "per_user": _SPACE,
        "keep_compressed": _SPACE_OR_NONE,
    },
    "disk": {"budget": _SPACE, "reserve": _SPACE_OR_NONE},
    "retention": {
        "jobs": _UP_TO_TEN_YEARS,
        "job_count": between(whole, 1, 1_000_000_000, "jobs"),
        "events": _UP_TO_TEN_YEARS,
        "event_count": between(whole, 1, 1_000_000_000, "events"),
    },
    "metrics": {"listen": tcp_address, "allow_remote": boolean},
}
"""The tables of one kind each."""

REGISTRY: Final[Keys] = {
    "profile": word(NAMES),
    "plain_http": boolean,
    "upload": one_of(Form, "auto"),
    "chunk_size": _CHUNK,
    "max_uploads": _PLACES,
    "bandwidth": _BANDWIDTH,
    "ca": path,
    "client_cert": path,
    "client_key": path,
    "insecure_skip_verify": boolean,
    "credential": credential_name,
    "credential_hosts": Array(host, "hosts"),
    "addresses": Array(network, "networks"),
}
"""The keys of `[registries."host:port"]`."""

SOCKET: Final[Keys] = {"path": path, "role": one_of(Role), "paths": boolean}
"""The keys of `[sockets.NAME]`."""
