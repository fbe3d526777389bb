from __future__ import annotations

import asyncio
import io
import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import pytest

from pushd.api import make_app
from pushd.api.access import Doors
from pushd.errors import Code, SourceError, StoreError
from pushd.job import JobSpec, JobState
from tests.fakes.logins import FakeLogins
from tests.fakes.metrics import FakeMetrics
from tests.fakes.serving import serving
from tests.fakes.spool import FakeSpool

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
    (given,) = jobs.submitted
    assert (given.caller.uid, given.key, len(given.fingerprint)) == (os.getuid(), "k", 32)
    assert given.caller.administrator
    assert await document(await http.get(response.headers["Location"]), 200) == job


async def test_the_same_key_gives_the_same_job_and_for_another_request_a_conflict(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await document(await http.post("/v1/jobs", json=GOOD, headers=headers), 202)
    second = await document(await http.post("/v1/jobs", json=GOOD, headers=headers), 202)
    other = await document(await http.post("/v1/jobs", json={**GOOD, "priority": 1}, headers=headers), 422)

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
        ("POST", "/v1/plan", 400, "request.malformed"),
        ("GET", "/v1/plan", 405, "request.method_not_allowed"),
        ("POST", "/v1/jobs/nobody/pause", 404, "request.not_found"),
        ("POST", "/v1/jobs/nobody/resume", 404, "request.not_found"),
        ("POST", "/v1/jobs/nobody/retry", 404, "request.not_found"),
        ("POST", "/v1/jobs/nobody/retry?force=1", 400, "request.malformed"),
        ("GET", "/v1/jobs?label=x", 400, "request.malformed"),
        ("GET", "/v1/jobs?registry=x", 400, "request.invalid_reference"),
        ("GET", "/v1/openapi.yaml?v=1", 400, "request.malformed"),
        ("GET", "/v1/openapi", 404, "request.not_found"),
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


IN_ENGINE = {**GOOD, "source": "docker-daemon:app:1"}


@pytest.mark.parametrize(
    ("preference", "brings"), [("", False), ("bring", True), ("wait=0, Bring", True), ("bringing", False)]
)
@pytest.mark.parametrize("target", ["/v1/jobs", "/v1/plan"])
async def test_a_caller_may_prefer_to_bring_what_is_in_an_engine(
    http: aiohttp.ClientSession, jobs: FakeJobs, target: str, preference: str, *, brings: bool
) -> None:
    await http.post(target, json=IN_ENGINE, headers={"Prefer": preference})
    assert jobs.brings == [brings]


@pytest.mark.parametrize("asked", ["jobs", "plan"])
async def test_an_image_is_fetched_out_of_an_engine_only_as_long_as_its_caller_waits(
    path: Path, http: aiohttp.ClientSession, jobs: FakeJobs, asked: str
) -> None:
    jobs.fetching = asyncio.Event()
    body = json.dumps(IN_ENGINE).encode()
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b"POST /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (asked.encode(), len(body)) + body)
    async with asyncio.timeout(5):
        await jobs.fetching.wait()
        writer.close()
        await jobs.given_up.wait()
    assert jobs.submitted == []


async def test_a_daemon_that_stops_says_that_an_image_was_not_fetched(
    runner: web.AppRunner, http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    jobs.fetching = asyncio.Event()
    asking = asyncio.create_task(http.post("/v1/jobs", json=IN_ENGINE))
    async with asyncio.timeout(5):
        await jobs.fetching.wait()
        await runner.shutdown()
        problem = await document(await asking, 503)
    assert (problem["code"], "nothing was taken" in problem["hint"]) == ("store.unavailable", True)


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


async def test_a_list_is_of_the_labels_and_the_registry_asked_for(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    for number, (label, host) in enumerate([("1", "a.b"), ("2", "a.b"), ("2", "c.d:5000")]):
        jobs.add(f"job{number}", JobSpec(source="oci:/x", destinations=(f"{host}/e:1",), labels={"build": label}))

    listed = await document(await http.get("/v1/jobs?label=build=2&registry=A.B"), 200)

    assert [job["id"] for job in listed["jobs"]] == ["job1"]


async def test_a_job_says_what_becomes_of_its_plain_layers(http: aiohttp.ClientSession) -> None:
    asked = [await http.post("/v1/jobs", json={**GOOD, **more}) for more in ({}, {"compress": "zstd"})]

    assert [(await document(answer, 202))["compress"] for answer in asked] == ["none", "zstd"]


async def test_a_job_says_how_much_goes_along_because_it_refers_to_the_image(http: aiohttp.ClientSession) -> None:
    asked = [await http.post("/v1/jobs", json={**GOOD, **more}) for more in ({}, {"with_referrers": True})]

    assert [(await document(answer, 202))["referrers"] for answer in asked] == [None, 2]


async def test_a_job_says_which_platforms_are_pushed(http: aiohttp.ClientSession) -> None:
    every = await document(await http.post("/v1/jobs", json=GOOD), 202)
    some = await document(await http.post("/v1/jobs", json={**GOOD, "platforms": ["linux/aarch64", "linux/386"]}), 202)

    assert (every["platforms"], some["platforms"]) == ([], ["linux/386", "linux/arm64"])


async def test_a_job_says_how_far_its_image_is_looked_into(http: aiohttp.ClientSession) -> None:
    usual = await document(await http.post("/v1/jobs", json=GOOD), 202)
    full = await document(await http.post("/v1/jobs", json={**GOOD, "validate": "full"}), 202)

    assert (usual["validate"], full["validate"]) == ("digest", "full")


async def test_a_job_says_when_its_tags_move(http: aiohttp.ClientSession) -> None:
    usual = await document(await http.post("/v1/jobs", json=GOOD), 202)
    together = await document(await http.post("/v1/jobs", json={**GOOD, "tags": "together"}), 202)

    assert (usual["tags"], together["tags"]) == ("each", "together")
    assert (together["ready_at"], together["deliveries"][0]["ready"]) == (None, False)


async def test_what_a_submission_would_do_is_told_and_nothing_is_submitted(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    plan = await document(await http.post("/v1/plan", json={**GOOD, "if_tag": "absent"}), 200)

    assert [(each["destination"], each["action"]) for each in plan["destinations"]] == [
        (GOOD["destinations"][0], "push")
    ]
    assert jobs.submitted == []


async def test_a_job_is_paused_and_goes_on(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)

    paused = await document(await http.post("/v1/jobs/a/pause"), 200)
    resumed = await document(await http.post("/v1/jobs/a/resume"), 200)

    assert (paused["state"], paused["paused_at"]) == ("paused", "2026-07-01T12:00:00Z")
    assert (resumed["state"], resumed["paused_at"]) == ("queued", None)


async def test_a_job_that_has_ended_cannot_be_paused_but_retried(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)
    jobs.end("a", JobState.FAILED)

    assert (await document(await http.post("/v1/jobs/a/pause"), 409))["code"] == "request.state"
    assert (await document(await http.post("/v1/jobs/a/retry"), 200))["state"] == "queued"


@pytest.mark.parametrize("body", [b"", b"{}", b" {\n} "])
async def test_an_action_takes_an_empty_body(http: aiohttp.ClientSession, jobs: FakeJobs, body: bytes) -> None:
    jobs.add("a", SPEC)

    response = await http.post("/v1/jobs/a/cancel", data=body, headers={"Content-Type": "application/json"})

    assert (await document(response, 200))["state"] == "cancelled"


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"[]", "body: expected object, got array"),
        (b"x", "body: is not JSON in UTF-8: "),
        (b'{"force": true}', "force: is not known here"),
        (b"[" * 100_000, "body: "),
        (b"null", "body: expected object, got null"),
        (b'{"\xff": 1}', "body: is not JSON in UTF-8: "),
    ],
)
async def test_an_action_that_is_told_more_than_it_takes_is_not_done(
    *, http: aiohttp.ClientSession, jobs: FakeJobs, action: str, body: bytes, detail: str
) -> None:
    jobs.add("a", SPEC)

    response = await http.post(f"/v1/jobs/a/{action}", data=body, headers={"Content-Type": "application/json"})

    assert (await document(response, 400))["detail"].startswith(detail)
    assert jobs.jobs["a"].state is JobState.QUEUED


async def test_an_action_that_takes_no_fields_says_so(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)

    problem = await document(await http.post("/v1/jobs/a/cancel", json={"force": True}), 400)

    assert problem["hint"] == "send no body, or an object without fields"


async def test_credentials_go_with_a_job_a_plan_and_a_retry(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    credentials = [
        {"registry": "localhost:5000", "username": "u", "password": "p"},
        {"registry": "localhost:5000/team", "identity_token": "t", "expires_in": 60},
    ]

    job = await document(await http.post("/v1/jobs", json={**GOOD, "credentials": credentials}), 202)
    await document(await http.post("/v1/plan", json={**GOOD, "credentials": credentials}), 200)
    await document(await http.post(f"/v1/jobs/{job['id']}/retry", json={"credentials": credentials}), 200)

    assert [call for call, _ in jobs.handed] == ["submit", "plan", "retry"]
    for _, handed in jobs.handed:
        assert [each.scope for each in handed] == ["localhost:5000", "localhost:5000/team"]
        assert [each.credential.password for each in handed] == ["p", ""]
        assert [each.credential.identity_token for each in handed] == ["", "t"]
        assert [each.expires_at is None for each in handed] == [True, False]
    assert jobs.submitted[0].spec == SPEC


async def test_a_retry_that_says_one_thing_twice_is_refused(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)
    twice = b'{"credentials": [{"registry": "a.b", "registry_token": "hunter2"}], "credentials": []}'

    response = await http.post("/v1/jobs/a/retry", data=twice, headers={"Content-Type": "application/json"})

    assert (await document(response, 400))["detail"] == "credentials: is given 2 times"
    assert jobs.handed == []


@pytest.mark.parametrize("body", [None, {}, {"credentials": []}])
async def test_a_retry_needs_no_credentials(http: aiohttp.ClientSession, jobs: FakeJobs, body: Any) -> None:
    jobs.add("a", SPEC)
    jobs.end("a", JobState.FAILED)

    assert (await document(await http.post("/v1/jobs/a/retry", json=body), 200))["state"] == "queued"
    assert jobs.handed == []


async def test_the_same_key_with_other_credentials_is_the_same_request(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    headers = {"Idempotency-Key": "k"}
    again = {**GOOD, "credentials": [{"registry": "localhost:5000", "registry_token": "t"}]}

    first = await document(await http.post("/v1/jobs", json=GOOD, headers=headers), 202)
    second = await document(await http.post("/v1/jobs", json=again, headers=headers), 202)
    other = await document(await http.post("/v1/jobs", json={**GOOD, "credential": "daemon"}, headers=headers), 422)

    assert (first["id"], other["code"]) == (second["id"], "request.idempotency_conflict")
    assert [each.spec.credential for each in jobs.submitted] == ["auto"]


async def test_a_form_is_no_body_of_an_action(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    jobs.add("a", SPEC)

    problem = await document(await http.post("/v1/jobs/a/cancel", data={"force": "1"}), 400)

    assert problem["detail"] == "Content-Type: must be application/json"


async def test_a_label_of_ten_megabytes_is_named_where_such_a_body_is_taken(
    jobs: FakeJobs, told: list[Event], path: Path
) -> None:
    doors = Doors(os.getuid(), administrators=frozenset(), submitters=frozenset(), caps={})
    app = make_app(
        jobs,
        FakeSpool(),
        FakeLogins(),
        FakeMetrics(),
        emit=told.append,
        doors=doors,
        streams_per_user=1,
        request_size=16 << 20,
    )
    connector = aiohttp.UnixConnector(str(path))
    async with serving(app, path), aiohttp.ClientSession("http://pushd", connector=connector) as http:
        labelled = json.dumps({**GOOD, "labels": {"build": "x" * 10_000_000}}).encode()
        response = await http.post("/v1/jobs", data=io.BytesIO(labelled), headers={"Content-Type": "application/json"})
        problem = await document(response, 400)

    assert problem["detail"] == "labels.build: must be at most 1024 bytes"


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
        b"GET /v1/nowhere HTTP/1.1\r\nHost: x\r\nExpect: magic\xff\r\n\r\n",
        b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: magic\xff\r\n\r\n",
        b"GET /v1/jobs/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_is_the_callers_mistake_nothing_to_log_and_the_daemon_goes_on(
    *, http: aiohttp.ClientSession, path: Path, told: list[Event], caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    reply = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    writer.close()

    assert reply.split()[1].startswith(b"4")
    assert (told, caplog.messages) == ([], [])
    assert (await document(await http.get("/v1/status"), 200))["version"] == "0"


@pytest.mark.parametrize(
    ("version", "expectation", "answer"),
    [
        (b"1.1", b"100-Continue", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"1.0", b"100-continue", b"HTTP/1.0 202 Accepted\r\n"),
        (b"1.1", b"magic", b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
async def test_who_asks_before_they_send_a_body_is_told_to_go_on(
    *, http: aiohttp.ClientSession, path: Path, version: bytes, expectation: bytes, answer: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    body = json.dumps(GOOD).encode()
    head = b"POST /v1/jobs HTTP/%s\r\nHost: x\r\nExpect: %s\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % (version, expectation, len(body)))
    if version == b"1.0":
        writer.write(body)

    assert await asyncio.wait_for(reader.readexactly(len(answer)), 5) == answer
    if b"100" in answer:
        writer.write(body)
        assert b" 202 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


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


async def test_the_longest_question_the_contract_has_is_answered(http: aiohttp.ClientSession) -> None:
    labels = [("label", f"{index:063}={'🚀' * 1024}") for index in range(64)]
    async with http.get(f"/v1/jobs?{urlencode(labels)}") as response:
        assert (response.status, (await response.json())["jobs"]) == (200, [])
