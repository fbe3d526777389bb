"""What TLS to one host is made of: configured files, and the directories of Docker and of containers.

`CERTS_D/HOST[:PORT]/` holds authorities as `*.crt`, and client certificates as `X.cert` with `X.key` (Docker's "Verify
repository client with certificates", and containers-certs.d(5)).
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final, NoReturn

from pushd.errors import Code, RegistryError
from pushd.registry.endpoint import origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

_DIRECTORY: Final = re.compile(r"(?:[a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:.]+\])(?::[0-9]+)?", re.IGNORECASE)
"""A host that may name a directory; others, a redirect's among them, are no part of a path."""
_HTTPS: Final = 443
_LARGEST: Final = 4 << 20
"""Bytes of a file: those with all authorities there are have a quarter of a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What is configured of TLS for one host.

    Attributes:
        ca: a PEM file with authorities to trust beside the system's, or None.
        client_cert: a PEM file with the certificate that is shown to it, or None.
        client_key: a PEM file with its key; None when that is in the same file.
        insecure_skip_verify: whether its certificate is not looked at.
    """

    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """A host as its material is found by.

    Attributes:
        names: of its directories, `host[:port]`; the first is what people call it.
        tls: what is configured for it.
    """

    names: tuple[str, ...]
    tls: Tls = Tls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The files for one host.

    Attributes:
        authorities: each of them, to be trusted beside the system's.
        client: a certificate with its key, or None.
    """

    authorities: tuple[Path, ...] = ()
    client: tuple[Path, Path] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.authorities, *(self.client or ()))


def names_of(url: str) -> tuple[str, ...]:
    """Give the names under which material for the host of an https URL is looked for."""
    _, host, port = origin(url)
    host = f"[{host}]" if ":" in host else host
    return (host, f"{host}:{port}") if port == _HTTPS else (f"{host}:{port}",)


def directories(host: Host, certs_d: Sequence[Path]) -> tuple[Path, ...]:
    """Give the directories in which material for a host may lie."""
    return tuple(place / name for place in certs_d for name in host.names if _DIRECTORY.fullmatch(name))


def gather(host: Host, certs_d: Sequence[Path]) -> Material:
    """Find the files for a host: authorities add up, of client certificates the configured one goes first.

    Raises:
        RegistryError: `registry.tls_files`, a directory cannot be read, or has half of a pair.
    """
    authorities = [] if host.tls.ca is None else [host.tls.ca]
    cert, key = host.tls.client_cert, host.tls.client_key
    pairs = [] if cert is None else [(cert, key or cert)]
    for directory in directories(host, certs_d):
        found = _listed(host, directory)
        authorities += [directory / name for name in found if name.endswith(".crt")]
        pairs += _pairs(host, directory, found)
    return Material(authorities=tuple(authorities), client=pairs[0] if pairs else None)


def _listed(host: Host, directory: Path) -> Sequence[str]:
    try:
        directory.stat()
    except OSError:
        return ()  # whether it is there at all cannot be told of one in a place that is closed to us
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 (names are what is wanted)
    except OSError as error:
        _unusable(host, directory, _why(error))


def _pairs(host: Host, directory: Path, found: Sequence[str]) -> Iterable[tuple[Path, Path]]:
    for name in found:
        stem, dot, suffix = name.rpartition(".")
        other = {"cert": "key", "key": "cert"}.get(suffix) if dot else None
        if other is None:
            continue
        if f"{stem}.{other}" not in found:
            hint = f"put {stem}.{other} beside it; the file of an authority ends in .crt"
            _unusable(host, directory / name, f"lacks {stem}.{other}, the other half of a client certificate", hint)
        if suffix == "cert":
            yield directory / name, directory / f"{stem}.key"


# ------------------------------------------------------------------------------------------------------ contexts


def system_context() -> ssl.SSLContext:
    """Make a context that trusts whom the system trusts, and speaks TLS 1.2 (RFC 9325, 3.1.1) or newer."""
    context = ssl.create_default_context()
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)  # the system may want more
    # As Go has it, and so Docker, on every version of Python: who is named is trusted, whatever extensions it lacks.
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


def make_context(host: Host, *materials: Material, verified: bool = True) -> ssl.SSLContext:
    """Make the context for a host.

    Args:
        host: whose it is.
        materials: all whose authorities count; the client certificate is that of the first.
        verified: whether the host's certificate is looked at.

    Raises:
        RegistryError: `registry.tls_files`, `registry.tls_key_mismatch`: a file is of no use.
    """
    context = system_context()
    for material in materials:
        for file in material.authorities:
            _check_readable(host, file)
            try:
                context.load_verify_locations(file)
            except (OSError, ValueError):
                _unusable(host, file, "holds no certificate in PEM")
    client = materials[0].client
    if client is not None:
        _show(context, host, *client)
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _EncryptedError(Exception):
    """A key wants a password, which nobody is there to type."""


def _refuse() -> NoReturn:
    raise _EncryptedError


def _show(context: ssl.SSLContext, host: Host, cert: Path, key: Path) -> None:
    for file in (cert, key):
        _check_readable(host, file)
    try:
        context.load_cert_chain(cert, key, password=_refuse)
    except _EncryptedError:
        _mismatched(host, key, "is encrypted, and nobody is there to type its password", "store it without one")
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            _mismatched(host, key, f"is not the key of the certificate in {cert}", "store the two that belong together")
        why = f" ({error.reason.lower().replace('_', ' ')})" if error.reason else ""
        _unusable(host, cert, f"holds no certificate in PEM, or {key} not its key{why}")


def validity(material: Material) -> tuple[datetime, datetime] | None:
    """Give from when to when the client certificate of some material is good; None where that cannot be told."""
    if material.client is None:
        return None
    from cryptography import x509  # noqa: PLC0415 (late: few have a client certificate, and it takes its time)

    try:
        certificate = x509.load_pem_x509_certificate(material.client[0].read_bytes())
    except (OSError, ValueError):
        return None
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def check_valid(host: Host, material: Material, period: tuple[datetime, datetime], now: datetime) -> None:
    """Refuse a client certificate out of its time.

    Raises:
        RegistryError: `registry.tls_expired`.
    """
    begin, end = period
    if begin <= now <= end or material.client is None:
        return
    moment, word = (end, "has expired") if now > end else (begin, "is not good yet")
    detail = f"our client certificate {material.client[0]} {word} ({moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"
    hint = "have it renewed" if now > end else "check the clock of this machine"
    raise RegistryError(Code.REGISTRY_TLS_EXPIRED, host.names[0], detail, hint=hint)


def subject_names(certificate: bytes) -> tuple[str, ...]:
    """Give the names and addresses that a certificate, in DER, is for; none where they cannot be told."""
    from cryptography import x509  # noqa: PLC0415 (late, as above)

    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))


# -------------------------------------------------------------------------------------------------------- errors


def _check_readable(host: Host, file: Path) -> None:
    try:
        # A FIFO would be waited for, with all that the daemon does, and a device may have no end.
        opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(opened)
        finally:
            os.close(opened)
    except OSError as error:
        _unusable(host, file, _why(error))
    if not stat.S_ISREG(status.st_mode):
        _unusable(host, file, "is no regular file")
    if status.st_size > _LARGEST:
        _unusable(host, file, f"is longer than {_LARGEST >> 20} MiB")


def _why(error: OSError) -> str:
    return f"cannot be read ({os.strerror(error.errno) if error.errno else 'it is no file'})"


def _unusable(host: Host, file: Path, why: str, hint: str = "") -> NoReturn:
    hint = hint or "put a PEM file there that the daemon may read"
    raise RegistryError(Code.REGISTRY_TLS_FILES, host.names[0], f"its TLS file {file} {why}", hint=hint) from None


def _mismatched(host: Host, key: Path, why: str, hint: str) -> NoReturn:
    raise RegistryError(Code.REGISTRY_TLS_KEY, host.names[0], f"its TLS file {key} {why}", hint=hint) from None
