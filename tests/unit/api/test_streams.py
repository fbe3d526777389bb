from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

from pushd.api.lines import PIECE
from pushd.errors import Code, StoreError
from pushd.job import JobSpec
from pushd.telemetry.events import DAEMON_FAULT, JOB_FINISHED, JOB_SUBMITTED, TRANSFER_PROGRESS, Event
from tests.fakes.jobs import NOON, STREAM
from tests.unit.api.conftest import STREAMS

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from tests.fakes.jobs import FakeJobs

SPEC = JobSpec(source="oci:/x", destinations=("a/b:1",))


def submitted(seq: int, job: str = "a", source: str = "oci:/x") -> Event:
    return Event(JOB_SUBMITTED, NOON, job=job, seq=seq, fields={"source": source, "destinations": 1, "size": 2})


def finished(seq: int, job: str = "a") -> Event:
    return Event(JOB_FINISHED, NOON, job=job, seq=seq, fields={"state": "succeeded", "seconds": 1})


def progress(job: str = "a") -> Event:
    return Event(TRANSFER_PROGRESS, NOON, job=job, delivery=1, fields={"digest": "d", "done": 1, "size": 2})


async def lines(response: aiohttp.ClientResponse) -> list[Any]:
    """The events of a stream that ends."""
    return [json.loads(line) async for line in response.content]


