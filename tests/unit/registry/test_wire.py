"""One exchange, against peers that break HTTP itself."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

from pushd.errors import Code, RegistryError, SourceError
from pushd.registry import Timeouts, Wire
from pushd.registry.bodies import Pulled
from pushd.registry.watch import Watch
from tests.unit.registry.bodies import Pieces, large
from tests.unit.registry.conftest import QUICK, settled
from tests.unit.registry.peers import answering, forever, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushd.registry.wire import Answer
    from tests.unit.registry.peers import Line

    Script = Callable[[Line], Awaitable[None]]

SUBJECT = "registry.example/app"


async def ask(wire: Wire, url: str, method: str = "GET", **how: Any) -> Answer:
    return await wire.exchange(method, url, headers=how.pop("headers", {}), subject=SUBJECT, **how)


async def failing(wire: Wire, url: str, method: str = "GET", **how: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await ask(wire, url, method, **how)
    error = caught.value
    assert error.subject == SUBJECT
    assert str(error).isprintable()
    return error


# ------------------------------------------------------------------------------------------ what goes out


async def test_the_address_is_sent_byte_for_byte(wire: Wire) -> None:
    target = "/v2/a%2Fb/%7e;x//y?sig=%2fAB+c%20d&e=a=b&&f=%C3%A9&g=:@/?"
    async with listening(answering((200, []))) as peer:
        await ask(wire, peer.url + target)
    assert peer.heard[0].target == target


async def test_a_body_has_a_content_length_and_no_transfer_encoding(wire: Wire) -> None:
    body = Pieces(b"one", b"two", b"three")
    async with listening(answering((202, []))) as peer:
        await ask(wire, peer.url, "PATCH", body=body)
    (heard,) = peer.heard
    assert heard.header("Content-Length") == "11"
    assert heard.header("Transfer-Encoding") is None
    assert heard.body == b"onetwothree"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_no_body_has_the_content_length_0(wire: Wire, method: str) -> None:
    async with listening(answering((202, []))) as peer:
        await ask(wire, peer.url, method)
    assert peer.heard[0].header("Content-Length") == "0"


@pytest.mark.parametrize("content", [b"", b"{}", bytes(3 << 20)])
async def test_bytes_go_out_as_they_are(wire: Wire, content: bytes) -> None:
    async with listening(answering((201, []))) as peer:
        await ask(wire, peer.url, "PUT", body=content, headers={"Content-Type": "x/y"})
    (heard,) = peer.heard
    assert heard.body == content
    assert heard.header("Content-Length") == str(len(content))
    assert heard.header("Content-Type") == "x/y"
    assert heard.header("Content-Disposition") is None


async def test_bytes_on_a_connection_that_dies_are_sent_whole_again(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        if line.peer.connections == 1:
            await line.answer(200)
            await line.head()
            line.reset()
        await line.answer(201)

    content = b"x" * 300_000
    async with listening(script) as peer:
        await ask(wire, peer.url)
        assert (await ask(wire, peer.url, "PUT", body=content)).status == 201
    assert [heard.body for heard in peer.heard] == [b"", b"", content]


async def test_an_empty_body_is_one(wire: Wire) -> None:
    body = Pieces()
    async with listening(answering((201, []))) as peer:
        await ask(wire, peer.url, "PUT", body=body)
    assert peer.heard[0].header("Content-Length") == "0"
    assert body.over.is_set()


async def test_it_says_who_it_is_and_wants_answers_as_they_are(wire: Wire) -> None:
    async with listening(answering((200, []))) as peer:
        await ask(wire, peer.url)
    user_agent = peer.heard[0].header("User-Agent")
    assert user_agent is not None
    assert user_agent.startswith("pushd/")
    assert peer.heard[0].header("Accept-Encoding") == "identity"


async def test_a_peer_that_packs_answers_for_whoever_allows_it_is_understood(wire: Wire) -> None:
    async def script(line: Line) -> None:
        heard = await line.request()
        packs = "gzip" in (heard.header("Accept-Encoding") or "")
        content = gzip.compress(b"{}") if packs else b"{}"
        await line.answer(200, *["Content-Encoding: gzip"] * packs, body=content)

    async with listening(script) as peer:
        assert (await ask(wire, peer.url)).content == b"{}"


async def test_cookies_are_not_kept(wire: Wire) -> None:
    async with listening(answering((200, ["Set-Cookie: a=b; Path=/"]))) as peer:
        await ask(wire, peer.url)
        await ask(wire, peer.url)
    assert [heard.header("Cookie") for heard in peer.heard] == [None, None]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answering((502, []))) as proxy, listening(answering((200, []))) as peer:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        wire = Wire(QUICK)
        try:
            assert (await ask(wire, peer.url)).status == 200
        finally:
            await wire.close()
    assert proxy.heard == []


async def test_a_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with listening(answering((200, []))) as peer:
        wire = Wire(QUICK)
        try:
            await ask(wire, peer.url)
        finally:
            await wire.close()
    assert peer.heard[0].header("Authorization") is None


async def test_an_ipv6_address_is_spoken_to(wire: Wire) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with listening(answering((200, [])), host="::1") as peer:
        assert (await ask(wire, f"http://[::1]:{peer.port}/v2/")).status == 200
    assert peer.heard[0].header("Host") == f"[::1]:{peer.port}"


# ------------------------------------------------------------------------------------------ what comes back


async def test_a_redirect_is_an_answer(wire: Wire) -> None:
    async with listening(answering((307, ["Location: /elsewhere"]))) as peer:
        assert (await ask(wire, peer.url)).status == 307
    assert len(peer.heard) == 1


async def test_an_answer_in_chunks_is_read(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")
        await line.gone()

    async with listening(script) as peer:
        assert (await ask(wire, peer.url)).content == b"abcdefg"


async def test_an_answer_without_a_length_ends_with_the_connection(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say("HTTP/1.0 200 OK\r\n\r\nabc")

    async with listening(script) as peer:
        assert (await ask(wire, peer.url)).content == b"abc"


async def test_interim_answers_are_passed_over(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await line.answer(201)

    async with listening(script) as peer:
        assert (await ask(wire, peer.url, "PUT", body=Pieces(b"x"))).status == 201


async def test_a_long_answer_is_read_up_to_4_mib(wire: Wire) -> None:
    content = bytes(4 << 20)
    async with listening(answering((200, [], content))) as peer:
        assert len((await ask(wire, peer.url)).content) == 4 << 20


@pytest.mark.parametrize("announced", [True, False])
async def test_a_longer_one_is_refused_and_not_read_to_its_end(wire: Wire, announced: bool) -> None:
    sent = 0

    async def script(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.say("HTTP/1.1 200 OK\r\n" + "Content-Length: 104857600\r\n" * announced + "\r\n")
        for _ in range(100):
            await line.say(bytes(1 << 20))
            sent += 1

    async with listening(script) as peer:
        error = await failing(wire, peer.url)
        assert error.code is Code.REGISTRY_MALFORMED
        assert "4 MiB" in str(error)
    assert sent < 50


async def test_a_head_that_is_answered_with_a_body_spoils_nothing_that_follows(wire: Wire) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.head()
            await line.say("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 201 No\r\nContent-Length: 0\r\n\r\n")

    async with listening(script) as peer:
        for _ in range(3):
            answer = await ask(wire, peer.url, "HEAD")
            assert (answer.status, answer.content) == (200, b"")
            await asyncio.sleep(0.02)


# ------------------------------------------------------------------------------------------- broken peers


def saying(text: str | bytes, *, reset: bool = False) -> Script:
    async def script(line: Line) -> None:
        await line.request()
        if text:
            await line.say(text)
        if reset:
            line.reset()

    return script


@pytest.mark.parametrize(
    "text",
    [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16" + bytes(20) + b"\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: " + "x" * 70_000 + "\r\n\r\n",
        "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 40_000 + "\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        "<html>\r\n<body>\r\n\r\n",
    ],
)
async def test_garbage_instead_of_http_is_malformed(wire: Wire, text: str | bytes) -> None:
    async with listening(saying(text)) as peer:
        error = await failing(wire, peer.url)
    assert error.code is Code.REGISTRY_MALFORMED
    assert "plain_http" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HTT",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_ends_within_the_answer_is_interrupted(wire: Wire, text: str, reset: bool) -> None:
    async with listening(saying(text, reset=reset)) as peer:
        error = await failing(wire, peer.url, "POST")
    assert error.code is Code.REGISTRY_INTERRUPTED
    assert error.retryable
    assert len(peer.heard) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/x",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1:abc/",
        "http://127.0.0.1:-1/",
        "http://:5000/x",
        "http:///x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "unix:///run/x.sock",
        "/v2/",
        "",
        "http://a..b/",
        f"http://{'a' * 64}.example/",
    ],
)
async def test_an_address_that_is_none_is_malformed(wire: Wire, url: str) -> None:
    error = await failing(wire, url, headers={"Authorization": "Basic eDp5"})
    assert error.code is Code.REGISTRY_MALFORMED


async def test_an_address_with_a_user_in_it_does_not_get_our_header_mixed_up(wire: Wire) -> None:
    async with listening(answering((200, []))) as peer:
        error = await failing(wire, f"http://user:pass@{peer.address}/", headers={"Authorization": "Basic eDp5"})
    assert error.code is Code.REGISTRY_MALFORMED
    assert peer.heard == []


# ------------------------------------------------------------------------------------------------ no connection


async def test_a_name_that_does_not_resolve_is_told_so(wire: Wire) -> None:
    error = await failing(wire, "http://registry.invalid/v2/")
    assert error.code is Code.REGISTRY_UNRESOLVED
    assert error.retryable
    assert "resolve" in error.detail
    assert error.hint


async def test_a_port_that_nobody_listens_on_is_unreachable(wire: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = await failing(wire, f"http://127.0.0.1:{port}/v2/")
    assert error.code is Code.REGISTRY_UNREACHABLE
    assert error.retryable
    assert "Connection refused" in str(error)


async def test_a_connection_that_does_not_come_about_is_given_up_in_time() -> None:
    wire = Wire(Timeouts(connect=0.3, stall=5, commit=60, request=60))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # a full backlog drops what else comes, as an unroutable address does
            filler.setblocking(False)
            filler.connect_ex(address)
        started = time.monotonic()
        error = await failing(wire, f"http://127.0.0.1:{address[1]}/", "PUT", commits=True)
        for filler in fillers:
            filler.close()
    await wire.close()
    assert error.code is Code.REGISTRY_UNREACHABLE
    assert "in time" in str(error)
    assert time.monotonic() - started < 2


async def test_a_resolver_that_does_not_answer_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await forever()

    wire = Wire(Timeouts(connect=0.3, stall=5, commit=60, request=60))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    with anyio.fail_after(5):
        error = await failing(wire, "http://registry.example/", "PUT", body=Pieces(b"x"), commits=True)
    await wire.close()
    assert error.code is Code.REGISTRY_UNREACHABLE


# -------------------------------------------------------------------------------- answers before the body is out


@pytest.mark.parametrize("status", [401, 413, 503])
async def test_an_early_answer_is_read_while_the_body_travels(wire: Wire, status: int) -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.answer(status, "Connection: close", body=b"no")
        await line.gone()

    body = large(64)
    async with listening(script) as peer:
        answer = await ask(wire, peer.url, "PATCH", body=body)
        assert (answer.status, answer.content) == (status, b"no")
        await settled(wire)
    assert body.pulled < 64


async def test_after_an_early_answer_the_connection_is_not_used_again(wire: Wire) -> None:
    async def script(line: Line) -> None:
        heard = await line.head()
        await line.answer(401 if heard.method == "PATCH" else 200)
        await (line.gone() if heard.method == "PATCH" else forever())

    async with listening(script) as peer:
        assert (await ask(wire, peer.url, "PATCH", body=large(64))).status == 401
        assert (await ask(wire, peer.url)).status == 200
    assert peer.connections == 2


async def test_a_peer_that_answers_early_and_hangs_up_is_heard_or_interrupted(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.answer(413)
        line.reset()

    async with listening(script) as peer:
        try:
            status = (await ask(wire, peer.url, "PATCH", body=large(64))).status
        except RegistryError as error:
            assert error.code is Code.REGISTRY_INTERRUPTED  # noqa: PT017 (one of two right endings)
        else:
            assert status == 413
    assert len(peer.heard) == 1


async def test_an_early_answer_that_does_not_go_on_stalls(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.say("HTTP/1.1 413 Too Large\r\nContent-Length: 10\r\n\r\n")
        await forever()

    async with listening(script) as peer:
        assert (await failing(wire, peer.url, "PATCH", body=large(64))).code is Code.REGISTRY_STALLED


def connections_to(port: int) -> int:
    """Count the sockets a process holds whose other end is that port of loopback (proc_net_tcp(5))."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2] == f"0100007F:{port:04X}" and line[9] != "0" for line in lines)


