"""One entry of `auths`: what a login left for one registry, or for a part of it. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, TypeGuard

from pushd.credentials.credential import Credential
from pushd.credentials.faults import malformed
from pushd.errors import Code, RegistryError
from pushd.oci.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_USER: Final = "<token>"  # noqa: S105 (it stands for a user name)
"""The user name that says: what goes with it is an identity token (Docker, "Credential helper protocol")."""
_SECRETS: Final = ("auth", "password", "identitytoken", "registrytoken")
_USABLE: Final = ("username", *_SECRETS)


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value out of JSON is text that can be written in UTF-8: an escape may stand for half a character."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def holds_secret(entry: object) -> bool:
    """Whether an entry has a secret in it, of whatever form."""
    return isinstance(entry, dict) and any(entry.get(name) for name in _SECRETS)


def leaves_to_helper(entry: object) -> bool:
    """Whether an entry says no more than that there was a login: a helper keeps what came of it."""
    return isinstance(entry, dict) and not any(entry.get(name) for name in _USABLE)


def read_entry(entry: object, *, key: str, path: str, source: str) -> Credential | None:
    """Read an entry; None when it holds nothing to log in with. Keys that are not known are passed over.

    Args:
        entry: as it was decoded.
        key: its key in `auths`, for errors.
        path: of the file, likewise.
        source: of the credential.

    Raises:
        RegistryError: `registry.credentials_malformed`, it or a value of it is of the wrong type;
            `registry.credentials_encoding`, its `auth` is not base64 of `user:password`.
    """
    if not isinstance(entry, dict):
        raise malformed(path, f"has an entry for {quoted(key)} that is no object")
    text = {name: _text(entry, name, key=key, path=path) for name in _USABLE}
    decoded = _decode(text["auth"])
    if text["identitytoken"] or text["registrytoken"]:
        username = text["username"] or (decoded[0] if decoded else "")
        return Credential(
            source,
            "" if username == TOKEN_USER else username,
            identity_token=text["identitytoken"],
            registry_token=text["registrytoken"],
            where=path,
        )
    if text["auth"]:
        if decoded is None:
            raise _encoding(path, key)
        return Credential(source, *decoded, where=path)
    return Credential(source, text["username"], text["password"], where=path) if text["username"] else None


def _text(entry: Mapping[str, object], name: str, *, key: str, path: str) -> str:
    value = entry.get(name)
    if value is None:
        return ""
    if not is_text(value):
        raise malformed(path, f"has an entry for {quoted(key)} whose `{name}` is no text")
    return value


def _decode(auth: str) -> tuple[str, str] | None:
    """Give the user name and the password, or None."""
    try:
        # A line break within is passed over, as Docker does it.
        username, colon, password = base64.b64decode("".join(auth.split()), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (username, password.rstrip("\0")) if colon and username else None


def _encoding(path: str, key: str) -> RegistryError:
    detail = f"has an `auth` for {quoted(key)} that is not base64 of user:password"
    return RegistryError(Code.REGISTRY_CREDENTIALS_ENCODING, path, detail, hint="log in again")
