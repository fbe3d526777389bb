"""Where jobs may go: pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from pushd.oci.reference import Reference


_HTTPS = ":443"


@dataclass(slots=True, kw_only=True)
class Policy:
    """Which destinations are taken. One for all who ask, so that what is configured anew is so for all.

    A pattern without a slash is for `host[:port]`, one with a slash for `host[:port]/repository`; `*` fits anything,
    slashes included.

    Attributes:
        allow: a destination must fit one of these,
        deny: and none of these.
    """

    allow: tuple[str, ...]
    deny: tuple[str, ...]

    def check(self, destination: Reference) -> None:
        """Refuse a destination that is not to be pushed to.

        A link-local address is none unless a pattern names it to the letter: what answers there is the cloud's
        metadata service, which no submitter is to reach through the daemon.

        Raises:
            RequestError: `request.forbidden`.
        """
        if any(_fits(pattern, destination) for pattern in self.deny):
            raise _refused(destination, "is denied by the daemon's configuration")
        if not any(_fits(pattern, destination) for pattern in self.allow):
            raise _refused(destination, "is not among the destinations the daemon's configuration allows")
        if _is_link_local(destination.registry) and destination.registry not in self.allow:
            raise _refused(destination, "is a link-local address, which is no destination unless it is allowed by name")

    def check_registry(self, registry: str) -> None:
        """Refuse a registry, `host[:port]`, in which nothing is to be pushed to; as `check` does."""
        if not any(_fits_host(pattern.partition("/")[0], registry) for pattern in self.allow) or any(
            "/" not in pattern and _fits_host(pattern, registry) for pattern in self.deny
        ):
            raise _refused(registry, "is not among the registries the daemon's configuration allows")
        if _is_link_local(registry) and registry not in self.allow:
            raise _refused(registry, "is a link-local address, which is no destination unless it is allowed by name")


def _fits(pattern: str, destination: Reference) -> bool:
    return _fits_host(
        pattern, f"{destination.registry}/{destination.repository}" if "/" in pattern else destination.registry
    )


def _fits_host(pattern: str, name: str) -> bool:
    """Whether a pattern fits `host[:port]`, or that and a repository; with the port of HTTPS, or without: it is one."""
    host, slash, repository = name.lower().partition("/")
    names = (name.lower(), f"{host.removesuffix(_HTTPS)}{slash}{repository}")
    # Brackets are those of an IPv6 address, never a class of characters.
    return any(fnmatchcase(each, pattern.lower().replace("[", "[[]")) for each in names)


def _is_link_local(registry: str) -> bool:
    host = registry[1 : registry.index("]")] if registry.startswith("[") else registry.partition(":")[0]
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False


def _refused(destination: Reference | str, detail: str) -> RequestError:
    hint = "[destinations] in its configuration says where jobs may go: ask its administrator"
    return RequestError(Code.REQUEST_FORBIDDEN, str(destination), detail, hint=hint)