@pytest.mark.parametrize("ending", ["stalled", "cancelled", "answered"])
@pytest.mark.parametrize("body", [lambda: large(64), lambda: bytes(48 << 20)], ids=["pieces", "bytes"])
async def test_a_connection_to_a_peer_that_does_not_read_the_rest_ends_at_once(
    wire: Wire, ending: str, body: Callable[[], Any]
) -> None:
    # Closed in good order it would wait for the peer to take what is left, and keep that: for ever, if it likes.
    async def script(line: Line) -> None:
        await line.head()
        if ending == "answered":
            await line.answer(413)
        await forever()

    async with listening(script, window=1 << 14) as peer:
        asking = asyncio.ensure_future(ask(wire, peer.url, "PATCH", body=body()))
        if ending == "cancelled":
            while not peer.heard:  # noqa: ASYNC110 (a list that grows has no event)
                await asyncio.sleep(0.01)
            asking.cancel()
        await asyncio.wait([asking])
        with anyio.move_on_after(1):
            while connections_to(peer.port):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        assert connections_to(peer.port) == 0


# ---------------------------------------------------------------------------------------- kept connections


async def test_connections_are_kept(wire: Wire) -> None:
    async with listening(answering((202, []))) as peer:
        for _ in range(5):
            await ask(wire, peer.url, "PATCH", body=Pieces(b"x"))
    assert peer.connections == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT"])
