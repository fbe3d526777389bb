from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from pushd.api.access import Doors, access
from pushd.api.held import Held
from pushd.api.problems import problems
from pushd.api.spool import MAX_DROPPED, SpoolRoutes
from pushd.oci.digest import Digest
from pushd.spool import Limits, open_spool
from tests.fakes.serving import serving
from tests.unit.api.conftest import PATIENCE
from tests.unit.api.test_jobs import document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    import aiohttp

    from pushd.oci.digest import Digest as Checked
    from pushd.spool import Spool
    from pushd.telemetry.events import Event
    from pushd.work import FileIdentity

QUOTA = 64 << 20
CONTENT = bytes(range(256)) * 3
DIGEST = str(Digest.of(CONTENT))
WHOLE = {"name": DIGEST, "offset": len(CONTENT), "complete": True}


@dataclass
class Bound:
    """The entries that jobs need."""

    entries: Collection[str] = ()


@pytest.fixture
def bound() -> Bound:
    return Bound()


@pytest.fixture
async def spool(tmp_path: Path, bound: Bound) -> AsyncIterator[Spool]:
    """The spool itself: what arrives is looked at on the disk."""

    async def needed() -> Collection[str]:
        return bound.entries

    async def validated(_identity: FileIdentity, _digest: Checked) -> None: ...

    with ThreadPoolExecutor(2) as threads:
        spool = await open_spool(
            tmp_path / "spool",
            limits=Limits(per_user=QUOTA, ttl=3600),
            admit=lambda _: None,
            bound=needed,
            validated=validated,
            emit=lambda _: None,
            threads=threads,
        )
        yield spool
        spool.close()


@pytest.fixture
def app(spool: Spool, told: list[Event]) -> web.Application:
    """The routes of the spool alone."""
    held = Held(PATIENCE.look)
    doors = Doors(os.getuid(), administrators=frozenset(), submitters=frozenset(), caps={})
    app = web.Application(middlewares=[problems(told.append), access(doors)], client_max_size=1 << 16)
    app.add_routes(SpoolRoutes(spool, held, PATIENCE).routes())
    app.on_shutdown.append(held.release)
    return app


async def created(http: aiohttp.ClientSession, size: int = 1000) -> str:
    """The URL of a fresh entry."""
    return (await http.post("/v1/spool", json={"size": size})).headers["Location"]


def headers(offset: object = 0, complete: object = "?1") -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Upload-Offset": str(offset),
        "Upload-Complete": str(complete),
    }


