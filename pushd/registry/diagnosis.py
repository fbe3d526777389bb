"""How a registry is spoken to, found out step by step: the first one that fails tells what to mend.

What is begun at the registry is taken back, and nothing is left there: an upload that is to prove the monolithic form
announces a digest its bytes do not have, and a registry that says so has taken and hashed them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.reply import refusal
from pushd.oci.upload import Cancel, Open, Patch, Single, Stream
from pushd.registry.faults import tls_fault
from pushd.registry.tls import subject_names
from pushd.work import Check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from pushd.oci.reply import Reply
    from pushd.oci.upload import Request
    from pushd.registry.bodies import Body
    from pushd.registry.way import Way
    from pushd.registry.wire import Answer

_PATIENCE: Final = 10.0
"""Seconds for a name to resolve, and for a connection."""
_SKEW: Final = 60.0
"""Seconds two clocks may differ: tokens and certificates live for minutes at least."""
_EXPIRING: Final = 14
"""Days before the end of a certificate in which it is worth a word."""
_NAMES: Final = 5
"""Names of a certificate that are told."""
_WORD: Final = b"pushd\n"
_OPENED: Final = 202
_OK: Final = frozenset({200, 401})
_NETWORK: Final = "check the name, and the network and firewalls on the way to it"


class Spoken(Protocol):
    """What is asked of a registry's client, as `registry.client.RegistryClient` has it."""

    @property
    def name(self) -> str:
        """`host[:port]`."""

    @property
    def provenance(self) -> str:
        """Whose credential it is and where it was found; no secret."""

    async def ping(self) -> Answer:
        """Ask whether the API is there."""

    async def perform(self, repository: str, request: Request, body: Body | None = None) -> Reply:
        """Send one request of an upload session."""


async def diagnose(client: Spoken, *, way: Way, repository: str | None) -> Sequence[Check]:
    """Try how a registry is spoken to.

    Args:
        client: of the registry.
        way: to it.
        repository: where the right to push, and the forms of upload, are tried; None tries neither.

    Returns:
        What was tried, in order, up to what makes everything after it pointless.
    """
    checks = [Check(check="credential", ok=True, detail=client.provenance)]
    door = _Door(way)
    for step in (door.resolve, door.connect, door.tls):
        checks.append(await step())
        if checks[-1].ok is False:
            return checks
    checks += await _api(client, way.base)
    if checks[-1].ok is False:
        return checks
    if repository is None:
        hint = "name a repository, as in HOST/team/app"
        return [*checks, Check(check="push", ok=None, detail="was not tried: no repository is named", hint=hint)]
    return [*checks, *await _Uploads(client, repository).checks()]


class _Door:
    """What is knocked at to reach a registry: it itself, or the proxy before it.

    Args:
        way: to the registry.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._proxy = way.proxy
        self._host, self._port = _place(way.base if self._proxy is None else str(self._proxy.url))
        self._addresses: list[str] = []

    async def resolve(self) -> Check:
        """Find its addresses, and see whether they may be gone to."""
        host = self._host
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await asyncio.get_running_loop().getaddrinfo(host, self._port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            return Check(check="resolve", ok=False, detail=f"{host} does not resolve{_why(error)}", hint=_NETWORK)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        rule = self._way.rule if self._proxy is None else None
        self._addresses = [address for address in addresses if rule is None or rule.permits(address)]
        named = f"{host} is {', '.join(addresses[:4])}"
        if not self._addresses:
            hint = "if that is as it should be, list the network in `addresses` of this registry"
            return Check(check="resolve", ok=False, detail=f"{named}, which is link-local", hint=hint)
        through = "" if self._proxy is None else f"goes through the proxy {self._proxy.name}, and "
        return Check(check="resolve", ok=True, detail=f"{through}{named}")

    async def connect(self) -> Check:
        """Open a connection."""
        of = "" if self._proxy is None else "the proxy's "
        try:
            writer = await self._open()
        except (OSError, TimeoutError) as error:
            detail = f"no connection to {of}port {self._port}{_why(error)}"
            return Check(check="connect", ok=False, detail=detail, hint=_NETWORK)
        writer.close()
        return Check(check="connect", ok=True, detail=f"{of}port {self._port} is open")

    async def tls(self) -> Check:
        """Speak TLS, as requests do."""
        if self._way.base.startswith("http:"):
            detail = "is spoken to in plain HTTP, as loopback is and what is configured so"
            return Check(check="tls", ok=True, detail=detail)
        if self._proxy is not None:
            return Check(check="tls", ok=None, detail="is tried with the API, through the proxy")
        try:
            writer = await self._open(self._way.trust())
        except (RegistryError, OSError, TimeoutError) as error:
            return await self._untrusted(error)
        found = _certificate(writer.get_extra_info("ssl_object"))
        _leave(writer)
        return found

    async def _untrusted(self, error: Exception) -> Check:
        if isinstance(error, RegistryError):
            return Check(check="tls", ok=False, detail=error.detail, hint=error.hint)
        if isinstance(error, ssl.SSLError):
            code, detail, hint = tls_fault(error, self._way.registry)
            if code is Code.REGISTRY_TLS_NAME:
                detail, hint = detail + await self._named(), "use a name that it is for"
            return Check(check="tls", ok=False, detail=detail, hint=hint)
        hint = "for a registry without TLS set `plain_http` for it in the configuration"
        return Check(check="tls", ok=False, detail=f"no TLS connection{_why(error)}", hint=hint)

    async def _named(self) -> str:
        """Say which names the certificate is for. It is asked for once more, by nobody, and trusted in nothing."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            writer = await self._open(context)
        except (OSError, TimeoutError):
            return ""
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        _leave(writer)
        names = subject_names(certificate)
        return f": {', '.join(names[:_NAMES])}{' and more' if len(names) > _NAMES else ''}" if names else ""

    async def _open(self, context: ssl.SSLContext | None = None) -> asyncio.StreamWriter:
        """Connect to the first of the addresses that takes it."""
        secure: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": self._host}
        async with asyncio.timeout(_PATIENCE):
            for address in self._addresses[:-1]:
                with suppress(OSError):
                    return (await asyncio.open_connection(address, self._port, **secure))[1]
            return (await asyncio.open_connection(self._addresses[-1], self._port, **secure))[1]


