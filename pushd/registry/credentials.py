"""Credentials out of Docker's `config.json`: user name and password per registry.

Helpers, identity tokens and podman's file have an issue of their own; a file that points to one of them is refused
by name rather than taken for "no credential".
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from typing import Any

import aiofiles
import msgspec

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError
from pushd.oci.text import quoted

_TOKENS = ("identitytoken", "registrytoken")
_MEND = "mend it, or log in again"
_SETTLED = 2.0
"""Seconds after which a further change shows in a file's times: the coarsest, FAT's, count in two seconds."""

_Identity = tuple[int, int, int, int, int]


class DockerConfig:
    """Docker's `config.json`, read again whenever it has changed: every job asks, and few change it.

    Args:
        path: of the file, which need not be there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._read: tuple[_Identity, dict[str, Any]] | None = None

    async def find(self, registry: str) -> Credential | None:
        """Look `registry` up; None when the file does not speak of it, or is not there.

        Raises:
            RegistryError: `registry.credentials`, the file cannot be read, or its entry cannot be used.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 (a hop to a thread would take longer than it does)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self._path, error) from error
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if self._read is None or self._read[0] != identity:
            document = await _load(self._path)
            if time.time() - max(status.st_mtime, status.st_ctime) < _SETTLED:
                self._read = None  # another change could still look the same
                return _find(document, self._path, registry)
            self._read = identity, document
        return _find(self._read[1], self._path, registry)


async def _load(path: str) -> dict[str, Any]:
    try:
        async with aiofiles.open(path, "rb") as file:
            content = await file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        document: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Not `from`: what could not be decoded, passwords and all, is part of some of these.
        raise _unusable(path, f"is not JSON ({error})", _MEND) from None
    if not isinstance(document, dict):
        raise _unusable(path, "is no Docker configuration", _MEND)
    return document


def _find(document: dict[str, Any], path: str, registry: str) -> Credential | None:
    helper = _table(document, "credHelpers", path).get(registry)
    # The shortest key speaks of the whole registry, a longer one of a part of it, or of what a login left beside it.
    for key, entry in sorted(_table(document, "auths", path).items(), key=lambda item: len(item[0])):
        if _host(key) != registry:
            continue
        if not isinstance(entry, dict):
            raise _unusable(path, f"has an entry for {quoted(key)} that is none", _MEND)
        token = next((kind for kind in _TOKENS if entry.get(kind)), None)
        if token is not None:
            detail = f"has an `{token}` for {quoted(key)}, which pushd cannot use yet"
            raise _unusable(path, detail, "log in with a password or an access token")
        if entry.get("auth"):
            return _decode(str(entry["auth"]), path, key)
        if entry.get("username"):
            return Credential("docker-config", str(entry["username"]), str(entry.get("password") or ""))
        helper = helper or document.get("credsStore")
        if not helper:
            raise _unusable(
                path, f"has an entry for {quoted(key)} without `auth`", f"run `docker login {registry}` again"
            )
    if helper:
        detail = f"leaves {registry} to the credential helper {quoted(str(helper))}, which pushd does not ask yet"
        raise _unusable(path, detail, "store `auth` in a file and name that in [credentials] docker_config")
    return None


def _table(document: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    """Give one of the objects of the configuration, empty when it is not there."""
    table = document.get(key) or {}
    if not isinstance(table, dict):
        raise _unusable(path, f"has `{key}` that is no object", _MEND)
    return table


def _host(key: str) -> str:
    """Give the registry a key of `auths` is about: `host`, `https://host/v1/`, Docker Hub's old index address."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def _decode(auth: str, path: str, key: str) -> Credential:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = username = password = ""
    if not colon or not username:
        raise _unusable(path, f"has an `auth` for {quoted(key)} that is not base64 of user:password", "log in again")
    return Credential("docker-config", username, password.rstrip("\0"))


def _unreadable(path: str, error: OSError) -> RegistryError:
    return _unusable(path, f"cannot be read ({error.strerror})", "let the daemon's user read it")


def _unusable(path: str, detail: str, hint: str) -> RegistryError:
    return RegistryError(Code.REGISTRY_CREDENTIALS, path, detail, hint=hint)
