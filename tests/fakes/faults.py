"""How the fake registry misbehaves: small actions, each applied to the requests a rule picks.

    registry.misbehave(CutBody(after=100_000), kind=Kind.CHUNK, nth=2)
    registry.misbehave(throttle(seconds=1), kind=Kind.OPEN, times=3)
    registry.misbehave(Cut(When.COMMITTED), kind=Kind.COMMIT)

All rules that pick a request act on it, in the order in which they were made.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tests.fakes.traffic import Kind, Seen


class CutError(Exception):
    """The connection is to be reset without a word."""


class AnsweredError(Exception):
    """The request is answered, and nothing more is done with it."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(slots=True)
class Exchange:
    """One request on its way through the registry.

    Attributes:
        body: the pieces of its body; an action may wrap it.
        closing: set when the registry stops, so that nothing waits longer than that.
    """

    request: web.Request
    seen: Seen
    body: AsyncIterator[bytes]
    closing: asyncio.Event

    async def drain(self) -> None:
        """Read the body to its end and drop it."""
        async for _ in self.body:
            pass

    async def pause(self, seconds: float | None) -> None:
        """Wait; None is for ever. Ends with `CutError` when the registry stops."""
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            return
        raise CutError

    def narrow(self) -> None:
        """Keep the kernel from taking megabytes on our behalf, so that the peer feels that we do not read."""
        transport = self.request.transport
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)


class Action:
    """What is done to a request: when it arrives, and when its reply is ready and everything is committed."""

    async def arrive(self, exchange: Exchange) -> None:
        """Act on the request before anything of its body is read."""

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        """Act on the reply before it is sent."""


@unique
class When(Enum):
    """The moment of an action."""

    ARRIVED = "arrived"
    """The headers have been read, nothing of the body."""
    RECEIVED = "received"
    """The whole body has been read, and nothing done with it."""
    COMMITTED = "committed"
    """The request has had its effect; the reply is still to be sent."""


@dataclass(frozen=True, slots=True)
class _Timed(Action):
    """An action at one moment.

    Attributes:
        when: that moment.
    """

    when: When = When.ARRIVED

    async def arrive(self, exchange: Exchange) -> None:
        if self.when is When.RECEIVED:
            await exchange.drain()
        if self.when is not When.COMMITTED:
            await self.act(exchange)

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        if self.when is When.COMMITTED:
            await self.act(exchange)

    async def act(self, exchange: Exchange) -> None:
        """Do it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Cut(_Timed):
    """Reset the connection."""

    async def act(self, exchange: Exchange) -> None:
        raise CutError


@dataclass(frozen=True, slots=True)
class Stall(_Timed):
    """Never read, never answer, keep the connection."""

    async def act(self, exchange: Exchange) -> None:
        exchange.narrow()
        await exchange.pause(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(_Timed):
    """Wait `seconds`, then go on as if nothing were."""

    seconds: float

    async def arrive(self, exchange: Exchange) -> None:
        if self.when is When.RECEIVED:
            raise NotImplementedError("a body that was dropped cannot go on")
        await _Timed.arrive(self, exchange)

    async def act(self, exchange: Exchange) -> None:
        await exchange.pause(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_Timed):
    """Answer this, whatever was asked. An answer on arrival leaves the body unread."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def act(self, exchange: Exchange) -> None:
        raise AnsweredError(web.Response(status=self.status, headers=self.headers, body=self.body))