def _certificate(connection: ssl.SSLObject) -> Check:
    certificate, version = connection.getpeercert(), connection.version()
    if not certificate:
        detail = f"{version}, and its certificate is not looked at (`insecure_skip_verify`)"
        return Check(check="tls", ok=None, detail=detail, hint="name its authority as `ca` instead")
    days = int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - datetime.now(UTC).timestamp()) // 86_400)
    detail = f"{version}, and its certificate is good for {days} days"
    hint = "have it renewed" if days < _EXPIRING else ""
    return Check(check="tls", ok=None if hint else True, detail=detail, hint=hint)


def _leave(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.close()


async def _api(client: Spoken, base: str) -> Sequence[Check]:
    try:
        answer = await client.ping()
    except RegistryError as error:
        return [Check(check="api", ok=False, detail=error.detail, hint=error.hint)]
    if answer.status not in _OK:
        hint = "check that the address is a registry and not a web site or proxy in front of it"
        return [Check(check="api", ok=False, detail=f"{base}/v2/ answers {answer.status}", hint=hint)]
    asks = answer.headers.get("WWW-Authenticate", "").partition(" ")[0]
    detail = f"speaks the distribution API{f', and asks for {asks} authorisation' if asks else ''}"
    return [*_clock(answer), Check(check="api", ok=True, detail=detail)]


def _clock(answer: Answer) -> Sequence[Check]:
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return []
    skew = (datetime.now(UTC) - theirs.replace(tzinfo=theirs.tzinfo or UTC)).total_seconds()
    if abs(skew) <= _SKEW:
        return [Check(check="clock", ok=True, detail="agrees with the registry's")]
    detail = f"is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the registry's"
    return [Check(check="clock", ok=False, detail=detail, hint="tokens and certificates depend on it: see to NTP")]


@dataclass(frozen=True, slots=True)
class _Uploads:
    """Uploads that are begun and taken back, each in one form."""

    client: Spoken
    repository: str

    async def checks(self) -> Sequence[Check]:
        """Try the right to push, and if there is one each form."""
        try:
            location = await self._open()
        except RegistryError as error:
            return [Check(check="push", ok=False, detail=error.detail, hint=error.hint)]
        found = [Check(check="push", ok=True, detail=f"an upload to {self.repository} may be begun")]
        sizes = len(_WORD)
        forms: tuple[tuple[str, Callable[[str], Request]], ...] = (
            ("chunked", lambda location: Patch(location, 0, sizes)),
            ("streamed", lambda location: Stream(location, 0, sizes)),
            ("monolithic", lambda location: Single(location, Digest.of(b"something else"), sizes)),
        )
        for name, request in forms:
            found.append(await self._form(name, request(location)))
            with suppress(RegistryError):
                location = await self._open()
        await self._cancel(location)
        return found

    async def _form(self, name: str, request: Request) -> Check:
        try:
            reply = await self.client.perform(self.repository, request, _Word())
        except RegistryError as error:
            return Check(check=name, ok=None, detail=error.detail, hint=error.hint)
        location = reply.location or getattr(request, "location", None)
        if location is not None:
            await self._cancel(location)
        # A monolithic one that is refused for its digest was taken, and read to its end. ECR answers 201 to a chunk.
        taken = "DIGEST_INVALID" in reply.codes if name == "monolithic" else 200 <= reply.status < 300  # noqa: PLR2004
        if taken:
            return Check(check=name, ok=True, detail=f"{name} uploads are taken")
        return Check(check=name, ok=None, detail=f"{name} uploads are answered with {reply.status}")

    async def _open(self) -> str:
        reply = await self.client.perform(self.repository, Open())
        if reply.status != _OPENED or reply.location is None:
            raise refusal(reply, f"{self.client.name}/{self.repository}", "to open an upload")
        return reply.location

    async def _cancel(self, location: str) -> None:
        with suppress(RegistryError):  # one that stays is removed by the registry's own purge
            await self.client.perform(self.repository, Cancel(location))


class _Word:
    """A few bytes as the body of a request."""

    @property
    def length(self) -> int:
        """Bytes it will give."""
        return len(_WORD)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield _WORD


def _place(base: str) -> tuple[str, int]:
    parts = urlsplit(base)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f" within {_PATIENCE:g} s"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return f" ({reason})" if reason else ""