async def test_one_that_was_closed_between_requests_is_replaced(wire: Wire, method: str) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.answer(202)  # and closes without a word

    async with listening(script) as peer:
        for _ in range(3):
            body = Pieces(b"x") if method != "GET" else None
            assert (await ask(wire, peer.url, method, body=body)).status == 202
            await asyncio.sleep(0.05)
    assert peer.connections == 3


@pytest.mark.parametrize("megabytes", [1, 32])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_body_on_a_dead_connection_is_never_sent_twice(wire: Wire, method: str, megabytes: int) -> None:
    bodies = 0

    async def script(line: Line) -> None:
        nonlocal bodies
        await line.request()
        await line.answer(202)
        heard = await line.head()
        bodies += 1
        if len(line.peer.heard) == 2:
            await line.reader.readexactly(1000)
            line.reset()
            return
        await line.reader.readexactly(int(heard.header("Content-Length") or 0))
        await line.answer(201)

    async with listening(script) as peer:
        await ask(wire, peer.url)
        body = large(megabytes)
        error = await failing(wire, peer.url, method, body=body)
        assert error.code is Code.REGISTRY_INTERRUPTED
        assert body.begun == 1
        await settled(wire)
        await asyncio.sleep(0.05)
    assert bodies == 1
    assert len(peer.heard) == 2


