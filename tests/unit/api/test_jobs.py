from __future__ import annotations

import asyncio
import io
import json
import os
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from pushd.errors import Code, SourceError, StoreError
from pushd.job import JobSpec, JobState

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from pushd.telemetry.events import Event
    from tests.fakes.jobs import FakeJobs

GOOD = {"source": "oci:/srv/app:1", "destinations": ["localhost:5000/app:1"]}
SPEC = JobSpec(source="oci:/srv/app:1", destinations=("localhost:5000/app:1",))


async def document(response: aiohttp.ClientResponse, status: int) -> Any:
    """The JSON of a reply whose status and content type are as they should be."""
    async with response:
        assert response.status == status, await response.text()
        kind = "application/json" if status < 400 else "application/problem+json"
        assert response.content_type == kind
        read = await response.json(content_type=kind)
        if status >= 400:
            assert read["status"] == status
            assert read["type"] == f"urn:pushd:error:{read['code']}"
            assert read["detail"]
        return read


async def test_a_submission_is_accepted_with_its_place_and_its_job(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    response = await http.post("/v1/jobs", json={**GOOD, "labels": {"build": "1"}}, headers={"Idempotency-Key": "k"})
    job = await document(response, 202)

    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["labels"], job["uid"]) == ("queued", {"build": "1"}, os.getuid())
    assert [(given.uid, given.key, len(given.fingerprint)) for given in jobs.submitted] == [(os.getuid(), "k", 32)]
    assert await document(await http.get(response.headers["Location"]), 200) == job


