"""References: where an image lives, `host[:port]/repository[:tag][@digest]`.

The grammar and the normalisation are those of Docker, written down in distribution/reference, because a reference
means the same to pushd as to everything else on the machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

from pushd.errors import Code, RequestError
from pushd.oci.digest import Digest
from pushd.oci.text import quoted

_HUB = "docker.io"
_HUB_INDEX = "index.docker.io"
_SCHEME = "docker://"
_FORM = "write it as host[:port]/repository[:tag][@digest]"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE | re.ASCII)
_NAME_LIMIT = 253  # RFC 1035, 2.3.4, as text
_HOST = re.compile(r"(?P<name>\[(?P<ipv6>[^\]]*)\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")
_IPV6 = re.compile(r"[0-9a-fA-F:.]+")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PORT_LIMIT = 65535
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REPOSITORY_LIMIT = 255
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image lives. `str()` gives the normalised form, which reads back as the same reference.

    Attributes:
        registry: `host[:port]`, lower-case, except a host that is one only by its upper case; `docker.io` for the Hub.
        repository: the name within the registry, with the Hub's `library/` written out.
        tag: `latest` when neither tag nor digest was given. At least one of tag and digest is there.
        digest: the manifest's.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as people write it, `docker://` before it or not.

        Raises:
            RequestError: `request.invalid_reference`.
        """
        try:
            return cls._parse(text.removeprefix(_SCHEME))
        except _Malformed as error:
            raise RequestError(
                Code.REQUEST_INVALID_REFERENCE, quoted(_without_password(text)), error.detail, hint=error.hint
            ) from None

    @classmethod
    def _parse(cls, text: str) -> Reference:
        _check_whole(text)
        registry, rest = _split_registry(text)
        named, at, digest = rest.partition("@")
        repository, colon, tag = named.partition(":")
        if registry == _HUB and repository and "/" not in repository:
            repository = f"library/{repository}"
        _check_repository(repository)
        if colon and not _TAG.fullmatch(tag):
            raise _Malformed(
                f"has the malformed tag {quoted(tag)}",
                "write up to 128 of letters, digits, underscore, dot and dash, not beginning with a dot or dash",
            )
        if at:
            return cls(registry, repository, tag or None, _digest(digest))
        return cls(registry, repository, tag or "latest", None)

    @property
    def target(self) -> str:
        """What is asked for in the repository: the tag, or the digest when there is no tag."""
        return self.tag if self.tag is not None else str(self.digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


class _Malformed(Exception):  # noqa: N818 (never leaves this module; `parse` gives it its subject)
    def __init__(self, detail: str, hint: str = _FORM) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


def _check_whole(text: str) -> None:
    if not text:
        raise _Malformed("is empty")
    if any(character.isspace() for character in text):
        raise _Malformed("has white space in it", "take it out")
    if "/" in text.rpartition("@")[2] and "@" in text:
        raise _Malformed("has a user name in it", "leave it out: credentials come from the daemon's configuration")
    if "://" in text:
        raise _Malformed("is a URL")
    if _IMAGE_ID.fullmatch(text):
        raise _Malformed("is an image id, not a name")


def _without_password(text: str) -> str:
    """Give `text` without what may be a password: all before an `@` that a `/` follows."""
    before, at, after = text.rpartition("@")
    return f"***@{after}" if at and "/" in after else before + at + after


def _split_registry(text: str) -> tuple[str, str]:
    """Tell the registry from the rest: a first component is a host if it could be nothing else."""
    first, slash, rest = text.partition("/")
    if slash and (first.lower() == "localhost" or any(mark in first for mark in ".:")):
        host = _host(first)
        return (_HUB if host == _HUB_INDEX else host), rest
    if slash and first != first.lower():
        # In lower case it would read back as a part of a name on the Hub.
        _host(first)
        return first, rest
    return _HUB, text


def _host(text: str) -> str:
    """Check and normalise `host[:port]`."""
    match = _HOST.fullmatch(text)
    if match is None:
        raise _Malformed(
            f"has the malformed host {quoted(text)}", "write an IPv6 address in brackets: [::1]:5000/repository"
        )
    name, ipv6, port = match["name"], match["ipv6"], match["port"]
    if ipv6 is not None:
        name = f"[{_ipv6(ipv6)}]"
    elif len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
        raise _Malformed(f"has the host {quoted(name)}, which is no host name")
    if port is None:
        return name.lower()
    if not _PORT.fullmatch(port) or int(port) > _PORT_LIMIT:
        raise _Malformed(f"has the port {quoted(port)}", f"write a number from 1 to {_PORT_LIMIT}")
    return f"{name.lower()}:{port}"


def _ipv6(text: str) -> str:
    hint = "write it without a zone: [2001:db8::1]:5000/repository"
    try:
        address = IPv6Address(text) if _IPV6.fullmatch(text) else None
    except AddressValueError:
        address = None
    if address is None:
        raise _Malformed(f"has {quoted(text)} in brackets, which is no IPv6 address", hint)
    if address.ipv4_mapped is not None:
        # One registry under two spellings would be two, and what is forbidden for one allowed for the other.
        raise _Malformed("has an IPv4 address written as IPv6", f"write {address.ipv4_mapped}")
    return address.compressed


def _check_repository(repository: str) -> None:
    if not repository:
        raise _Malformed("has no repository")
    if len(repository) > _REPOSITORY_LIMIT:
        raise _Malformed(f"has a repository of more than {_REPOSITORY_LIMIT} characters", "shorten it")
    if _REPOSITORY.fullmatch(repository):
        return
    if _REPOSITORY.fullmatch(repository.lower()):
        raise _Malformed(f"has upper case in the repository {quoted(repository)}", f"write {repository.lower()}")
    raise _Malformed(
        f"has the malformed repository {quoted(repository)}",
        "write lower-case letters and digits, between them a dot, one or two underscores, dashes or a slash",
    )


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except RequestError as error:
        raise _Malformed(f"has the digest {error.subject}, which {error.detail}", "take it from the image") from None