async def send(
    http: aiohttp.ClientSession, url: str, data: Any, *, name: str = DIGEST, offset: int = 0, complete: str = "?1"
) -> aiohttp.ClientResponse:
    return await http.patch(f"{url}/files/{name}", data=data, headers=headers(offset, complete))


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of its own, to misbehave on."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(url: str, *lines: str, name: str = DIGEST) -> bytes:
    """The head of a request that brings bytes."""
    head = [f"PATCH {url}/files/{name} HTTP/1.1", "Host: x", "Content-Type: application/octet-stream", *lines]
    return "\r\n".join([*head, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """Status, headers and document of a reply."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
    given = dict(line.split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), given, json.loads(await reader.readexactly(int(given["Content-Length"])))


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what the disk is to show."""
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 (a disk sets no event)
            await asyncio.sleep(0.005)


async def test_bytes_are_brought_to_an_entry_and_found_under_their_digest(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    response = await http.post("/v1/spool", json={"size": 1000, "ttl": 60})
    entry = await document(response, 201)
    url = response.headers["Location"]

    assert url == f"/v1/spool/{entry['id']}"
    assert (entry["size"], entry["files"]) == (1000, [])
    assert entry["expires_at"].endswith("Z")
    assert await document(await send(http, url, CONTENT[:700], complete="?0"), 200) == {
        "name": DIGEST,
        "offset": 700,
        "complete": False,
    }
    assert await document(await send(http, url, CONTENT[700:], offset=700), 200) == WHOLE
    assert (await document(await http.get(url), 200))["files"] == [WHOLE]
    blob = tmp_path / "spool" / entry["id"] / "blobs" / "sha256" / DIGEST.removeprefix("sha256:")
    assert blob.read_bytes() == CONTENT


async def test_a_body_of_unknown_length_is_as_good_as_any(http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 100):
            yield CONTENT[start : start + 100]

    assert await document(await send(http, await created(http), pieces(), name="layer-0"), 200) == WHOLE


async def test_an_empty_file_is_one(http: aiohttp.ClientSession) -> None:
    digest = str(Digest.of(b""))

    whole = await document(await send(http, await created(http, 0), b"", name=digest), 200)

    assert whole == {"name": digest, "offset": 0, "complete": True}


async def test_a_wrong_offset_is_told_the_right_one(http: aiohttp.ClientSession) -> None:
    url = await created(http)
    await send(http, url, CONTENT[:10], complete="?0")

    response = await send(http, url, CONTENT, offset=0)

    assert (await document(response, 409))["code"] == "request.offset"
    assert response.headers["Upload-Offset"] == "10"


async def test_a_file_that_is_not_its_digest_is_refused(http: aiohttp.ClientSession) -> None:
    url = await created(http)

    problem = await document(await send(http, url, CONTENT[1:]), 400)

    assert problem["code"] == "request.invalid_digest"
    assert (await document(await http.get(url), 200))["files"] == []


async def test_the_reservation_changes_and_is_limited(http: aiohttp.ClientSession) -> None:
    url = await created(http, 10)

    assert (await document(await send(http, url, CONTENT, complete="?0"), 429))["code"] == "request.limit"
    assert (await document(await http.patch(url, json={"size": 1000}), 200))["size"] == 1000
    assert await document(await send(http, url, CONTENT[10:], offset=10), 200) == WHOLE
    assert (await document(await http.patch(url, json={"size": 0}), 200))["size"] == len(CONTENT)
    assert (await document(await http.patch(url, json={"size": QUOTA + 1}), 429))["code"] == "request.limit"
    assert (await document(await http.post("/v1/spool", json={"size": QUOTA}), 429))["code"] == "request.limit"


async def test_an_entry_is_removed_unless_a_job_needs_it(http: aiohttp.ClientSession, bound: Bound) -> None:
    url = await created(http)
    bound.entries = {url.rpartition("/")[2]}
    assert (await document(await http.delete(url), 409))["code"] == "request.state"
    bound.entries = ()

    async with await http.delete(url) as response:
        assert (response.status, await response.read()) == (204, b"")
    assert (await document(await http.get(url), 404))["code"] == "request.not_found"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"size":"1"}', b'{"size":-1}', b'{"size":1.5}', b'{"size":true}',
     b'{"size":null}', b'{"size":1e400}', b'{"size":NaN}', b'{"size":1152921504606846977}',
     b'{"size":1000000000000000000000000000000}', b'{"size":1,"sizes":2}', b'{"size":1,"\\ud800":2}', b"\xff",
     b'{"size":1,"ttl":0}', b'{"size":1,"ttl":-1}', b'{"size":1,"ttl":"1"}', b"[" * 50_000],
)  # fmt: skip
async def test_a_body_that_is_not_what_is_asked_for_is_a_problem(
    http: aiohttp.ClientSession, told: list[Event], body: bytes
) -> None:
    url = await created(http)
    kind = {"Content-Type": "application/json"}

    assert (await document(await http.post("/v1/spool", data=body, headers=kind), 400))["code"] == "request.malformed"
    if b"ttl" not in body:
        assert (await document(await http.patch(url, data=body, headers=kind), 400))["code"] == "request.malformed"
    assert told == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"Upload-Offset": ""}, "Upload-Offset"),
        ({"Upload-Offset": "-1"}, "Upload-Offset"),
        ({"Upload-Offset": "1.0"}, "Upload-Offset"),
        ({"Upload-Offset": "0x0"}, "Upload-Offset"),
        ({"Upload-Offset": "\u0660"}, "Upload-Offset"),
        ({"Upload-Offset": "1" * 19}, "Upload-Offset"),
        ({"Upload-Offset": None}, "Upload-Offset"),
        ({"Upload-Complete": None}, "Upload-Complete"),
        ({"Upload-Complete": "1"}, "Upload-Complete"),
        ({"Upload-Complete": "true"}, "Upload-Complete"),
        ({"Upload-Complete": "?1, ?0"}, "Upload-Complete"),
        ({"Content-Type": "application/json"}, "Content-Type"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "Content-Type"),
        ({"Content-Encoding": "br, gzip"}, "Content-Encoding"),
    ],
)
async def test_a_header_that_is_missing_or_wrong_is_named(
    http: aiohttp.ClientSession, changed: dict[str, str | None], field: str
) -> None:
    url = await created(http)
    given = {name: value for name, value in (headers() | changed).items() if value is not None}

    problem = await document(await http.patch(f"{url}/files/{DIGEST}", data=CONTENT, headers=given), 400)

    assert problem["code"] == "request.malformed"
    assert problem["detail"].startswith(f"{field}: ")
    assert (await document(await http.get(url), 200))["files"] == []


