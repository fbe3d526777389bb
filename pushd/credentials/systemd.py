"""systemd's credentials: files in a directory that only the service can read (systemd.exec(5), "Credentials").

One of them may be a whole Docker configuration, and each of the others what to log in to one registry with. A
credential's name cannot have a colon in it, so which one is for a registry with a port is said in the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pushd.credentials.credential import Credential
from pushd.credentials.docker import TABLES, DockerConfig, read_config, read_object, to_config
from pushd.credentials.entry import read_entry
from pushd.credentials.faults import malformed, unusable
from pushd.errors import Code, RegistryError
from pushd.oci.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pushd.credentials.docker import Ask
    from pushd.credentials.files import Held, Parse

SOURCE: Final = "systemd"
_WHOLE: Final = ("config.json", "auth.json", "docker-config.json", "docker-config")
"""The names of a credential that is a Docker configuration."""
_NO_HOSTS: Final = frozenset({*_WHOLE, "pushd.key"})
"""Names that are no registry's, although they may look like a host: `pushd.key` is what credentials are sealed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsDirectory:
    """The directory, and which of its files are for which registries.

    Attributes:
        path: `$CREDENTIALS_DIRECTORY`, or None when there is none.
        names: of credentials, by registry. They serve no other, whatever host they may look like.
    """

    path: str | None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The stable word for what is found in it."""
        return SOURCE

    def look_up(
        self, registry: str, repository: str, read: Callable[[str, Parse], Held | None]
    ) -> Credential | Ask | None:
        """Look for what is to be used for a repository; None when no file speaks of its registry.

        Args:
            registry: `host[:port]`.
            repository: the name within the registry.
            read: gives what a file holds, or None when it is not there.

        Raises:
            RegistryError: `registry.credentials`, the one that is configured for it is not there, or holds nothing
                for it; and what `read` raises.
        """
        host = registry.lower()
        configured = self.names.get(host)
        candidates = self._candidates(host) if configured is None else [(configured, read_one)]
        for name, parse in candidates:
            held = None if self.path is None else read(f"{self.path}/{name}", parse)
            found = held.look_up(registry, repository, source=SOURCE) if isinstance(held, DockerConfig) else held
            if found is not None:
                return found
        if configured is not None:
            raise _missing(registry, configured)
        return None

    def _candidates(self, host: str) -> Iterator[tuple[str, Parse]]:
        taken = self.names.values()
        if host not in _NO_HOSTS and host not in taken:
            yield host, read_one
        yield from ((name, read_config) for name in _WHOLE if name not in taken)


def read_one(content: bytes, path: str) -> Held:
    """Read a credential for one registry: an entry as in `auths`, a configuration, or one line `user:password`.

    Raises:
        RegistryError: `registry.credentials_malformed`, `registry.credentials_encoding`; `registry.credentials`, it
            is an entry with nothing in it.
    """
    if not content.lstrip().startswith(b"{"):
        return _read_line(content, path)
    document = read_object(content, path)
    if any(name in document for name in TABLES):
        return to_config(document, path)
    credential = read_entry(document, key=path.rpartition("/")[2], path=path, source=SOURCE)
    if credential is None:
        raise unusable(path, "has nothing to log in with in it", hint="put `auth`, or a user name and password, there")
    return credential


def _read_line(content: bytes, path: str) -> Credential:
    line = content.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")
    username, colon, password = line.partition(":")
    # A key in PEM, or in binary, is one that was put here for something else.
    if not colon or not username or not password or not line.isprintable() or "\ufffd" in line:
        hint = "write it so, or as an entry of Docker's `auths`"
        raise malformed(path, "is neither JSON nor one line user:password", hint=hint)
    return Credential(SOURCE, username, password, where=path)


def _missing(registry: str, name: str) -> RegistryError:
    detail = f"the systemd credential {quoted(name)} that is configured for it is not there, or says nothing of it"
    hint = f"add LoadCredential={name}:PATH to the unit, or mend `credential` for it in the configuration"
    return RegistryError(Code.REGISTRY_CREDENTIALS, registry, detail, hint=hint)