async def test_a_put_on_a_connection_that_dies_unread_is_sent_whole_or_not_at_all(wire: Wire) -> None:
    # The library tries idempotent requests again by itself. It may, as long as no piece has been pulled.
    received: list[bytes] = []

    async def script(line: Line) -> None:
        await line.request()
        await line.answer(202)
        if line.peer.connections == 1:
            line.reset()
            return
        received.append((await line.request()).body)
        await line.answer(201)

    async with listening(script) as peer:
        await ask(wire, peer.url)
        body = Pieces(b"a" * 100, b"b" * 100)
        try:
            await ask(wire, peer.url, "PUT", body=body)
        except RegistryError as error:
            assert error.code is Code.REGISTRY_INTERRUPTED  # noqa: PT017 (one of two right endings)
        assert body.begun == 1
    assert received in ([], [b"a" * 100 + b"b" * 100])


async def test_a_library_that_begins_a_body_again_is_refused() -> None:
    # Behind the door: not every version of the library that we allow notices by itself that the body is used up.
    with Watch(60, least=60) as watch:
        paced = Pulled(Pieces(b"x"), watch, stall=1, commit=1)
        assert [bytes(piece) async for piece in paced] == [b"x"]
        with pytest.raises(aiohttp.ClientConnectionError):
            aiter(paced)