async def test_without_follow_what_has_happened_is_told_in_order_and_the_stream_ends(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    jobs.tell(submitted(1), submitted(2, "b"), finished(3))

    async with http.get("/v1/events?follow=0") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/x-ndjson")
        told = await lines(response)

    assert [(event["seq"], event["event"], event["job"]) for event in told] == [
        (1, "job.submitted", "a"),
        (2, "job.submitted", "b"),
        (3, "job.finished", "a"),
    ]
    assert told[0]["source"] == "oci:/x"


async def test_a_reader_goes_on_after_the_last_number_it_saw(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.tell(submitted(1), submitted(2), submitted(3))

    async with http.get("/v1/events?after=2&follow=0") as response:
        assert [event["seq"] for event in await lines(response)] == [3]


async def test_the_stream_of_one_job_follows_it_to_its_end(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)
    jobs.tell(submitted(1))

    async with http.get("/v1/events?job=a") as response:
        first = json.loads(await response.content.readline())
        jobs.tell(submitted(2, "b"), progress(), finished(3))
        rest = await lines(response)

    assert first["event"] == "job.submitted"
    assert [event["event"] for event in rest] == ["transfer.progress", "job.finished"]
    await jobs.until(watchers=0)


async def test_a_quiet_stream_says_up_to_where_all_was_told(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.tell(submitted(4))

    async with http.get("/v1/events?after=4") as response:
        bookmark = json.loads(await asyncio.wait_for(response.content.readline(), 5))

    assert (bookmark["event"], bookmark["seq"], bookmark["stream"]) == ("stream.bookmark", 4, STREAM)


async def test_who_rather_has_server_sent_events_gets_them_under_their_numbers_and_names(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    jobs.tell(submitted(1), progress())

    async with http.get("/v1/events?follow=0", headers={"Accept": "text/event-stream"}) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        first, second, end = (await response.text()).split("\n\n")

    assert first.startswith("id: 1\nevent: job.submitted\ndata: {")
    assert second.startswith("event: transfer.progress\ndata: {")
    assert end == ""


async def test_a_browser_that_comes_back_goes_on_after_what_it_saw_last(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    jobs.tell(submitted(1), submitted(2), submitted(3))

    async with http.get("/v1/events?after=1&follow=0", headers={"Last-Event-ID": "2"}) as response:
        assert [event["seq"] for event in await lines(response)] == [3]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("after=9", 400, "request.malformed"),
        ("after=1", 410, "request.events_gone"),
        ("stream=another", 410, "request.events_gone"),
        ("after=9&job=nobody", 404, "request.not_found"),
    ],
)
async def test_a_place_there_is_no_going_on_from_is_refused_before_anything_is_told(
    *, http: aiohttp.ClientSession, jobs: FakeJobs, query: str, status: int, code: str
) -> None:
    jobs.forgotten = 2
    jobs.tell(submitted(3))

    async with http.get(f"/v1/events?{query}") as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        assert (await response.json(content_type=None))["code"] == code
    assert jobs.watchers == 0


async def test_whatever_is_left_is_told_to_who_names_the_stream_and_no_number(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    jobs.forgotten = 2
    jobs.tell(submitted(3))

    async with http.get(f"/v1/events?follow=0&stream={STREAM}") as response:
        assert [event["seq"] for event in await lines(response)] == [3]


async def test_one_user_has_so_many_streams_and_one_that_ends_makes_room(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    open_ones = [await http.get("/v1/events") for _ in range(STREAMS)]

    async with http.get("/v1/events") as refused:
        assert refused.status == 429
        assert (await refused.json(content_type=None))["code"] == "request.limit"
    open_ones.pop().close()
    await jobs.until(watchers=STREAMS - 1)
    async with http.get("/v1/events?follow=0") as admitted:
        assert admitted.status == 200

    for response in open_ones:
        response.close()


async def test_refusals_take_no_seat(http: aiohttp.ClientSession) -> None:
    for _ in range(STREAMS + 1):
        async with http.get("/v1/events?after=9") as response:
            assert response.status == 400


async def test_a_reader_that_leaves_is_forgotten_and_nothing_to_log(
    http: aiohttp.ClientSession, jobs: FakeJobs, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    response = await http.get("/v1/events")
    await jobs.until(watchers=1)

    response.close()

    await jobs.until(watchers=0)
    (await http.get("/v1/status")).close()
    assert (told, caplog.messages) == ([], [])


async def test_a_reader_that_leaves_a_silent_stream_is_found_gone_too(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    jobs.silence = 3600
    response = await http.get("/v1/events")
    await jobs.until(watchers=1)

    response.close()

    await jobs.until(watchers=0)


async def test_a_reader_that_left_before_the_first_byte_is_no_defect(
    *, path: Path, runner: web.AppRunner, jobs: FakeJobs, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    jobs.hesitation = anyio.Event()
    server = runner.server
    assert server is not None
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    with anyio.fail_after(5):
        while not server.requests_count:  # noqa: ASYNC110 (nobody tells when a request has arrived)
            await asyncio.sleep(0.01)
        (connection,) = server.connections
        writer.close()
        while connection.transport is not None:  # noqa: ASYNC110 (nor when a connection is gone)
            await asyncio.sleep(0.01)

    jobs.hesitation.set()

    await asyncio.sleep(0.05)
    assert (jobs.watchers, told, caplog.messages) == (0, [], [])


async def test_a_reader_that_takes_nothing_is_disconnected(
    *,
    path: Path,
    http: aiohttp.ClientSession,
    jobs: FakeJobs,
    told: list[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs.tell(*(submitted(number, source="x" * 1000) for number in range(1, 5001)))
    reader, writer = await asyncio.open_unix_connection(path, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await jobs.until(watchers=1)
    start = time.monotonic()

    await jobs.until(watchers=0)

    assert 0.2 < time.monotonic() - start < 5
    taken = await read_to_the_end(reader)
    writer.close()
    assert len(taken) < 500_000, "what nobody takes is not kept for them"
    assert not taken.endswith(b"0\r\n\r\n"), "a stream that was cut does not look like one that ended"
    assert (told, caplog.messages) == ([], [])


async def test_what_a_reader_has_not_taken_never_grows_past_the_mark(
    path: Path, runner: web.AppRunner, jobs: FakeJobs
) -> None:
    jobs.batches = 5000
    jobs.tell(*(submitted(number, source="x" * 1000) for number in range(1, 5001)))
    _, writer = await asyncio.open_unix_connection(path, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await jobs.until(watchers=1)
    server = runner.server
    assert server is not None
    (connection,) = server.connections
    transport = connection.transport
    assert transport is not None

    kept = 0
    while not transport.is_closing():
        kept = max(kept, transport.get_write_buffer_size())
        await asyncio.sleep(0)

    writer.close()
    assert PIECE < kept <= 2 * PIECE + 100


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    taken = bytearray()
    try:
        while piece := await asyncio.wait_for(reader.read(65_536), 5):
            taken += piece
    except ConnectionResetError:
        pass
    return bytes(taken)


async def test_one_slow_reader_holds_up_nobody_else(path: Path, http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.tell(*(submitted(number, source="x" * 1000) for number in range(1, 5001)))
    _, writer = await asyncio.open_unix_connection(path, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await jobs.until(watchers=1)

    async with http.get("/v1/events?follow=0") as response:
        assert len(await lines(response)) == 5000
    writer.close()


async def test_streams_end_with_the_daemon_at_once_and_properly(
    http: aiohttp.ClientSession, runner: web.AppRunner, jobs: FakeJobs
) -> None:
    response = await http.get("/v1/events")
    await jobs.until(watchers=1)
    start = time.monotonic()

    await runner.cleanup()

    assert await lines(response) == []
    assert time.monotonic() - start < 3
    assert jobs.watchers == 0


async def test_a_stuck_reader_does_not_hold_up_the_end_of_the_daemon(
    path: Path, runner: web.AppRunner, jobs: FakeJobs
) -> None:
    jobs.tell(*(submitted(number, source="x" * 1000) for number in range(1, 5001)))
    _, writer = await asyncio.open_unix_connection(path, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await jobs.until(watchers=1)
    start = time.monotonic()

    await runner.cleanup()

    assert time.monotonic() - start < 3
    writer.close()


@pytest.mark.parametrize(
    "error",
    [
        LookupError("a defect"),
        ConnectionResetError("not the reader's"),
        StoreError(Code.STORE_UNAVAILABLE, "database", "cannot be read"),
    ],
)
async def test_a_stream_that_breaks_inside_is_cut_and_the_reason_told(
    http: aiohttp.ClientSession, jobs: FakeJobs, told: list[Event], error: Exception
) -> None:
    async with http.get("/v1/events") as response:
        await jobs.until(watchers=1)
        jobs.fail(error)
        with pytest.raises(aiohttp.ClientError):
            await lines(response)

    (event,) = told
    assert event.kind is DAEMON_FAULT
    assert event.fields["where"] == "GET /v1/events"
