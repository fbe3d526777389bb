"""A registry whose uploads go to another host, as those with a storage of its own behind them do.

Both hosts are in front of one real registry, which lets everybody in. The first wants a password; the second, the
storage, wants none, and writes down every header it is sent.

    with Redirecting(registry.address, account=("ci", "secret")) as front:
        push(f"{front.address}/team/app:1.4")
        assert not front.stored("Authorization")
"""

from __future__ import annotations

import base64
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.fakes.threaded import Handler, ThreadedServer

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

SIGNATURE = "X-Storage-Signature"
"""The parameter by which the storage knows who was sent by the registry: a secret, as in a presigned URL."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request to the storage, or to the registry.

    Attributes:
        path: without the query.
        headers: all, in order.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    def __contains__(self, name: str) -> bool:
        return any(header.lower() == name.lower() for header, _ in self.headers)


class Redirecting:
    """The registry and the storage.

    Args:
        upstream: `host:port` of the real registry, in plain HTTP.
        account: user and password the registry wants.
        redirects: whether it leads to the storage by answering each PATCH and PUT with 307; otherwise by the Location
            of the upload when it is opened.
        tls: what both speak TLS with; None for plain HTTP.

    Attributes:
        requests: to the registry.
        stored: to the storage.
    """

    def __init__(
        self, upstream: str, *, account: tuple[str, str], redirects: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.upstream = upstream
        self.redirects = redirects
        self.authorization = "Basic " + base64.b64encode(":".join(account).encode()).decode()
        self.signature = secrets.token_hex(16)
        self.requests: list[Sent] = []
        self.stored: list[Sent] = []
        self.lock = threading.Lock()
        self._front = ThreadedServer(_Front, self, tls)
        self._storage = ThreadedServer(_Storage, self, tls)

    @property
    def address(self) -> str:
        """`host:port` of the registry, as in references."""
        return self._front.address

    def there(self, location: str) -> str:
        """Give the URL at the storage for one of the registry."""
        parts = urlsplit(location)
        query = [*parse_qsl(parts.query), (SIGNATURE, self.signature)]
        return f"{self._storage.url}{parts.path}?{urlencode(query)}"

    def here(self, location: str) -> str:
        """Give the URL at the registry for one of the upstream's."""
        return location.replace(f"http://{self.upstream}", self._front.url)

    def __enter__(self) -> Self:
        self._front.__enter__()
        self._storage.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.__exit__(kind, error, trace)
        self._front.__exit__(kind, error, trace)


class _Recorded(Handler):
    part: Redirecting

    def note(self, where: list[Sent]) -> None:
        """Write the request down."""
        with self.part.lock:
            where.append(Sent(self.command, urlsplit(self.path).path, tuple(self.headers.items())))


class _Front(_Recorded):
    def answer(self) -> None:
        part = self.part
        self.note(part.requests)
        if self.headers.get("Authorization") != part.authorization:
            self.body()
            self.reply(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', {"WWW-Authenticate": 'Basic realm="front"'})
            return
        uploads = "/blobs/uploads/" in self.path
        if part.redirects and uploads and self.command in ("PATCH", "PUT"):
            self.body()
            self.reply(307, headers={"Location": part.there(self.path)})
            return
        answer, content = self.relay(part.upstream)
        headers = _kept(answer.getheaders())
        if uploads and "Location" in headers:
            location = part.here(headers["Location"])
            headers["Location"] = location if part.redirects else part.there(location)
        self.reply(answer.status, content, headers)


class _Storage(_Recorded):
    def answer(self) -> None:
        part = self.part
        self.note(part.stored)
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if query.pop(SIGNATURE, None) != part.signature:
            self.body()
            self.reply(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", {"Content-Type": "application/xml"})
            return
        self.path = f"{parts.path}?{urlencode(query)}"
        answer, content = self.relay(part.upstream)
        headers = _kept(answer.getheaders())
        # Of a blob that is complete the Location is the registry's again.
        if "Location" in headers:
            location = part.here(headers["Location"])
            headers["Location"] = location if part.redirects or answer.status == 201 else part.there(location)
        self.reply(answer.status, content, headers)


def _kept(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Give the headers of an answer without those of its connection."""
    return {name: value for name, value in headers if name.lower() not in ("connection", "date", "server")}