async def test_what_has_no_body_may_be_asked_again(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        if line.peer.connections > 1:
            await line.answer(200)

    async with listening(script) as peer:
        assert (await ask(wire, peer.url)).status == 200


# ------------------------------------------------------------------------------------------------------ deadlines


async def test_a_body_that_moves_may_take_as_long_as_it_takes(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.answer(202)

    seconds = QUICK.connect + QUICK.request + QUICK.stall + QUICK.commit
    pauses = int(seconds / 0.1) + 5
    async with listening(script) as peer:
        started = time.monotonic()
        assert (await ask(wire, peer.url, "PATCH", body=Pieces(*[b"x"] * pauses, pause=0.1))).status == 202
        assert time.monotonic() - started > seconds


async def test_the_library_has_no_timeout_of_its_own_for_what_moves(wire: Wire) -> None:
    # Behind the door: its default ends every request after five minutes, which no test waits for.
    timeout = wire._timeout
    assert (timeout.total, timeout.sock_read) == (None, None)


async def test_more_requests_than_the_librarys_default_run_at_once(wire: Wire) -> None:
    everyone = asyncio.Barrier(120)

    async def script(line: Line) -> None:
        await line.request()
        await everyone.wait()
        await line.answer(200)

    async with listening(script) as peer:
        answers = await asyncio.gather(*[ask(wire, peer.url, "PUT", commits=True) for _ in range(120)])
    assert {answer.status for answer in answers} == {200}


async def test_our_own_disk_may_take_as_long_as_it_takes(wire: Wire) -> None:
    async with listening(answering((202, []))) as peer:
        assert (await ask(wire, peer.url, "PATCH", body=Pieces(b"x", pause=QUICK.stall * 2))).status == 202


@pytest.mark.parametrize("pieces", [[1 << 20] * 16, [16 << 20]])
async def test_a_peer_that_reads_slowly_is_not_stalled(pieces: list[int]) -> None:
    # More than `stall` seconds for any piece, but always something: whatever the size of our pieces.
    async def script(line: Line) -> None:
        heard = await line.head()
        left = int(heard.header("Content-Length") or 0)
        while left:
            left -= len(await line.reader.read(1 << 16))
            if left > 12 << 20:
                await asyncio.sleep(0.03)
        await line.answer(202)

    stall = 0.9
    wire = Wire(Timeouts(connect=2, stall=stall, commit=60, request=60))
    async with listening(script, window=1 << 14) as peer:
        started = time.monotonic()
        body = Pieces(*[bytes(size) for size in pieces])
        assert (await ask(wire, peer.url, "PATCH", body=body)).status == 202
        assert time.monotonic() - started > stall * 2
    await wire.close()


async def test_a_peer_that_stops_reading_is_stalled(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.reader.readexactly(3 << 20)
        await forever()

    body = large(64)
    async with listening(script, window=1 << 14) as peer:
        started = time.monotonic()
        error = await failing(wire, peer.url, "PATCH", body=body)
        assert time.monotonic() - started < QUICK.stall * 4 * 4, "a piece was handed over at once, four slices of it"
        await settled(wire)
    assert error.code is Code.REGISTRY_STALLED
    assert error.retryable
    assert "took less than 256 KiB in 0.4 s" in str(error)
    assert 3 <= body.pulled < 64


async def test_after_the_last_byte_it_waits_for_as_long_as_a_commit_may_take(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await asyncio.sleep(QUICK.commit * 0.9)  # longer than `stall` and `request`
        await line.answer(201)

    async with listening(script) as peer:
        assert (await ask(wire, peer.url, "PUT", body=Pieces(b"x"))).status == 201
        assert (await ask(wire, peer.url, "PUT", commits=True)).status == 201
        assert (await ask(wire, peer.url, "PUT", body=b"{}", commits=True)).status == 201


@pytest.mark.parametrize("commits", [True, False])
async def test_and_no_longer(wire: Wire, commits: bool) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await forever()

    async with listening(script) as peer:
        started = time.monotonic()
        error = await failing(wire, peer.url, "PUT", body=Pieces(b"x"), commits=commits)
        assert QUICK.commit <= time.monotonic() - started < QUICK.commit * 2
    assert error.code is Code.REGISTRY_STALLED
    assert "did not answer within 0.8 s" in str(error)


async def test_any_other_request_is_answered_in_time_or_given_up(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await forever()

    async with listening(script) as peer:
        error = await failing(wire, peer.url)
    assert error.code is Code.REGISTRY_STALLED
    assert "did not answer within 0.6 s" in str(error)


async def test_an_answer_that_trickles_does_not_hold_us_for_ever(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await line.say("x")
            await asyncio.sleep(0.05)

    async with listening(script) as peer:
        assert (await failing(wire, peer.url)).code is Code.REGISTRY_STALLED


# --------------------------------------------------------------------------------------------------- our own end


@pytest.mark.parametrize(
    "error", [SourceError(Code.SOURCE_CHANGED, "blob", "changed"), OSError(5, "Input/output error"), ValueError("x")]
)
@pytest.mark.parametrize("before", [0, 1, 8])
async def test_what_the_body_raises_is_raised_and_the_peer_sees_the_body_break_off(
    wire: Wire, error: Exception, before: int
) -> None:
    broke = asyncio.Event()

    async def script(line: Line) -> None:
        try:
            await line.head()
            await line.gone()
        finally:
            broke.set()

    body = Pieces(*[bytes(1 << 20)] * before, error, b"never")
    async with listening(script) as peer:
        with pytest.raises(type(error)) as caught:
            await ask(wire, peer.url, "PUT", body=body)
        assert caught.value is error
        if peer.connections:
            await asyncio.wait_for(broke.wait(), 2)
    assert len(peer.heard) <= 1


async def test_cancelled_midway_it_leaves_nothing_behind(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.head()
        await forever()

    body = large(64)
    async with listening(script, window=1 << 14) as peer:
        task = asyncio.ensure_future(ask(wire, peer.url, "PATCH", body=body))
        await asyncio.sleep(0.1)
        assert body.pulled
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(wire)
        assert peer.connections == 1
        answer = asyncio.ensure_future(failing(wire, peer.url))
        await answer
        assert peer.connections == 2


async def test_cancelled_at_any_moment_it_leaves_nothing_behind(wire: Wire) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await asyncio.sleep(0.005)
            await line.answer(202)

    async with listening(script) as peer:
        for turns in range(40):
            task = asyncio.ensure_future(ask(wire, peer.url, "PATCH", body=Pieces(bytes(300_000), bytes(300_000))))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.result().status == 202
        await settled(wire)


async def test_after_many_failures_nothing_is_left_for_the_garbage_collector_to_complain_of(wire: Wire) -> None:
    async def script(line: Line) -> None:
        await line.head()
        mood = len(line.peer.heard) % 4
        if mood == 0:
            line.reset()
        elif mood == 1:
            await line.answer(401)
            await line.gone()
        elif mood == 2:
            await line.say("garbage\r\n\r\n")
        else:
            await forever()

    bodies = []
    async with listening(script) as peer:
        for number in range(12):
            bodies.append(large(8))
            try:
                await ask(wire, peer.url, ("PATCH", "PUT", "POST")[number % 3], body=bodies[-1])
            except RegistryError:
                continue
        await settled(wire)
        for body in bodies:
            with anyio.fail_after(1):
                await body.over.wait()
    gc.collect()  # turns what was left open into warnings, and those into failures


async def test_a_connection_that_is_reset_complains_to_nobody_but_who_asked(wire: Wire) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))

    async def script(line: Line) -> None:
        await line.head()
        line.reset()

    async with listening(script) as peer:
        for body in (None, large(1)):
            with pytest.raises(RegistryError):
                await wire.exchange("PUT", f"{peer.url}/x", headers={}, subject="x", body=body)
    await settled(wire)
    gc.collect()
    assert complaints == []
