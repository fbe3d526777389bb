"""A certificate authority of a test's own, with the certificates it gives out: good ones, expired ones, other names."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, in PEM.

    Attributes:
        cert: the file with the certificate.
        key: the file with its key, not encrypted.
    """

    cert: Path
    key: Path


class Authority:
    """An authority that nobody trusts who was not told to.

    Args:
        directory: where its files are written; made when it is not there.
        name: the authority's own.
    """

    def __init__(self, directory: Path, name: str = "a private authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._numbers = count(1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 60 * _DAY)
            .not_valid_after(now + 60 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = directory / "ca.crt"
        """The file to trust it by."""
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, expired: bool = False, days: float = 30) -> Pair:
        """Vouch for a server.

        Args:
            names: host names and addresses it is for.
            expired: whether its time is over.
            days: how long it is good for, when it is not.
        """
        return self._issue("server", names, ExtendedKeyUsageOID.SERVER_AUTH, expired=expired, days=days)

    def client(self, name: str, expired: bool = False, *, days: float = 30) -> Pair:
        """Vouch for a client of this name; the rest is as for a server."""
        return self._issue(name, (), ExtendedKeyUsageOID.CLIENT_AUTH, expired=expired, days=days)

    def own(self, *names: str) -> Pair:
        """Give a server's certificate that nobody vouches for but itself, as `openssl req -x509` makes it."""
        key, now, name = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC), _named(names[0])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_alternatives(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        return self._written(certificate, key)

    def serving(self, *names: str, expired: bool = False, clients: bool = False) -> ssl.SSLContext:
        """Give what a server of these names speaks TLS with; it may want a certificate of its clients, from here."""
        pair = self.server(*names, expired=expired)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def _issue(
        self, name: str, names: tuple[str, ...], usage: x509.ObjectIdentifier, *, expired: bool, days: float
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        end = now - _DAY if expired else now + days * _DAY
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - 30 * _DAY if expired else now - _DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(_alternatives(names), critical=False)
        return self._written(builder.sign(self._key, hashes.SHA256()), key)

    def _written(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
        stem = self._directory / f"{next(self._numbers)}"
        pair = Pair(stem.with_suffix(".cert"), stem.with_suffix(".key"))
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair


def common_name(certificate: Any) -> str:
    """Give whose a certificate is, as the standard library shows it; nobody's is that of nobody."""
    return str(dict(part[0] for part in certificate["subject"]).get("commonName", "")) if certificate else ""


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternatives(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