async def _first(body: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """Give the first `count` bytes of a body."""
    left = count
    while left:
        piece = await anext(body, b"")
        if not piece:
            raise AssertionError(f"the body ended {left} bytes before it was to be broken")
        yield piece[:left]
        left -= len(piece[:left])


@dataclass(frozen=True, slots=True, kw_only=True)
class CutBody(Action):
    """Read exactly `after` bytes of the body, as ever, then reset the connection."""

    after: int

    async def arrive(self, exchange: Exchange) -> None:
        exchange.body = self._read(exchange.body)

    async def _read(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in _first(body, self.after):
            yield piece
        raise CutError


@dataclass(frozen=True, slots=True, kw_only=True)
class StallBody(Action):
    """Read exactly `after` bytes of the body, as ever, then read no more and keep the connection."""

    after: int

    async def arrive(self, exchange: Exchange) -> None:
        exchange.narrow()
        exchange.body = self._read(exchange, exchange.body)

    async def _read(self, exchange: Exchange, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in _first(body, self.after):
            yield piece
        await exchange.pause(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowBody(Action):
    """Read the body at `rate` bytes a second."""

    rate: float

    async def arrive(self, exchange: Exchange) -> None:
        exchange.narrow()
        exchange.body = self._read(exchange, exchange.body)

    async def _read(self, exchange: Exchange, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece
            await exchange.pause(len(piece) / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBody(Action):
    """Read exactly `after` bytes of the body, as ever, then answer this.

    Attributes:
        first: done before the answer, say, letting the token it came with end.
    """

    after: int
    status: int
    first: Callable[[], None] = field(default=lambda: None)

    async def arrive(self, exchange: Exchange) -> None:
        exchange.body = self._read(exchange.body)

    async def _read(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in _first(body, self.after):
            yield piece
        self.first()
        raise AnsweredError(web.Response(status=self.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutReply(Action):
    """Do what was asked, send the first `after` bytes of the reply, then reset the connection."""

    after: int

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        transport = exchange.request.transport
        if transport is not None:
            head = f"HTTP/1.1 {response.status} {response.reason}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
            transport.write(head.encode()[: self.after])
        raise CutError


@dataclass(frozen=True, slots=True, kw_only=True)
class CutContent(Action):
    """Send the head of the reply and the first `after` bytes of its body, then close the connection; or go mute.

    Attributes:
        mute: whether the connection is kept, and nothing more is said.
    """

    after: int
    mute: bool = False

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        transport = exchange.request.transport
        assert transport is not None
        assert isinstance(response.body, bytes)
        headers = {**response.headers, "Content-Length": str(len(response.body))}
        head = f"HTTP/1.1 {response.status} {response.reason}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        transport.write(head.encode() + b"\r\n" + response.body[: self.after])
        if self.mute:
            await exchange.pause(None)
        transport.close()  # with what is written still to be sent
        raise AnsweredError(response)


@dataclass(frozen=True, slots=True)
class RelativeLocation(Action):
    """Send `Location` without scheme and host."""

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        parts = urlsplit(response.headers["Location"])
        response.headers["Location"] = f"{parts.path}?{parts.query}"


@dataclass(frozen=True, slots=True)
class Header(Action):
    """Send this header in the reply, or none of that name."""

    name: str
    value: str | None

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        response.headers.popall(self.name, None)
        if self.value is not None:
            response.headers[self.name] = self.value


def throttle(seconds: float | str | None) -> Answer:
    """Answer 429 with `Retry-After`: seconds, or an HTTP date, or none."""
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return Answer(status=429, headers=headers, body=error_body("TOOMANYREQUESTS"))


def redirect(url: str, status: int = 307) -> Answer:
    """Send the client elsewhere."""
    return Answer(status=status, headers={"Location": url})


def page(status: int) -> Answer:
    """Answer as a proxy does, with a page for people."""
    return Answer(
        status=status,
        headers={"Content-Type": "text/html"},
        body=f"<html><body><h1>{status}</h1><hr>nginx</body></html>\n".encode(),
    )


def error_body(code: str, message: str = "", detail: object = None) -> bytes:
    """Build `{"errors":[...]}` (OCI distribution spec 1.1.1, "Error Codes")."""
    return json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()


@dataclass(slots=True)
class Rule:
    """Which requests an action is applied to.

    Attributes:
        nth: the first of the matching requests it acts on, from 1.
        times: how many from there on; None for all.
        seen: how many have matched.
        acted: how many it has acted on.
    """

    action: Action
    kind: Kind | None
    method: str | None
    repository: str | None
    nth: int
    times: int | None
    seen: int = 0
    acted: int = 0

    def picks(self, request: Seen) -> bool:
        """Whether the action is applied to this request, which is counted."""
        for wanted, found in (
            (self.kind, request.kind),
            (self.method, request.method),
            (self.repository, request.repository),
        ):
            if wanted is not None and wanted != found:
                return False
        self.seen += 1
        picked = self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)
        self.acted += picked
        return picked