async def test_the_same_key_gives_the_same_job_and_for_another_request_a_conflict(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await document(await http.post("/v1/jobs", json=GOOD, headers=headers), 202)
    second = await document(await http.post("/v1/jobs", json=GOOD, headers=headers), 202)
    other = await document(await http.post("/v1/jobs", json={**GOOD, "priority": 1}, headers=headers), 409)

    assert (first["id"], other["code"]) == (second["id"], "request.idempotency_conflict")
    assert len(jobs.submitted) == 1


async def test_a_body_without_a_content_type_is_json(http: aiohttp.ClientSession) -> None:
    response = await http.post("/v1/jobs", data=json.dumps(GOOD).encode(), skip_auto_headers=["Content-Type"])

    assert (await document(response, 202))["source"] == "oci:/srv/app:1"


async def test_a_form_is_refused_with_what_to_do(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    problem = await document(await http.post("/v1/jobs", data=GOOD["source"]), 400)

    assert (problem["code"], problem["detail"]) == (
        "request.malformed",
        "Content-Type: must be application/json",
    )
    assert "-H 'Content-Type: application/json'" in problem["hint"]
    assert jobs.submitted == []


async def test_a_bad_source_is_a_bad_request(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.raises = SourceError(Code.SOURCE_NOT_FOUND, "/srv/app", "is not there", hint="build it first")

    problem = await document(await http.post("/v1/jobs", json=GOOD), 422)

    assert (problem["code"], problem["detail"], problem["hint"]) == (
        "source.not_found",
        "/srv/app: is not there",
        "build it first",
    )


async def test_a_full_disk_is_said_to_be_full(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.raises = StoreError(Code.STORE_FULL, "/var/lib/pushd", "is full")

    assert (await document(await http.post("/v1/jobs", json=GOOD), 507))["code"] == "store.full"


async def test_a_body_over_a_mebibyte_is_too_large_whether_it_says_so_or_not(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    async def unannounced() -> Any:
        for _ in range(17):
            yield b" " * (1 << 16)

    headers = {"Content-Type": "application/json"}
    said = await document(await http.post("/v1/jobs", data=io.BytesIO(b" " * ((1 << 20) + 1)), headers=headers), 413)
    unsaid = await document(await http.post("/v1/jobs", data=unannounced(), headers=headers), 413)

    assert said == unsaid
    assert (said["code"], said["detail"]) == ("request.too_large", "body: is larger than 1048576 bytes")
    assert jobs.submitted == []


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "request.not_found"),
        ("GET", "/v1", 404, "request.not_found"),
        ("GET", "/v2/jobs", 404, "request.not_found"),
        ("GET", "/v1/jobs/", 404, "request.not_found"),
        ("GET", "/v1/jobs/nobody", 404, "request.not_found"),
        ("GET", "/v1/jobs/%2e%2e", 404, "request.not_found"),
        ("GET", "/v1/jobs/%00", 404, "request.not_found"),
        ("GET", "/v1/jobs/%ff%fe", 404, "request.not_found"),
        ("GET", "/v1/jobs/" + "a" * 4000, 404, "request.not_found"),
        ("GET", "/v1/jobs/nobody/wait", 404, "request.not_found"),
        ("POST", "/v1/jobs/nobody/cancel", 404, "request.not_found"),
        ("GET", "/v1/events?job=nobody&follow=1", 404, "request.not_found"),
        ("DELETE", "/v1/jobs", 405, "request.method_not_allowed"),
        ("HEAD", "/v1/status", 405, "request.method_not_allowed"),
        ("POST", "/v1/events", 405, "request.method_not_allowed"),
        ("GET", "/v1/jobs/x/cancel", 405, "request.method_not_allowed"),
        ("GET", "/v1/jobs?limit=0", 400, "request.malformed"),
        ("GET", "/v1/jobs?state=%ff", 400, "request.malformed"),
        ("GET", "/v1/jobs/x?y=1", 400, "request.malformed"),
        ("GET", "/v1/jobs/x/wait?timeout=nan", 400, "request.malformed"),
        ("GET", "/v1/events?after=-1", 400, "request.malformed"),
        ("GET", "/v1/status?verbose=1", 400, "request.malformed"),
        ("POST", "/v1/jobs", 400, "request.malformed"),
        ("POST", "/v1/jobs?x=1", 400, "request.malformed"),
    ],
)
async def test_what_cannot_be_served_is_a_problem_and_never_a_defect(
    http: aiohttp.ClientSession, told: list[Event], *, method: str, target: str, status: int, code: str
) -> None:
    async with http.request(method, target) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        if method != "HEAD":
            assert (await response.json(content_type=None))["code"] == code
    assert told == []


async def test_a_wrong_method_is_told_the_right_ones(http: aiohttp.ClientSession) -> None:
    response = await http.put("/v1/jobs")

    assert (await document(response, 405))["hint"] == "it takes GET,POST"
    assert response.headers["Allow"] == "GET,POST"


async def test_pages_join_without_a_gap_and_the_last_has_no_next(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    for number in range(4):
        jobs.add(f"job{number}", SPEC)

    first = await document(await http.get("/v1/jobs?limit=2"), 200)
    second = await document(await http.get(f"/v1/jobs?limit=2&after={first['next']}"), 200)

    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ["job3", "job2", "job1", "job0"]
    assert (first["next"], second["next"]) == ("job2", None)


async def test_a_list_is_of_the_states_asked_for(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    for number, state in enumerate([JobState.FAILED, JobState.SUCCEEDED, JobState.PARTIAL]):
        jobs.add(f"job{number}", SPEC)
        jobs.end(f"job{number}", state)

    listed = await document(await http.get("/v1/jobs?state=failed&state=partial"), 200)

    assert [job["state"] for job in listed["jobs"]] == ["partial", "failed"]


async def test_waiting_gives_the_job_once_it_has_ended(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)
    asyncio.get_running_loop().call_later(0.1, jobs.end, "a")
    start = time.monotonic()

    job = await document(await http.get("/v1/jobs/a/wait"), 200)

    assert job["state"] == "succeeded"
    assert time.monotonic() - start < 5


async def test_waiting_too_short_gives_the_job_as_it_is(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)

    assert (await document(await http.get("/v1/jobs/a/wait?timeout=0.05"), 200))["state"] == "queued"
    assert (await document(await http.get("/v1/jobs/a/wait?timeout=0"), 200))["state"] == "queued"


async def test_a_submission_may_wait_for_its_end(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    asyncio.get_running_loop().call_later(0.1, lambda: jobs.end("job000000000"))

    response = await http.post("/v1/jobs", json=GOOD, headers={"Prefer": "wait=20"})

    assert (await document(response, 202))["state"] == "succeeded"
    assert response.headers["Preference-Applied"] == "wait=20"


async def test_a_submission_whose_patience_ends_gets_the_job_as_it_is(http: aiohttp.ClientSession) -> None:
    response = await http.post("/v1/jobs", json=GOOD, headers={"Prefer": "wait=0"})

    assert (await document(response, 202))["state"] == "queued"


async def test_an_accepted_job_that_cannot_be_watched_is_accepted_all_the_same(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    waiting = asyncio.create_task(http.post("/v1/jobs", json=GOOD, headers={"Prefer": "wait=20"}))
    await jobs.until(waiting=1)

    jobs.fail(StoreError(Code.STORE_UNAVAILABLE, "database", "cannot be read"))

    assert (await document(await waiting, 202))["id"] == "job000000000"


async def test_cancelling_twice_is_cancelling_once(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)

    first = await document(await http.post("/v1/jobs/a/cancel"), 200)
    second = await document(await http.post("/v1/jobs/a/cancel"), 200)

    assert first == second
    assert first["state"] == "cancelled"


async def test_the_status_is_told(http: aiohttp.ClientSession) -> None:
    assert await document(await http.get("/v1/status"), 200) == {"version": "0", "queue": {"queued": 0}}


async def test_a_defect_is_told_to_the_log_with_its_trace_and_to_the_caller_without(
    http: aiohttp.ClientSession, jobs: FakeJobs, told: list[Event]
) -> None:
    jobs.raises = LookupError("a secret of the house")

    problem = await document(await http.get("/v1/status"), 500)

    assert problem["code"] == "daemon.internal"
    assert "secret" not in json.dumps(problem)
    assert "LookupError" not in json.dumps(problem)
    (event,) = told
    assert event.kind.name == "daemon.fault"
    assert (event.fields["error"], event.fields["where"]) == ("LookupError: a secret of the house", "GET /v1/status")
    assert "Traceback" in str(event.fields["traceback"])


async def test_a_body_that_is_not_what_its_encoding_says_is_malformed_and_nothing_to_log(
    http: aiohttp.ClientSession, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    problem = await document(await http.post("/v1/jobs", data=b"no gzip at all", headers=headers), 400)

    assert problem["detail"] == "body: is not what its headers say it is"
    await document(await http.get("/v1/status"), 200)
    assert (told, caplog.messages) == ([], [])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_the_callers_mistake_and_the_daemon_goes_on(
    http: aiohttp.ClientSession, path: Path, told: list[Event], sent: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    reply = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    writer.close()

    assert reply.split()[1].startswith(b"4")
    assert told == []
    assert (await document(await http.get("/v1/status"), 200))["version"] == "0"


async def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_defect_and_nothing_to_log(
    *,
    http: aiohttp.ClientSession,
    path: Path,
    jobs: FakeJobs,
    told: list[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"source"')
    await document(await http.get("/v1/status"), 200)  # by now it is being read
    writer.close()
    await document(await http.get("/v1/status"), 200)

    assert (jobs.submitted, told, caplog.messages) == ([], [], [])


async def test_a_connection_that_fails_inside_is_a_defect(
    http: aiohttp.ClientSession, jobs: FakeJobs, told: list[Event]
) -> None:
    jobs.raises = ConnectionResetError("not the caller's")

    assert (await document(await http.get("/v1/status"), 500))["code"] == "daemon.internal"
    assert [event.fields["error"] for event in told] == ["ConnectionResetError: not the caller's"]


async def test_a_body_that_does_not_arrive_is_not_waited_for_for_ever(path: Path, http: aiohttp.ClientSession) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"source"')
    reply = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    writer.close()

    assert reply.split()[1] == b"400"


async def test_a_long_poll_whose_caller_left_is_given_up(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)
    with pytest.raises(asyncio.TimeoutError):
        await http.get("/v1/jobs/a/wait?timeout=3600", timeout=aiohttp.ClientTimeout(total=0.1))

    await asyncio.sleep(0.15)  # two looks later
    await jobs.until(waiting=0)


async def test_a_long_poll_ends_with_the_daemon_and_gives_the_job_as_it_is(
    http: aiohttp.ClientSession, runner: web.AppRunner, jobs: FakeJobs
) -> None:
    jobs.add("a", SPEC)
    waiting = asyncio.create_task(http.get("/v1/jobs/a/wait?timeout=3600"))
    await jobs.until(waiting=1)
    start = time.monotonic()

    await runner.cleanup()

    assert (await document(await waiting, 200))["state"] == "queued"
    assert time.monotonic() - start < 3


async def test_curl_alone_submits_and_reads(http: aiohttp.ClientSession, path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--unix-socket", path, "-H", "Content-Type: application/json", "-d", json.dumps(GOOD),
        "-w", "\n%{http_code} %{header{location}}", "http://pushd/v1/jobs", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    body, _, trailer = output.decode().rpartition("\n")

    assert json.loads(body)["state"] == "queued"
    assert trailer.split()[0] == "202"
