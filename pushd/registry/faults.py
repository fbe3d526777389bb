"""What goes wrong on the way to a registry, in our words: foreign errors end here.

None of their texts is repeated: they quote URLs, and the query of one may be a secret.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

import aiohttp

from pushd.errors import Code, RegistryError

if TYPE_CHECKING:
    from pushd.registry.connector import Trip
    from pushd.registry.proxies import Proxy

NETWORK: Final = "check the registry and the network on the way to it"
_NO_REGISTRY: Final = "check that this address is a registry, and whether it speaks TLS (`plain_http`)"
_PROXY: Final = "check `[proxy]` in the configuration, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the daemon"

# X509_V_ERR_*, as verify(1ssl) has them.
_OUT_OF_TIME: Final = {9: "is not good yet", 10: "has expired"}
_OTHER_NAME: Final = frozenset({62, 63, 64})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})

_ABOUT_OURS: Final = re.compile(
    "ALERT_(CERTIFICATE_(REQUIRED|EXPIRED|REVOKED|UNKNOWN)|(BAD|UNSUPPORTED|NO)_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)"
)
"""Alerts with which a server answers to a client's certificate, or to none (RFC 8446, 6.2). They are told as reasons
that begin with the version that brought them."""

_PROXY_DOWN: Final = frozenset({502, 503, 504})
_PROXY_ANSWERS: Final = {
    403: "does not let us through to the registry",
    407: "wants another user and password",
}


def translated(error: Exception, subject: str, trip: Trip) -> RegistryError:
    """Give our error for one of the HTTP library, or of the system.

    Args:
        error: what was raised.
        subject: whom and what the exchange was about.
        trip: how it went there.
    """
    if trip.barred:
        return refused_address(subject, trip)
    if isinstance(error, aiohttp.ClientHttpProxyError) and trip.proxy is not None:
        return refused_by_proxy(subject, trip.proxy, error.status)
    if trip.proxy is not None and _is_of_proxy(error, trip.proxy):
        return _unreachable_proxy(subject, trip.proxy, error)
    fault = _tls_error(error)
    if fault is not None:
        code, detail, hint = tls_fault(fault, trip.host)
        return RegistryError(code, subject, detail, hint=hint)
    why = _reason(error) + ("" if trip.proxy is None else f", by way of the proxy {trip.proxy.name}")
    for kind, code, detail, hint in _TRANSLATIONS:
        if isinstance(error, kind):
            return RegistryError(code, subject, f"{detail}{why}", hint=hint)
    return RegistryError(Code.REGISTRY_INTERRUPTED, subject, f"the connection broke{why}")


_NO_URL: Final = "the registry named an address that is no URL"
_TRANSLATIONS: Final[tuple[tuple[type[Exception], Code, str, str], ...]] = (
    (aiohttp.InvalidURL, Code.REGISTRY_MALFORMED, _NO_URL, _NO_REGISTRY),
    (
        aiohttp.ClientConnectorDNSError,
        Code.REGISTRY_UNRESOLVED,
        "its name does not resolve",
        "check the name in the reference, and the resolver",
    ),
    (aiohttp.ConnectionTimeoutError, Code.REGISTRY_UNREACHABLE, "no connection in time", NETWORK),
    (aiohttp.ClientConnectorError, Code.REGISTRY_UNREACHABLE, "no connection", NETWORK),
    (
        aiohttp.ClientResponseError,
        Code.REGISTRY_MALFORMED,
        "the answer is not HTTP as a registry speaks it",
        _NO_REGISTRY,
    ),
)


def no_url(subject: str) -> RegistryError:
    """Say that what a registry named is no URL."""
    return RegistryError(Code.REGISTRY_MALFORMED, subject, _NO_URL, hint=_NO_REGISTRY)


def refused_address(subject: str, trip: Trip) -> RegistryError:
    """Say that a host lies nearer home than where the registry may lead."""
    word = "loopback" if trip.refused is None else trip.refused.word
    detail = f"{trip.host} has a {word} address, which is nearer than it may lead us"
    hint = "if that is as it should be, list the network in `addresses` of this registry in the configuration"
    return RegistryError(Code.REGISTRY_ADDRESS_REFUSED, subject, detail, hint=hint)


# ------------------------------------------------------------------------------------------------------------ TLS


def tls_fault(error: ssl.SSLError, host: str) -> tuple[Code, str, str]:
    """Give code, detail and hint for a TLS connection to `host` that did not come about, or was ended by it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_trusted(error, host)
    reason = error.reason or ""
    if (alert := _ABOUT_OURS.search(reason)) is not None:
        said = alert[1].lower().replace("_", " ")
        hint = f"set `client_cert` for this registry, or put client.cert and client.key into certs.d/{host}"
        return Code.REGISTRY_TLS_CLIENT, f"{host} does not take us by our client certificate ({said})", hint
    hint = "check whether it speaks TLS at all (`plain_http`), from 1.2 on, and whether it wants a client certificate"
    said = reason.lower().replace("_", " ") or "handshake failed"
    return Code.REGISTRY_TLS, f"no TLS connection to {host} ({said})", hint


