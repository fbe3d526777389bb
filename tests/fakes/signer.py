"""Bearer tokens as distribution takes them: JWTs that carry the certificate of who signed them (RFC 7515, x5c)."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.fakes.authority import Pair

LEEWAY = 60
"""Seconds for which distribution still takes a token that has expired, or is not good yet."""
_HALF = 32
"""Bytes of each half of an ES256 signature (RFC 7518, 3.4)."""


class Signer:
    """Signs with the key of a certificate, on P-256.

    Args:
        pair: the certificate, whose authority the registry must be told to trust (`rootcertbundle`), and its key.
    """

    def __init__(self, pair: Pair) -> None:
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
        der = certificate.public_bytes(serialization.Encoding.DER)
        # Standard base64 in this one place (RFC 7515, 4.1.6).
        self._header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}

    def token(
        self, *, issuer: str, service: str, account: str, life: float, granted: Mapping[str, Sequence[str]]
    ) -> str:
        """Sign that an account may do something.

        Args:
            issuer: who says so.
            service: whom it says it to.
            account: who may; empty for anyone.
            life: seconds after which a registry refuses it. It expires earlier, by what registries forgive.
            granted: the actions by repository.
        """
        now = time.time()
        claims = {
            "iss": issuer,
            "sub": account,
            "aud": service,
            "exp": int(now + life) - LEEWAY,
            "nbf": int(now) - 2 * LEEWAY,
            "iat": int(now),
            "jti": secrets.token_hex(8),
            "access": [
                {"type": "repository", "name": name, "actions": list(actions)} for name, actions in granted.items()
            ],
        }
        signed = f"{_encoded(self._header)}.{_encoded(claims)}"
        halves = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_url_safe(b''.join(half.to_bytes(_HALF) for half in halves))}"


def _encoded(document: Mapping[str, Any]) -> str:
    return _url_safe(json.dumps(document, separators=(",", ":")).encode())


def _url_safe(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