async def test_bytes_without_a_content_type_are_bytes(http: aiohttp.ClientSession) -> None:
    url = await created(http)
    given = {"Upload-Offset": "0", "Upload-Complete": "?1"}

    response = await http.patch(
        f"{url}/files/{DIGEST}", data=CONTENT, headers=given, skip_auto_headers=["Content-Type"]
    )

    assert await document(response, 200) == WHOLE


async def test_a_header_given_twice_is_refused(http: aiohttp.ClientSession, path: Path) -> None:
    url = await created(http)
    async with raw(path) as (reader, writer):
        writer.write(request(url, "Upload-Offset: 0", "Upload-Offset: 5", "Upload-Complete: ?1", "Content-Length: 0"))
        status, _, problem = await answer(reader)

    assert (status, problem["detail"]) == (400, "Upload-Offset: must be given once")


async def test_a_compressed_body_is_not_taken_for_the_bytes_it_unpacks_to(http: aiohttp.ClientSession) -> None:
    url = await created(http)
    given = headers() | {"Content-Encoding": "gzip"}

    response = await http.patch(f"{url}/files/{DIGEST}", data=gzip.compress(CONTENT), headers=given)

    assert (await document(response, 400))["detail"].startswith("Content-Encoding: ")


@pytest.mark.parametrize(
    "target",
    ["nobody", "%2e%2e", "%00", "%ff%fe", "..%2f..", "a" * 4000, "0" * 24, "%1b%5b31m"],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "FILE"])
async def test_an_entry_that_is_not_there_is_not_found(
    http: aiohttp.ClientSession, told: list[Event], target: str, method: str
) -> None:
    if method == "FILE":
        response = await send(http, f"/v1/spool/{target}", CONTENT)
    else:
        response = await http.request(method, f"/v1/spool/{target}", json={"size": 1} if method == "PATCH" else None)

    assert (await document(response, 404))["code"] == "request.not_found"
    assert told == []


@pytest.mark.parametrize("name", ["A", "a_b", "%00", "%ff", "..%2fx", "sha256:zz", "md5:00", "x" * 4000, "%1b%5b2J"])
async def test_a_hostile_file_name_is_a_problem(http: aiohttp.ClientSession, told: list[Event], name: str) -> None:
    problem = await document(await send(http, await created(http), CONTENT, name=name), 400)

    assert problem["code"] in ("request.malformed", "request.invalid_digest")
    assert problem["detail"].isprintable()
    assert told == []


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/v1/spool", 405), ("HEAD", "/v1/spool/x", 405), ("PUT", "/v1/spool/x/files/a", 405),
     ("GET", "/v1/spool/x/files/a", 405), ("GET", "/v1/spool/x?a=1", 400), ("DELETE", "/v1/spool/x?a=1", 400),
     ("POST", "/v1/spool?a=1", 400), ("PATCH", "/v1/spool/x/files/a?b=1", 400)],
)  # fmt: skip
async def test_what_is_not_offered_is_a_problem(
    http: aiohttp.ClientSession, method: str, target: str, status: int
) -> None:
    async with http.request(method, target) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"


