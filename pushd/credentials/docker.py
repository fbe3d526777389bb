"""The configuration of Docker and podman, of which the credentials are a part. Pure.

Docker's `config.json` and podman's `auth.json` have one format: containers-auth.json(5), and Docker's
"docker login", "Credential stores" and "Credential helpers".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pushd.credentials.entry import holds_secret, leaves_to_helper, read_entry
from pushd.credentials.faults import malformed, unusable
from pushd.oci.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.credentials.credential import Credential

TABLES: Final = ("auths", "credHelpers", "credsStore")
"""The keys of a configuration that speak of credentials."""
_HUB: Final = "docker.io"
_HUB_NAMES: Final = frozenset({_HUB, "index.docker.io", "registry-1.docker.io"})
_HUB_SERVER: Final = "https://index.docker.io/v1/"
"""What Docker itself calls the Hub, in its file and to a helper."""
_VERSIONS: Final = frozenset({"", "v1", "v2"})
"""The paths of an API's URL, which say nothing of a repository."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A credential helper keeps the credential: it is to be asked.

    Attributes:
        helper: its name: the program is `docker-credential-` and this.
        server: what it is asked for.
        named: whether the file speaks of this registry, and not only of a store for all of them.
        file: the path of the file that names it.
    """

    helper: str
    server: str
    named: bool
    file: str


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """What a configuration says of credentials.

    Attributes:
        path: of the file.
        auths: entries by `host[:port]`, `host[:port]/path` or a URL of the registry.
        helpers: names of helpers by registry.
        store: the name of the helper for all other registries, or empty.
    """

    path: str
    auths: Mapping[str, Any] = field(repr=False)
    helpers: Mapping[str, Any] = field(repr=False)
    store: str

    @property
    def holds_secret(self) -> bool:
        """Whether a secret is in the file itself."""
        return any(holds_secret(entry) for entry in self.auths.values())

    def look_up(self, registry: str, repository: str, *, source: str) -> Credential | Ask | None:
        """Look for what is to be used for a repository; None when the file does not speak of its registry.

        A helper named for the registry goes first, then the entry in `auths` with the longest path, then the store.

        Args:
            registry: `host[:port]`.
            repository: the name within the registry; empty for none in particular.
            source: of the credential.

        Raises:
            RegistryError: `registry.credentials`, its entry holds nothing and no helper is named;
                `registry.credentials_malformed`, `registry.credentials_encoding`.
        """
        key = _longest_match(self.auths, registry, repository)
        entry = None if key is None else self.auths[key]
        server = key if key is not None and leaves_to_helper(entry) else _server(registry)
        named = _longest_match(self.helpers, registry, "")
        helper = None if named is None else self.helpers[named]
        if named is not None and not isinstance(helper, str):
            raise malformed(self.path, f"has a helper in `credHelpers` for {quoted(named)} that is no text")
        if helper:
            return Ask(helper, server, named=True, file=self.path)
        if key is not None:
            credential = read_entry(entry, key=key, path=self.path, source=source)
            if credential is not None:
                return credential
        if self.store and named is None:  # an empty name in `credHelpers` takes a registry out of the store's hands
            return Ask(self.store, server, named=key is not None, file=self.path)
        if key is not None:
            detail = f"has an entry for {quoted(key)} with nothing in it, and names no credential helper"
            raise unusable(self.path, detail, hint=f"log in to {registry} again")
        return None


def read_object(content: bytes, path: str) -> dict[str, Any]:
    """Decode a file that holds a JSON object.

    Raises:
        RegistryError: `registry.credentials_malformed`.
    """
    try:
        document: Any = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        wrong = "is not UTF-8"
    except json.JSONDecodeError as error:
        wrong = f"is not JSON, from line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):  # a number of too many digits, brackets too deep
        wrong = "is not JSON that can be read"
    else:
        if isinstance(document, dict):
            return document
        wrong = "is no object of JSON, as a Docker configuration is"
    # Out here: what could not be decoded, passwords and all, is part of those exceptions.
    raise malformed(path, wrong)


def read_config(content: bytes, path: str) -> DockerConfig:
    """Read a configuration. Keys that are not known are passed over.

    Raises:
        RegistryError: `registry.credentials_malformed`.
    """
    return to_config(read_object(content, path), path)


def to_config(document: Mapping[str, Any], path: str) -> DockerConfig:
    """Give what a decoded configuration says of credentials.

    Raises:
        RegistryError: `registry.credentials_malformed`, one of its tables is none.
    """
    store = document.get("credsStore")
    if store is not None and not isinstance(store, str):
        raise malformed(path, "has `credsStore` that is no text")
    return DockerConfig(path, _table(document, "auths", path), _table(document, "credHelpers", path), store or "")


def _table(document: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    table = document.get(name)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise malformed(path, f"has `{name}` that is no object")
    return table


def _longest_match(table: Mapping[str, Any], registry: str, repository: str) -> str | None:
    """Give the key that says most about a repository: the longest path, over whole components, goes first."""
    host = _canonical(registry)
    matches = [
        (-below.count("/") - bool(below), foreign, len(key), key)
        for key in table
        for name, below, foreign in (_split(key),)
        if name == host and (not below or f"{repository}/".startswith(f"{below}/"))
    ]
    return min(matches)[-1] if matches else None


def _split(key: str) -> tuple[str, str, bool]:
    """Give the registry a key is about, the path of repositories below it, and whether it is a URL of something else.

    A URL is Docker's own form and always about the whole registry, as `https://host/v1/` is. One with another path is
    taken only when there is nothing better: a login to the Hub leaves some beside the one that counts.
    """
    _, scheme, rest = key.partition("://")
    host, _, below = (rest if scheme else key).partition("/")
    below = below.strip("/")
    return (_canonical(host), "", below not in _VERSIONS) if scheme else (_canonical(host), below, False)


def _canonical(host: str) -> str:
    host = host.lower()
    return _HUB if host in _HUB_NAMES else host


def _server(registry: str) -> str:
    return _HUB_SERVER if _canonical(registry) == _HUB else registry
