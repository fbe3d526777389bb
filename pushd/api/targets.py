"""The names of registries, and of repositories in them, in paths, queries and bodies. Pure."""

from __future__ import annotations

from contextlib import suppress

from pushd.errors import Code, RequestError
from pushd.oci.reference import Reference

_ANY = "any/repository"
_NO_HOST = "must be host[:port]"
_HOSTS = "write it like registry.example.com or localhost:5000"
_SCOPES = "write it like registry.example.com, localhost:5000 or registry.example.com/team"


def registry(text: str) -> str:
    """Read `host[:port]`; give it as references have it.

    Raises:
        RequestError: `request.invalid_reference`; so for both.
    """
    # Docker's grammar tells a host from the first part of a repository only by what stands before and after it.
    try:
        found = Reference.parse(f"{text}/{_ANY}")
    except RequestError as error:
        raise _invalid("registry", _NO_HOST, _HOSTS) from error
    if found.repository != _ANY:
        raise _invalid("registry", _NO_HOST, _HOSTS)
    return found.registry


def target(name: str, repository: str | None) -> str:
    """Read `host[:port]` and perhaps a repository there; give `host[:port]` or `host[:port]/repository`."""
    host = registry(name)
    if repository is None:
        return host
    if ":" in repository or "@" in repository:
        raise _invalid("repository", "must have no tag and no digest", "write it like team/app")
    try:
        found = Reference.parse(f"{host}/{repository}")
    except RequestError as error:
        raise _invalid("repository", error.detail, error.hint) from error
    return f"{found.registry}/{found.repository}"


def scope(text: str) -> str:
    """Read what a credential is for: `host[:port]`, or a part of that registry, `host[:port]/path`.

    The path is made as repositories are, and stays as it is written: on the Hub too `team` is whatever begins with it.

    Raises:
        RequestError: `request.invalid_reference`. Nothing of `text` is in it: a password may have gone astray there.
    """
    name, slash, path = text.partition("/")
    with suppress(RequestError):  # of what they were raised from nothing is kept: it quotes what was read
        host = registry(name)
        if slash:
            target(host, path)
        return host + slash + path
    raise _invalid("registry", "must be host[:port], or host[:port]/path in lower case", _SCOPES)


def _invalid(field: str, detail: str, hint: str) -> RequestError:
    return RequestError(Code.REQUEST_INVALID_REFERENCE, field, detail, hint=hint)
