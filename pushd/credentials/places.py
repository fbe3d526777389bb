"""Where credentials are looked for, in this order: whatever is found first is used.

Those of a user are the places of podman (containers-auth.json(5)) and then of Docker ("docker login").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.credentials.docker import DockerConfig, read_config
from pushd.credentials.systemd import CredentialsDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushd.credentials.credential import Credential
    from pushd.credentials.docker import Ask
    from pushd.credentials.files import Held, Parse

CALLER: Final = "caller"
"""The source of what a caller has of their own, whatever file it is in."""


@dataclass(frozen=True, slots=True)
class File:
    """A Docker configuration, which need not be there.

    Attributes:
        path: of the file.
        source: the stable word for what is found in it.
    """

    path: str
    source: str

    def look_up(
        self, registry: str, repository: str, read: Callable[[str, Parse], Held | None]
    ) -> Credential | Ask | None:
        """As `CredentialsDirectory.look_up`."""
        held = read(self.path, read_config)
        return held.look_up(registry, repository, source=self.source) if isinstance(held, DockerConfig) else None


Place = File | CredentialsDirectory


def callers_places(environ: Mapping[str, str]) -> tuple[File, ...]:
    """Give the files a caller's own credentials may be in.

    Args:
        environ: of the caller: `REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME`, `DOCKER_CONFIG`, `HOME`.
    """
    return tuple(File(file.path, CALLER) for file in _users_files(environ))


def daemons_places(
    environ: Mapping[str, str], *, configured: str | None, names: Mapping[str, str]
) -> tuple[Place, ...]:
    """Give the places of the daemon's credentials.

    Args:
        environ: of the daemon: as for a caller, and `CREDENTIALS_DIRECTORY`.
        configured: the path of a Docker configuration that is to be read besides, or None.
        names: of systemd credentials, by the registry they are configured for.
    """
    named = {registry.lower(): name for registry, name in names.items()}
    directory = CredentialsDirectory(path=_absolute(environ, "CREDENTIALS_DIRECTORY"), names=named)
    files = _users_files(environ)
    if configured is not None:
        files = (File(configured, "docker-config"), *files)
    return (directory, *files)


def _users_files(environ: Mapping[str, str]) -> tuple[File, ...]:
    home = _absolute(environ, "HOME")
    config = _absolute(environ, "XDG_CONFIG_HOME") or _below(home, ".config")
    docker = environ.get("DOCKER_CONFIG") or _below(home, ".docker")
    places = (
        (environ.get("REGISTRY_AUTH_FILE"), "auth-file"),
        (_below(_absolute(environ, "XDG_RUNTIME_DIR"), "containers/auth.json"), "podman"),
        (_below(config, "containers/auth.json"), "podman"),
        (_below(docker, "config.json"), "docker-config"),
    )
    return tuple(File(path, source) for path, source in places if path)


def _absolute(environ: Mapping[str, str], name: str) -> str | None:
    """Give a directory; a relative one is to be ignored (XDG Base Directory Specification, "Basics")."""
    text = environ.get(name, "")
    return text if text.startswith("/") else None


def _below(directory: str | None, name: str) -> str | None:
    return None if directory is None else f"{directory.rstrip('/')}/{name}"
