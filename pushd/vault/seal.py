"""Sealing: AES-256-GCM, each credential under a nonce of its own, bound to its owner and to what it is for.

A sealed one is a version byte, the nonce of 96 bits, and what AES-GCM makes of the secret with its tag. The uid and the
scope are authenticated beside it, so that a row of the database under another uid or scope cannot be opened.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final

from pushd.credentials.credential import Credential

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from pushd.vault.key import Key

_VERSION: Final = b"\x01"
_NONCE: Final = 12
"""Bytes: 96 bits, what GCM is made for (NIST SP 800-38D, 8.2.2 for random ones)."""
_FIELDS: Final = ("username", "password", "identity_token", "registry_token")


class UnopenableError(Exception):
    """Sealed bytes cannot be opened: another key sealed them, for another uid or scope, or they were changed."""


class Seal:
    """Seals credentials, and opens them.

    Args:
        load: gives the key; called when it is first needed, and again after it failed. Blocks.
    """

    def __init__(self, load: Callable[[], Key]) -> None:
        self._load = load
        self._cipher: AESGCM | None = None

    @property
    def ready(self) -> bool:
        """Whether the key is loaded: `close` and `open` do not block then."""
        return self._cipher is not None

    def prepare(self) -> None:
        """Load the key, unless it is loaded. Blocks.

        Raises:
            DaemonError: `daemon.config`, it cannot be used.
        """
        self._ciphering()

    def close(self, credential: Credential, *, uid: int, scope: str) -> bytes:
        """Seal a credential.

        Args:
            credential: its secrets and its user name are sealed; where it was found is not kept.
            uid: its owner.
            scope: what it is for.

        Raises:
            DaemonError: as `prepare` does.
        """
        told = {name: getattr(credential, name) for name in _FIELDS if getattr(credential, name)}
        plain = json.dumps(told, separators=(",", ":")).encode()
        nonce = secrets.token_bytes(_NONCE)
        return _VERSION + nonce + self._ciphering().encrypt(nonce, plain, _bound_to(uid, scope))

    def open(self, secret: bytes, *, uid: int, scope: str, source: str) -> Credential:
        """Open a sealed credential.

        Args:
            secret: what `close` gave.
            uid: its owner.
            scope: what it is for.
            source: the kind of place it counts as found in, as in `Credential`.

        Raises:
            UnopenableError: it cannot be opened.
            DaemonError: as `prepare` does.
        """
        cipher = self._ciphering()
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (late, as in `_ciphering`)

        if secret[:1] != _VERSION:
            raise UnopenableError
        nonce, sealed = secret[1 : 1 + _NONCE], secret[1 + _NONCE :]
        try:
            told = json.loads(cipher.decrypt(nonce, sealed, _bound_to(uid, scope)))
        except (InvalidTag, ValueError):  # what is too short is refused as a value
            raise UnopenableError from None
        return Credential(source, **told)

    def _ciphering(self) -> AESGCM:
        """Give the cipher. Two threads that come first at once make two of the same."""
        if self._cipher is None:
            # Imported late: a daemon that nobody hands a credential to needs none of it.
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 (late, as said)

            self._cipher = AESGCM(self._load().secret)
        return self._cipher


def _bound_to(uid: int, scope: str) -> bytes:
    """Give what is authenticated with a secret. A uid is digits: no two pairs give the same bytes."""
    return _VERSION + f"{uid}\0{scope}".encode()