async def test_a_caller_that_leaves_in_the_middle_leaves_what_arrived_and_nothing_to_log(
    *,
    http: aiohttp.ClientSession,
    path: Path,
    tmp_path: Path,
    told: list[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = await created(http)
    file = tmp_path / "spool" / url.rpartition("/")[2] / "incoming" / DIGEST
    async with raw(path) as (_, writer):
        writer.write(request(url, "Upload-Offset: 0", "Upload-Complete: ?1", f"Content-Length: {len(CONTENT)}"))
        writer.write(CONTENT[:300])
        await until(file.exists)
    await until(lambda: file.stat().st_size == 300)

    assert (await document(await http.get(url), 200))["files"] == [{"name": DIGEST, "offset": 300, "complete": False}]
    assert await document(await send(http, url, CONTENT[300:], offset=300), 200) == WHOLE
    assert (told, caplog.messages) == ([], [])


async def test_a_chunked_body_that_ends_in_nonsense_keeps_what_came_before(
    http: aiohttp.ClientSession, path: Path, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    url = await created(http)
    async with raw(path) as (reader, writer):
        writer.write(request(url, "Upload-Offset: 0", "Upload-Complete: ?1", "Transfer-Encoding: chunked"))
        writer.write(b"3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\n")
        status, _, problem = await answer(reader)

    assert (status, problem["code"]) == (400, "request.malformed")
    assert problem["detail"].startswith("body: ")
    assert (await document(await http.get(url), 200))["files"] == [{"name": DIGEST, "offset": 3, "complete": False}]
    assert (told, caplog.messages) == ([], [])


async def test_a_body_that_stops_is_given_up_and_one_that_is_slow_is_not(
    http: aiohttp.ClientSession, path: Path
) -> None:
    url = await created(http)
    async with raw(path) as (reader, writer):
        writer.write(request(url, "Upload-Offset: 0", "Upload-Complete: ?1", "Content-Length: 10"))
        for _ in range(5):
            writer.write(b"x")
            await asyncio.sleep(PATIENCE.body / 2)
        status, given, problem = await answer(reader)
        assert await reader.read() == b""

    assert (status, given["Connection"]) == (400, "close")
    assert problem["detail"] == f"body: stopped for {PATIENCE.body:g} seconds"
    assert (await document(await http.get(url), 200))["files"] == [{"name": DIGEST, "offset": 5, "complete": False}]


async def test_a_small_body_nobody_wants_is_dropped_and_the_connection_goes_on(
    http: aiohttp.ClientSession, path: Path
) -> None:
    url = await created(http)
    refused = request(url, "Upload-Offset: 7", "Upload-Complete: ?1", f"Content-Length: {len(CONTENT)}") + CONTENT
    taken = request(url, "Upload-Offset: 0", "Upload-Complete: ?1", f"Content-Length: {len(CONTENT)}") + CONTENT
    async with raw(path) as (reader, writer):
        writer.write(refused + taken + refused)
        statuses = [(await answer(reader))[0] for _ in range(3)]

    assert statuses == [409, 200, 200]


@pytest.mark.parametrize("length", [f"Content-Length: {100 << 20}", "Transfer-Encoding: chunked"])
async def test_a_large_body_nobody_wants_ends_the_connection_after_the_answer(
    *, http: aiohttp.ClientSession, path: Path, told: list[Event], caplog: pytest.LogCaptureFixture, length: str
) -> None:
    url = await created(http)
    loop = asyncio.get_running_loop()
    sent = 0
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, str(path))
        await loop.sock_sendall(connection, request(url, "Upload-Offset: 7", "Upload-Complete: ?1", length))
        piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100 << 20:
                await loop.sock_sendall(connection, piece)
                sent += len(piece)
        reply = await loop.sock_recv(connection, 1 << 16)

    assert reply.startswith(b"HTTP/1.1 409 ")
    assert b"\r\nUpload-Offset: 0\r\n" in reply
    assert b"\r\nConnection: close\r\n" in reply
    assert sent < 4 * MAX_DROPPED
    assert (await document(await http.get(url), 200))["files"] == []
    assert (told, caplog.messages) == ([], [])


async def test_a_stop_of_the_daemon_ends_what_comes_in_and_keeps_it(
    *, app: web.Application, spool: Spool, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"/v1/spool/{(await spool.create(uid=os.getuid(), size=1000, ttl=None)).id}"
    async with serving(app, path), raw(path) as (reader, writer):
        writer.write(request(url, "Upload-Offset: 0", "Upload-Complete: ?1", "Content-Length: 1000") + b"abc")
        await until((tmp_path / "spool" / url.rpartition("/")[2] / "incoming" / DIGEST).exists)
        stopping = asyncio.create_task(app.shutdown())
        status, _, problem = await answer(reader)
        await stopping

    assert (status, problem["code"]) == (503, "store.unavailable")
    (file,) = (await spool.get(url.rpartition("/")[2], uid=os.getuid())).files
    assert file.offset == 3
    assert caplog.messages == []


async def test_curl_alone_brings_a_file(http: aiohttp.ClientSession, path: Path, tmp_path: Path) -> None:
    url = await created(http, 4 << 20)
    content = os.urandom(3 << 20)
    (tmp_path / "layer").write_bytes(content)
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--unix-socket", path, "-X", "PATCH", "-T", tmp_path / "layer", "-H", "Upload-Offset: 0",
        "-H", "Upload-Complete: ?1", f"http://pushd{url}/files/layer-0", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()

    assert json.loads(output) == {"name": str(Digest.of(content)), "offset": len(content), "complete": True}
