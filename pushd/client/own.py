"""The caller's own credentials, as `docker login` and `podman login` left them, to be handed over to the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pushd.credentials.credential import Credential
    from pushd.work import Handed

    Place = tuple[str, str]
    """A registry, `host[:port]`, and a repository there."""
    Found = tuple[Credential, datetime | None] | None
    """The credential for a place and when it expires."""

_ANY = "any/repository"
_OTHERWISE = "or say --credential daemon"
"""What is left to do for whoever cannot mend their credential file now."""


def own_credentials(destinations: Iterable[str], environ: Mapping[str, str] = os.environ) -> tuple[Handed, ...]:
    """Find the caller's own credentials for some references; nothing where they have none.

    References that do not parse are passed over: the daemon refuses them in its own words.

    Raises:
        RegistryError: a file of theirs, or a helper it names, cannot be used.
    """
    if not own_files(environ):
        return ()  # and nothing is imported: most callers in a pipeline have no such file
    return _found(dict.fromkeys(_places(destinations)), environ)


def own_credential(target: str, environ: Mapping[str, str] = os.environ) -> Handed | None:
    """Find the caller's own for a registry, `host[:port]`, or a repository there, `host[:port]/repository`.

    Raises:
        RegistryError: as `own_credentials` does.
    """
    if not own_files(environ):
        return None
    name, _, repository = target.partition("/")
    registry = _registry(name)
    if registry is None:
        return None
    return next(iter(_found(_places([target]) if repository else [(registry, "")], environ)), None)


def scoped(found: Mapping[Place, Found]) -> tuple[Handed, ...]:
    """Say what each credential is for: the whole registry where one does for all that goes there, else a repository."""
    from pushd.work import Handed  # noqa: PLC0415 (most callers hand over nothing)

    handed = []
    for registry in dict.fromkeys(registry for registry, _ in found):
        there = {repository: one for (host, repository), one in found.items() if host == registry}
        known = {repository: one for repository, one in there.items() if one is not None}
        credentials = {credential for credential, _ in known.values()}
        if len(credentials) == 1 and len(known) == len(there):
            expires = min((at for _, at in known.values() if at is not None), default=None)
            handed.append(Handed(scope=registry, credential=credentials.pop(), expires_at=expires))
            continue
        for repository, (credential, at) in known.items():
            handed.append(Handed(scope=f"{registry}/{repository}", credential=credential, expires_at=at))
    return tuple(handed)


def _found(places: Iterable[Place], environ: Mapping[str, str]) -> tuple[Handed, ...]:
    from pushd.credentials.lookup import CallersCredentials  # noqa: PLC0415 (as in `scoped`)

    theirs = CallersCredentials(environ)
    try:
        return scoped({place: theirs.find(*place) for place in places})
    except RegistryError as error:
        hint = f"{error.hint}, {_OTHERWISE}" if error.hint else _OTHERWISE.removeprefix("or ")
        raise RegistryError(error.code, error.subject, error.detail, hint=hint) from None


def _places(destinations: Iterable[str]) -> Iterator[Place]:
    from pushd.oci.reference import Reference  # noqa: PLC0415 (as in `scoped`)

    for destination in destinations:
        try:
            reference = Reference.parse(destination)
        except RequestError as error:
            if error.code is not Code.REQUEST_INVALID_REFERENCE:
                raise
            continue
        yield reference.registry, reference.repository


def _registry(name: str) -> str | None:
    """Give the registry of that name; None when it is no host's, and would be read as a part of a name on the Hub."""
    return next((registry for registry, repository in _places([f"{name}/{_ANY}"]) if repository == _ANY), None)


def own_files(environ: Mapping[str, str] = os.environ) -> Sequence[str]:
    """Name the files a credential of the caller's could be in, those that are there or out of sight.

    Where they lie is written down here once more, as `pushd.credentials.places` has it, so that a push by somebody who
    has none imports nothing to know.
    """
    return [file for file in _files(environ) if not _absent(file)]


def _files(environ: Mapping[str, str]) -> Iterator[str]:
    home, runtime, config = (
        environ.get(name, "") if environ.get(name, "").startswith("/") else ""
        for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
    )
    config = config or (home and f"{home}/.config")
    docker = environ.get("DOCKER_CONFIG") or (home and f"{home}/.docker")
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield named
    yield from (f"{directory}/containers/auth.json" for directory in (runtime, config) if directory)
    if docker:
        yield f"{docker}/config.json"


def _absent(file: str) -> bool:
    try:
        os.stat(file)  # noqa: PTH116 (pathlib would be imported for this alone)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False  # whoever reads it says what is wrong
    return False