def _not_trusted(error: ssl.SSLCertVerificationError, host: str) -> tuple[Code, str, str]:
    code = error.verify_code
    if code in _OUT_OF_TIME:
        detail = f"the certificate of {host} {_OUT_OF_TIME[code]}"
        return Code.REGISTRY_TLS_EXPIRED, detail, "have it renewed, or see to the clock of this machine"
    if code in _OTHER_NAME:
        hint = f"use a name that it is for; `pushctl doctor {host}` tells which"
        return Code.REGISTRY_TLS_NAME, f"the certificate of {host} is for another name", hint
    if code in _UNKNOWN_AUTHORITY:
        detail = f"the certificate of {host} is from no authority that is trusted here ({error.verify_message})"
        hint = (
            f"for a private authority set `ca` for this registry, or put its certificate as ca.crt into certs.d/{host}"
        )
        return Code.REGISTRY_TLS_UNTRUSTED, detail, hint
    return Code.REGISTRY_TLS, f"the certificate of {host} is not trusted ({error.verify_message})", "have it replaced"


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """Find the error of TLS at the bottom of one.

    In TLS 1.3 a server looks at our certificate after we are through (RFC 8446, 4.4.2), so that what it says of it
    comes in place of an answer, and breaks the connection.
    """
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLError) and not isinstance(below, aiohttp.ClientError):
            return below  # the library's own are of that class too, and know nothing of it
        below = below.__cause__
    return None


# ---------------------------------------------------------------------------------------------------------- proxies


def refused_by_proxy(subject: str, proxy: Proxy, status: int) -> RegistryError:
    """Say that a proxy did not do what it was asked."""
    if status in _PROXY_DOWN:
        detail = f"the proxy {proxy.name} does not get through to it ({status})"
        return RegistryError(Code.REGISTRY_UNREACHABLE, subject, detail, hint=NETWORK)
    detail = f"the proxy {proxy.name} {_PROXY_ANSWERS.get(status, 'refuses to connect us')} ({status})"
    return RegistryError(Code.REGISTRY_PROXY, subject, detail, hint=_PROXY)


def _is_of_proxy(error: Exception, proxy: Proxy) -> bool:
    """Whether it was the connection to the proxy that did not come about: no other one is made, nor resolved for."""
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientConnectorDNSError):
        return True
    place = (error.host, error.port) if isinstance(error, aiohttp.ClientConnectorError) else None
    return place == (proxy.url.raw_host, proxy.url.port)


def _unreachable_proxy(subject: str, proxy: Proxy, error: Exception) -> RegistryError:
    fault = _tls_error(error)
    if fault is not None:
        _, detail, _ = tls_fault(fault, proxy.name)
        return RegistryError(Code.REGISTRY_PROXY, subject, f"to the proxy: {detail}", hint=_PROXY)
    why = "its name does not resolve" if isinstance(error, aiohttp.ClientConnectorDNSError) else "no connection"
    detail = f"the proxy {proxy.name} is not reached: {why}{_reason(error)}"
    return RegistryError(Code.REGISTRY_UNREACHABLE, subject, detail, hint=_PROXY)


def _reason(error: BaseException) -> str:
    """Say why in the system's words."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, socket.gaierror):
        return f" ({cause.strerror})"
    if isinstance(cause, OSError) and cause.errno:
        # Not its strerror: there the HTTP library writes what it was about to do, and to which URL.
        return f" ({os.strerror(cause.errno)})"
    return ""
