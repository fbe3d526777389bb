"""A registry on a loopback port, in the test's event loop: OCI distribution spec 1.1.1, push and pull.

It is faithful where registries agree, and differs by `Behaviour` where they differ. It writes down every request, and
misbehaves when told to (`faults`). A request that no registry would understand fails the test.

    async with FakeRegistry(DISTRIBUTION_2) as registry:
        rule = registry.misbehave(CutBody(after=70_000), kind=Kind.CHUNK, nth=2)
        await push(f"{registry.address}/team/app:1.4")
        assert registry.count(Kind.OPEN) == 2
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from aiohttp import web

from tests.fakes.behaviour import Bearer, Behaviour
from tests.fakes.distribution import Distribution, failure
from tests.fakes.faults import AnsweredError, CutError, Exchange, Rule
from tests.fakes.shelves import Blob, Manifest, Repository, digest_of
from tests.fakes.tokens import Guard
from tests.fakes.traffic import Kind, Seen, find_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from tests.fakes.faults import Action


class FakeRegistry:
    """The registry. Everything a test asks it may be asked at any time, from any thread.

    Attributes:
        behaviour: how it differs from others; may be replaced between requests.
        requests: every request, in the order of arrival.
        unexpected: what no registry would understand; makes the test fail when the registry is left.
        peak_uploads: the largest number of requests that carried bytes of blobs at one time.
        port: chosen at the first start, and kept through a restart.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.requests: list[Seen] = []
        self.unexpected: list[str] = []
        self.peak_uploads = 0
        self.port = 0
        self._repositories: dict[str, Repository] = {}
        self._guard = Guard()
        self._rules: list[Rule] = []
        self._uploads = 0
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # ------------------------------------------------------------------------------------------ for the test

    @property
    def address(self) -> str:
        """`host:port`, as in references."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base of its URLs, without a slash."""
        return f"http://{self.address}"

    @property
    def received(self) -> int:
        """Bytes of all request bodies."""
        return sum(seen.received for seen in self.requests)

    def seen(self, kind: Kind | None = None, *, method: str | None = None, repository: str | None = None) -> list[Seen]:
        """Give the requests of one kind, of one method, to one repository."""
        return [
            seen
            for seen in self.requests
            if (kind is None or seen.kind is kind)
            and (method is None or seen.method == method)
            and (repository is None or seen.repository == repository)
        ]

    def count(self, kind: Kind | None = None, *, method: str | None = None, repository: str | None = None) -> int:
        """Count the requests of one kind, of one method, to one repository."""
        return len(self.seen(kind, method=method, repository=repository))

    def misbehave(
        self,
        action: Action,
        *,
        kind: Kind | None = None,
        method: str | None = None,
        repository: str | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> Rule:
        """Apply `action` to the `nth` matching request from now on and the `times - 1` after it; None is to all.

        A rule that has never acted when the registry is left fails the test: what it was to prove was not proved.
        """
        rule = Rule(action, kind, method, repository, nth, times)
        self._rules.append(rule)
        return rule

    def repository(self, name: str) -> Repository:
        """Give a repository, which comes into being by being asked for."""
        return self._repositories.setdefault(name, Repository())

    def add_blob(self, repository: str, content: bytes) -> str:
        """Hold a blob from the start; gives its digest."""
        blob = Blob(digest_of(content), len(content), content)
        self.repository(repository).blobs[blob.digest] = blob
        return blob.digest

    def add_manifest(self, repository: str, content: bytes, media_type: str, tag: str | None = None) -> str:
        """Hold a manifest from the start; gives its digest."""
        manifest = Manifest(digest_of(content), media_type, content)
        shelf = self.repository(repository)
        shelf.manifests[manifest.digest] = manifest
        if tag is not None:
            shelf.tags[tag] = manifest.digest
        return manifest.digest

    def forget_tokens(self) -> None:
        """Let every token given out so far be invalid from now on."""
        self._guard.forget_tokens()

    def forget_sessions(self) -> None:
        """Let every upload session be unknown from now on."""
        for repository in self._repositories.values():
            repository.sessions.clear()

    # -------------------------------------------------------------------------------------------- life cycle

    async def start(self) -> None:
        """Listen; after a stop, on the same port and with everything it holds."""
        self._closing = asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop as a killed process does: connections are reset, what has arrived stays."""
        if self._runner is None:
            return
        self._closing.set()
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                connection.force_close()
        await self._runner.cleanup()
        self._runner = None

    def check(self) -> None:
        """Raise AssertionError when something came that no registry would understand, or a rule never acted."""
        idle = [f"never happened: {rule}" for rule in self._rules if not rule.acted]
        problems = [*self.unexpected, *idle]
        if problems:
            raise AssertionError("\n  ".join(["the fake registry:", *problems]))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if error is None:
            self.check()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread of its own, for tests that block."""
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def serve() -> None:
            leave = asyncio.Event()
            try:
                await self.start()
            except OSError as error:
                started.set_exception(error)
                return
            started.set_result((asyncio.get_running_loop(), leave))
            await leave.wait()
            await self.stop()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="fake-registry", daemon=True)
        thread.start()
        loop, leave = started.result(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(leave.set)
            thread.join(10)
        self.check()

    # ------------------------------------------------------------------------------------- one request's way

    async def _handle(self, request: web.Request) -> web.Response:
        target = find_target(request.method, request.path, request.query, request.headers)
        seen = Seen(
            method=request.method,
            path=request.path,
            kind=target.kind if target else None,
            repository=target.repository if target else "",
            reference=target.reference if target else "",
            query=request.query,
            headers=request.headers,
            started=time.monotonic(),
        )
        self.requests.append(seen)
        uploading = seen.kind is not None and seen.kind.uploads and request.body_exists
        self._uploads += uploading
        self.peak_uploads = max(self.peak_uploads, self._uploads)
        try:
            response = await self._serve(request, seen)
        except CutError:
            _reset(request)
            return web.Response()  # goes nowhere: the connection is gone
        except Exception as error:
            self.unexpected.append(f"{seen}: {error!r}")
            raise
        finally:
            self._uploads -= uploading
            seen.finished = time.monotonic()
        seen.status = response.status
        return response

    async def _serve(self, request: web.Request, seen: Seen) -> web.Response:
        exchange = Exchange(request, seen, _pieces(request, seen), self._closing)
        actions = [rule.action for rule in self._rules if rule.picks(seen)]
        try:
            for action in actions:
                await action.arrive(exchange)
            response = await self._answer(exchange)
            if self.behaviour.names_itself:
                response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
            if self.behaviour.names_itself and response.status >= 400 and response.content_type == "application/json":
                response.charset = None if self.behaviour.plain_json else "utf-8"
            for action in actions:
                await action.reply(exchange, response)
        except AnsweredError as answered:
            return answered.response
        return response

    async def _answer(self, exchange: Exchange) -> web.Response:
        seen, behaviour = exchange.seen, self.behaviour
        bearer = behaviour.auth if isinstance(behaviour.auth, Bearer) else None
        known = seen.kind is not None and seen.kind not in behaviour.refused
        if not known or (seen.kind is Kind.TOKEN and bearer is None):
            self.unexpected.append(f"no registry of this behaviour knows {seen.method} {exchange.request.path_qs}")
            return failure(404, "UNSUPPORTED", "the fake registry does not know this request")
        if seen.kind is Kind.TOKEN and bearer is not None:
            return self._guard.issue(bearer, seen, exchange.request.query.getall("scope", []))
        if behaviour.body_max and (exchange.request.content_length or 0) > behaviour.body_max:
            return failure(413, "", "the proxy takes no body that long")
        refusal = self._guard.refuse(behaviour.auth, seen, f"{self.url}/token")
        if refusal is not None:
            return refusal
        return await Distribution(behaviour, self._repositories, self.url).answer(exchange)


async def _pieces(request: web.Request, seen: Seen) -> AsyncIterator[bytes]:
    """Give the body as it comes; a body that breaks off, or is not of the announced length, is a cut."""
    while True:
        try:
            piece = await request.content.readany()
        except (OSError, web.RequestPayloadError) as error:
            raise CutError from error
        except RuntimeError as error:  # aiohttp's, where the peer left in the middle of a chunk
            if request.transport is not None:
                raise
            raise CutError from error
        if not piece:
            return
        seen.received += len(piece)
        yield piece


def _reset(request: web.Request) -> None:
    """End the connection with RST, so that the peer knows at once."""
    transport = request.transport
    if transport is not None:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
