from __future__ import annotations

import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from pushd.client import SYSTEM_SOCKET, Client, default_socket_path
from pushd.errors import Code, DaemonError, PushdError, RequestError, SourceError, StoreError
from pushd.job import ABSENT, Compress, DeliveryState, JobState, Retain, Tags, TransferState, Validate, Verify
from tests.fakes.daemon import (
    AT,
    FakeDaemon,
    Unread,
    answer,
    delivery,
    drop,
    event,
    gated,
    hang_up,
    job,
    problem,
    raw,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DESTINATION = "registry.example.com/team/app:1.4"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushd.sock"


@pytest.fixture
def client(path: Path) -> Client:
    return Client(str(path), patience=5.0)


# ------------------------------------------------------------------------------------------------ the socket


def test_the_environment_names_the_socket_before_everything_else(tmp_path: Path) -> None:
    own = tmp_path / "pushd" / "pushd.sock"
    own.parent.mkdir()
    own.touch()
    assert default_socket_path({"PUSHD_SOCKET": "/a/b.sock", "XDG_RUNTIME_DIR": str(tmp_path)}) == "/a/b.sock"
    assert default_socket_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == str(own)


def test_without_a_daemon_of_ones_own_the_systems_socket_is_taken(tmp_path: Path) -> None:
    assert default_socket_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == SYSTEM_SOCKET
    assert default_socket_path({}) == SYSTEM_SOCKET


def test_without_a_socket_the_error_says_at_once_where_it_looked_and_how_to_start(path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DaemonError) as caught:
        Client(str(path)).status()
    assert time.monotonic() - began < 1
    assert caught.value.code is Code.DAEMON_UNREACHABLE
    assert str(path) in str(caught.value)
    assert "systemctl start pushd" in caught.value.hint


def test_a_socket_that_a_dead_daemon_left_is_tried_for_as_long_as_patience_lasts(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    began = time.monotonic()
    with pytest.raises(DaemonError) as caught:
        Client(str(path), patience=0.3).status()
    assert 0.1 < time.monotonic() - began < 2
    assert caught.value.code is Code.DAEMON_UNREACHABLE
    assert "nobody listens" in str(caught.value)


def test_a_path_too_long_for_a_socket_is_named_with_the_limit() -> None:
    with pytest.raises(DaemonError) as caught:
        Client("/" + "ä" * 54).status()
    assert caught.value.code is Code.DAEMON_SOCKET
    assert "109 bytes" in str(caught.value)
    assert "107" in str(caught.value)


def test_the_longest_possible_path_works(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    link = directory / ("s" * (107 - len(str(directory)) - 1))
    with FakeDaemon(link, answer({"version": "1"})):
        assert Client(str(link)).status() == {"version": "1"}


def test_a_socket_that_is_not_for_the_caller_says_so(
    path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root passes every permission check, so the kernel's answer is given by hand.
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(DaemonError) as caught:
        client.status()
    assert caught.value.code is Code.DAEMON_UNREACHABLE
    assert "permission denied" in str(caught.value)
    assert caught.value.hint


def test_a_full_backlog_is_waited_for(path: Path, client: Client) -> None:
    daemon = FakeDaemon(path, answer({"version": "1"}))
    busy, first = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    busy.bind(str(path))
    busy.listen(0)
    first.connect(str(path))

    def make_room() -> None:
        busy.close()
        path.unlink()
        daemon.start()

    with first, socket.socket(socket.AF_UNIX) as second:
        second.settimeout(1)
        with pytest.raises(BlockingIOError):
            second.connect(str(path))
        release = threading.Timer(0.3, make_room)
        release.start()
        assert client.status() == {"version": "1"}
        release.join()
    daemon.stop()


def test_a_file_that_is_no_socket_is_not_a_daemon(path: Path) -> None:
    path.touch()
    with pytest.raises(DaemonError) as caught:
        Client(str(path), patience=0.1).status()
    assert caught.value.code is Code.DAEMON_UNREACHABLE


def test_a_directory_on_the_way_that_is_a_file_is_named(path: Path) -> None:
    path.touch()
    with pytest.raises(DaemonError) as caught:
        Client(str(path / "x")).status()
    assert "Not a directory" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"220 mail.example.com ESMTP\r\n\r\n",
        b"HTTP/1.1 twohundred\r\n\r\n",
        b"x" * 70000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_something_else_that_listens_there_is_not_taken_for_the_daemon(path: Path, client: Client, data: bytes) -> None:
    with FakeDaemon(path, raw(data)), pytest.raises(DaemonError) as caught:
        client.status()
    assert caught.value.code is Code.DAEMON_SOCKET
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("document", [{}, [], "job", job(state="levitating"), {**job(), "created_at": "soon"}])
def test_an_answer_that_is_not_a_job_is_said_to_be_so(path: Path, client: Client, document: object) -> None:
    with FakeDaemon(path, answer(document)), pytest.raises(DaemonError) as caught:
        client.get("x")
    assert caught.value.code is Code.DAEMON_INTERNAL


# ---------------------------------------------------------------------------------------------------- submit


def test_a_job_is_submitted_as_the_api_wants_it(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job(), status=202)) as daemon:
        submitted = client.submit(
            "oci:/srv/builds/app:1.4", [DESTINATION], priority=5, labels={"build": "4711"}, deadline=90.0
        )
    (request,) = daemon.received
    assert (request.method, request.path) == ("POST", "/v1/jobs")
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "source": "oci:/srv/builds/app:1.4", "destinations": [DESTINATION], "priority": 5,
        "labels": {"build": "4711"}, "deadline": 90.0, "verify": "tag",
    }  # fmt: skip
    assert submitted.id == "abc123DEF-_x"
    assert submitted.state is JobState.QUEUED
    assert submitted.created_at == datetime(2026, 11, 22, 21, tzinfo=UTC)


def test_what_cannot_be_asked_of_a_job_is_named_and_nothing_sent(path: Path, client: Client) -> None:
    with FakeDaemon(path) as daemon, pytest.raises(TypeError, match="colour"):
        client.submit("oci:/srv/app", [DESTINATION], colour="red")  # type: ignore[call-arg]
    assert not daemon.received


def test_the_callers_idempotency_key_is_sent(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job())) as daemon:
        client.submit("oci:/x", [DESTINATION], idempotency_key="ci-4711")
    assert daemon.received[0].headers["idempotency-key"] == "ci-4711"


def test_a_key_is_made_up_for_each_submission_when_none_is_given(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job()), answer(job())) as daemon:
        client.submit("oci:/x", [DESTINATION])
        client.submit("oci:/x", [DESTINATION])
    first, second = (request.headers["idempotency-key"] for request in daemon.received)
    assert len(first) >= 22
    assert first != second


@pytest.mark.parametrize(
    "trouble", [hang_up, drop, raw(b"HTTP/1.1 202 Acc"), raw(b"HTTP/1.1 202 Accepted\r\nContent-Length: 999\r\n\r\n{")]
)
def test_a_submission_that_breaks_is_tried_again_under_the_same_key(path: Path, client: Client, trouble: Any) -> None:
    with FakeDaemon(path, hang_up, trouble, answer(job(), status=202)) as daemon:
        assert client.submit("oci:/x", [DESTINATION]).id == "abc123DEF-_x"
    keys = {request.headers["idempotency-key"] for request in daemon.received}
    bodies = {request.body for request in daemon.received}
    assert len(keys) == len(bodies) == 1
    assert len(daemon.received) >= 2


def test_a_submission_waits_for_a_daemon_that_restarts(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer({}), answer(job())) as daemon:
        client.status()
        daemon.stop()
        threading.Timer(0.4, daemon.start).start()
        assert client.submit("oci:/x", [DESTINATION]).id == "abc123DEF-_x"


def test_a_daemon_that_never_answers_is_given_up_in_the_end(path: Path) -> None:
    client = Client(str(path), patience=0.3)
    with FakeDaemon(path) as daemon:
        daemon.then(*[hang_up] * 10)
        with pytest.raises(DaemonError) as caught:
            client.submit("oci:/x", [DESTINATION])
        assert 2 <= len(daemon.received) <= 5
        daemon._steps.clear()
    assert caught.value.code is Code.DAEMON_UNREACHABLE
    assert "closed before the answer" in str(caught.value)


def test_an_early_refusal_is_read_although_the_body_was_not_taken(path: Path, client: Client) -> None:
    refusal = problem("request.too_large", 413, "the body is too large")
    with FakeDaemon(path, Unread(refusal)), pytest.raises(RequestError) as caught:
        client.submit("oci:/x", [DESTINATION], labels={"x": "y" * 5_000_000})
    assert caught.value.code is Code.REQUEST_TOO_LARGE


def test_all_that_may_be_asked_of_a_job_is_sent(path: Path, client: Client) -> None:
    begin = datetime(2026, 12, 1, 6, tzinfo=timezone(timedelta(hours=1)))
    answered = job(
        not_before="2026-12-01T05:00:00Z",
        if_tag="absent",
        retain="spool",
        paused_at=AT,
        platforms=["linux/amd64"],
        digest=None,
        validate="full",
        compress="gzip",
        tags="together",
        ready_at=AT,
        referrers=3,
    )
    with FakeDaemon(path, answer(answered, status=202)) as daemon:
        submitted = client.submit(
            "oci:/x",
            [DESTINATION],
            verify=Verify.BLOBS,
            not_before=begin,
            if_tag=ABSENT,
            retain=Retain.SPOOL,
            platforms=("linux/x86_64",),
            validate=Validate.FULL,
            compress=Compress.DEFAULT,
            tags=Tags.TOGETHER,
            with_referrers=True,
        )
    sent = daemon.received[0].json
    asked = ("verify", "not_before", "if_tag", "retain", "platforms", "validate", "compress", "tags", "with_referrers")
    assert {name: sent[name] for name in asked} == {
        "verify": "blobs", "not_before": "2026-12-01T06:00:00+01:00", "if_tag": "absent", "retain": "spool",
        "platforms": ["linux/x86_64"], "validate": "full", "compress": "default",
        "tags": "together", "with_referrers": True,
    }  # fmt: skip
    assert submitted.not_before == begin
    assert (submitted.if_tag, submitted.retain) == (ABSENT, Retain.SPOOL)
    assert (submitted.platforms, submitted.validate) == (("linux/amd64",), Validate.FULL)
    assert (submitted.digest, submitted.compress) == (None, Compress.GZIP)
    assert (submitted.tags, submitted.ready_at) == (Tags.TOGETHER, submitted.paused_at)
    assert submitted.referrers == 3
    assert submitted.paused_at == datetime(2026, 11, 22, 21, tzinfo=UTC)


def test_a_job_of_an_older_daemon_says_less(path: Path, client: Client) -> None:
    document = job()
    del document["platforms"], document["validate"], document["compress"], document["referrers"]
    del document["tags"], document["ready_at"], document["deliveries"][0]["ready"]
    with FakeDaemon(path, answer(document)):
        read = client.get("x")
    assert (read.platforms, read.validate, read.compress) == ((), Validate.DIGEST, Compress.NONE)
    assert (read.tags, read.ready_at, read.deliveries[0].ready) == (Tags.EACH, None, False)
    assert read.referrers is None
    assert (read.not_before, read.if_tag, read.retain, read.paused_at) == (None, None, Retain.SOURCE, None)


def test_a_time_without_a_zone_is_refused_here(client: Client) -> None:
    with pytest.raises(RequestError) as caught:
        client.submit("oci:/x", [DESTINATION], not_before=datetime(2026, 12, 1, 6))  # noqa: DTZ001 (the mistake)
    assert caught.value.subject == "not_before"


# ---------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (Code.SOURCE_LAYOUT_INVALID, 422, SourceError),
        (Code.REQUEST_FORBIDDEN, 403, RequestError),
        (Code.STORE_FULL, 507, StoreError),
        (Code.DAEMON_INTERNAL, 500, DaemonError),
    ],
)
def test_a_problem_becomes_the_error_of_its_code_with_the_same_words(
    path: Path, client: Client, code: Code, status: int, kind: type[PushdError]
) -> None:
    step = problem(code.value, status, "oci:/x: is not there", hint="look again")
    with FakeDaemon(path, step), pytest.raises(PushdError) as caught:
        client.submit("oci:/x", [DESTINATION])
    assert type(caught.value) is kind
    assert caught.value.code is code
    assert str(caught.value) == "oci:/x: is not there; look again"


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, Code.REQUEST_NOT_FOUND), (418, Code.REQUEST_MALFORMED), (500, Code.DAEMON_INTERNAL), (507, Code.STORE_FULL)],
)
def test_a_code_from_a_newer_daemon_becomes_what_the_status_says(
    path: Path, client: Client, status: int, code: Code
) -> None:
    with FakeDaemon(path, problem("request.from_the_future", status, "no")), pytest.raises(PushdError) as caught:
        client.get("x")
    assert caught.value.code is code
    assert str(caught.value) == "no"


def test_a_refusal_that_is_no_problem_document_still_is_an_error(path: Path, client: Client) -> None:
    with (
        FakeDaemon(path, raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>")),
        pytest.raises(DaemonError) as caught,
    ):
        client.get("x")
    assert "502" in str(caught.value)


def test_retry_after_is_handed_on(path: Path, client: Client) -> None:
    step = problem("store.full", 507, "the disk is full", headers=["Retry-After: 7"])
    with FakeDaemon(path, step), pytest.raises(StoreError) as caught:
        client.submit("oci:/x", [DESTINATION])
    assert caught.value.retry_after == 7.0


# ----------------------------------------------------------------------------------------------- get and list


def test_a_job_is_read_with_everything_in_it(path: Path, client: Client) -> None:
    transfer = {"digest": "sha256:aa", "media_type": "m", "size": 10, "state": "running", "done": 4, "sent": 6}
    failure = {"code": "registry.unreachable", "message": "no route", "retryable": True}
    held = delivery(
        2,
        "mirror.example.net/app:1",
        "held",
        failure=failure,
        not_before="2026-11-22T21:00:01.5Z",
        transfers=[transfer],
        history=[{"at": "2026-11-22T20:59:01Z", "attempt": 3, "code": "registry.unreachable", "message": "no route"}],
    )
    document = job("running", delivery(1, state="succeeded", digest="sha256:bb"), held)
    with FakeDaemon(path, answer(document)) as daemon:
        read = client.get("abc/../x?y")
    assert daemon.received[0].path == "/v1/jobs/abc%2F%2E%2E%2Fx%3Fy"
    assert read.labels == {"build": "4711"}
    first, second = read.deliveries
    assert (first.state, first.digest, first.failure) == (DeliveryState.SUCCEEDED, "sha256:bb", None)
    assert second.failure is not None
    assert second.failure.message == "no route"
    assert second.not_before == datetime(2026, 11, 22, 21, 0, 1, 500000, tzinfo=UTC)
    assert first.history == ()
    (held_before,) = second.history
    assert (held_before.at, held_before.attempt) == (datetime(2026, 11, 22, 20, 59, 1, tzinfo=UTC), 3)
    assert (held_before.code, held_before.message) == ("registry.unreachable", "no route")
    (moving,) = second.transfers
    assert (moving.state, moving.done, moving.sent) == (TransferState.RUNNING, 4, 6)


def test_what_a_newer_daemon_says_on_top_is_passed_over(path: Path, client: Client) -> None:
    document = job("queued", delivery(signature="yes"), parent="xyz")
    with FakeDaemon(path, answer({**document, "colour": "blue"})):
        assert client.get("x").state is JobState.QUEUED


def test_all_pages_of_the_list_are_given_and_only_when_wanted(path: Path, client: Client) -> None:
    first = {"jobs": [job(id="aaa"), job(id="bbb")], "next": "bbb"}
    second = {"jobs": [job(id="ccc")], "next": None}
    with FakeDaemon(path, answer(first), answer(second), answer(first)) as daemon:
        assert [job.id for job in client.list(states=[JobState.QUEUED, JobState.HELD])] == ["aaa", "bbb", "ccc"]
        assert next(client.list()).id == "aaa"
    assert daemon.received[0].query["state"] == ["queued", "held"]
    assert "after" not in daemon.received[0].query
    assert daemon.received[1].query["after"] == ["bbb"]
    assert "state" not in daemon.received[2].query


def test_cancel_gives_the_job_as_it_is_then(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job("cancelled"))) as daemon:
        assert client.cancel("abc").state is JobState.CANCELLED
    assert (daemon.received[0].method, daemon.received[0].path) == ("POST", "/v1/jobs/abc/cancel")


def test_no_more_jobs_are_asked_for_than_are_wanted(path: Path, client: Client) -> None:
    with FakeDaemon(
        path,
        answer({"jobs": [job(id="a"), job(id="b")], "next": "b"}),
        answer({"jobs": [job(id="c")], "next": "c"}),
    ) as daemon:
        assert [found.id for found in client.list(limit=3)] == ["a", "b", "c"]
    assert [request.query["limit"] for request in daemon.received] == [["3"], ["1"]]


def test_jobs_are_listed_by_label_and_registry(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer({"jobs": [], "next": None})) as daemon:
        assert list(client.list(labels={"build": "47 11", "team": "a=b"}, registry="127.0.0.1:5000")) == []
    query = daemon.received[0].query
    assert (query["label"], query["registry"]) == (["build=47 11", "team=a=b"], ["127.0.0.1:5000"])


@pytest.mark.parametrize("verb", ["pause", "resume", "retry"])
def test_a_job_is_paused_resumed_and_retried(path: Path, client: Client, verb: str) -> None:
    with FakeDaemon(path, hang_up, answer(job("paused"))) as daemon:
        assert getattr(client, verb)("abc").state is JobState.PAUSED
    assert (daemon.received[1].method, daemon.received[1].path) == ("POST", f"/v1/jobs/abc/{verb}")


def test_a_job_that_cannot_be_retried_says_why(path: Path, client: Client) -> None:
    step = problem("request.state", 409, "job abc: its bytes are gone", hint="submit it anew")
    with FakeDaemon(path, step), pytest.raises(RequestError) as caught:
        client.retry("abc")
    assert caught.value.code is Code.REQUEST_STATE


# ------------------------------------------------------------------------------------------------ registries


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_registry_is_paused_and_resumed(path: Path, client: Client, verb: str) -> None:
    document = {"registry": "127.0.0.1:5000", "paused_since": None}
    with FakeDaemon(path, answer(document)) as daemon:
        assert getattr(client, f"{verb}_registry")("127.0.0.1:5000") == document
    assert (daemon.received[0].method, daemon.received[0].body) == ("POST", b"")
    assert unquote(daemon.received[0].path) == f"/v1/registries/127.0.0.1:5000/{verb}"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("registry.example.com", {}),
        ("127.0.0.1:5000/team/app", {"repository": "team/app"}),
    ],
)
def test_a_registry_is_diagnosed_with_and_without_a_repository(
    path: Path, client: Client, target: str, body: dict[str, str]
) -> None:
    document = {"target": target, "checks": []}
    with FakeDaemon(path, answer(document)) as daemon:
        assert client.diagnose(target) == document
    assert unquote(daemon.received[0].path) == f"/v1/registries/{target.partition('/')[0]}/diagnose"
    assert daemon.received[0].json == body


# ------------------------------------------------------------------------------------------------------ wait


def test_wait_polls_until_the_job_has_ended_over_a_restart(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job("running")), hang_up, drop, answer(job("succeeded"))) as daemon:
        assert client.wait("abc").state is JobState.SUCCEEDED
    assert daemon.received[0].path == "/v1/jobs/abc/wait"
    assert float(daemon.received[0].query["timeout"][0]) == 30.0


def test_wait_gives_the_job_unfinished_when_its_time_is_over(path: Path, client: Client) -> None:
    gate = threading.Event()
    threading.Timer(0.3, gate.set).start()
    with FakeDaemon(path, gated(answer(job("running")), gate=gate)) as daemon:
        assert client.wait("abc", timeout=0.25).state is JobState.RUNNING
    assert 0 < float(daemon.received[0].query["timeout"][0]) <= 0.25


def test_a_daemon_that_lets_its_waiters_go_early_is_not_raced(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job("running")), answer(job("running")), answer(job("succeeded"))):
        began = time.monotonic()
        client.wait("abc")
    assert time.monotonic() - began >= 1.5


# ---------------------------------------------------------------------------------------------------- events


def test_events_are_given_in_order_and_empty_lines_are_not_events(path: Path, client: Client) -> None:
    first, progress, second = event(1, "job.submitted"), event(None, "transfer.progress", done=1), event(2, "x.y")
    with FakeDaemon(path, stream(first, "", progress, "", second)) as daemon:
        assert list(client.events(follow=False)) == [first, progress, second]
    assert daemon.received[0].query == {"after": ["0"], "follow": ["0"]}


def test_a_jobs_events_end_when_the_job_has(path: Path, client: Client) -> None:
    events = [event(4, "job.submitted"), event(9, "job.finished")]
    with FakeDaemon(path, stream(*events)) as daemon:
        assert list(client.events(job="abc", after=3)) == events
    assert daemon.received[0].query == {"after": ["3"], "follow": ["1"], "job": ["abc"]}


def test_a_broken_stream_goes_on_after_the_last_number_without_doubles(path: Path, client: Client) -> None:
    one, two, three = event(1, "job.submitted"), event(2, "delivery.started"), event(3, "job.finished")
    progress = event(None, "transfer.progress")
    with FakeDaemon(
        path,
        stream(one, two, progress, broken=True),
        drop,
        stream(two, three),
    ) as daemon:  # fmt: skip
        assert list(client.events(job="abc")) == [one, two, progress, three]
    assert daemon.received[1].query["after"] == ["2"]


def test_a_line_cut_in_the_middle_is_read_again_and_not_half(path: Path, client: Client) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    cut = raw(head + b'c\r\n{"seq":1,"ev\r\n')
    with FakeDaemon(path, cut, stream(event(1, "job.finished"))) as daemon:
        assert [event["seq"] for event in client.events(job="abc")] == [1]
    assert daemon.received[1].query["after"] == ["0"]


def test_events_go_on_when_the_daemon_comes_back_on_a_new_socket(path: Path, client: Client) -> None:
    one, two = event(1, "job.submitted"), event(2, "job.finished")
    seen: list[Mapping[str, Any]] = []
    with FakeDaemon(path, stream(one, broken=True), stream(two)) as daemon:
        events = client.events(job="abc")
        seen.append(next(events))
        daemon.stop()
        threading.Timer(0.4, daemon.start).start()
        seen.extend(events)
    assert seen == [one, two]


def test_a_job_that_ended_while_nobody_listened_ends_the_stream_with_what_was_left(path: Path, client: Client) -> None:
    one, two = event(1, "job.submitted"), event(2, "delivery.succeeded")
    with FakeDaemon(path, stream(one), answer(job("succeeded")), stream(two)) as daemon:
        assert list(client.events(job="abc")) == [one, two]
    assert daemon.received[2].query == {"after": ["1"], "follow": ["0"], "job": ["abc"]}


def test_a_stream_that_a_stopping_daemon_ends_is_taken_up_again(path: Path, client: Client) -> None:
    one, two = event(1, "job.submitted"), event(2, "job.finished")
    with FakeDaemon(path, stream(one), answer(job("running")), stream(two)):
        assert list(client.events(job="abc")) == [one, two]


def test_a_stream_that_breaks_often_is_followed_as_long_as_each_brings_something(path: Path) -> None:
    client = Client(str(path), patience=0.3)
    *events, last = [*(event(number, "x.y") for number in range(1, 9)), event(9, "job.finished")]
    with FakeDaemon(path, *[stream(one, broken=True) for one in events], stream(last)):
        assert list(client.events(job="abc")) == [*events, last]


def test_a_daemon_that_only_ever_breaks_the_stream_is_given_up(path: Path) -> None:
    client = Client(str(path), patience=0.3)
    with FakeDaemon(path, *[stream(broken=True)] * 10) as daemon:
        with pytest.raises(DaemonError) as caught:
            list(client.events())
        assert 2 <= len(daemon.received) <= 5
        daemon._steps.clear()
    assert caught.value.code is Code.DAEMON_UNREACHABLE


def test_bookmarks_move_the_place_and_are_not_given(path: Path, client: Client) -> None:
    bookmark, last = event(7, "stream.bookmark", stream="life"), event(9, "job.finished")
    with FakeDaemon(path, stream(event(1, "x.y"), bookmark, broken=True), stream(last)) as daemon:
        assert [event["seq"] for event in client.events(job="abc")] == [1, 9]
    assert daemon.received[1].query == {"after": ["7"], "follow": ["1"], "job": ["abc"], "stream": ["life"]}


def test_a_bookmark_from_before_does_not_turn_the_place_back(path: Path, client: Client) -> None:
    with FakeDaemon(path, stream(event(5, "x.y"), event(2, "stream.bookmark"), broken=True), stream()) as daemon:
        assert [event["seq"] for event in client.events(follow=False)] == [5]
    assert daemon.received[1].query["after"] == ["5"]


def test_a_stream_that_is_another_one_now_is_told_and_not_gone_on_with(path: Path, client: Client) -> None:
    bookmark = event(7, "stream.bookmark", stream="life")
    gone = problem("request.events_gone", 410, "the stream is another one")
    with FakeDaemon(path, stream(bookmark, broken=True), gone), pytest.raises(RequestError) as caught:
        list(client.events())
    assert caught.value.code is Code.REQUEST_EVENTS_GONE


@pytest.mark.parametrize("line", ["[]", "7", '{"seq": 1}', '{"event": 4}', '{"event": "x.y", "seq": "1"}'])
def test_a_line_that_is_no_event_is_said_to_be_so(path: Path, client: Client, line: str) -> None:
    with FakeDaemon(path, stream(line)), pytest.raises(DaemonError) as caught:
        list(client.events(follow=False))
    assert caught.value.code is Code.DAEMON_INTERNAL


def test_the_events_of_an_unknown_job_are_refused(path: Path, client: Client) -> None:
    with FakeDaemon(path, problem("request.not_found", 404, "job abc: there is none")), pytest.raises(RequestError):
        list(client.events(job="abc"))


# --------------------------------------------------------------------------------------------------- sources


def test_a_relative_source_is_sent_with_the_callers_directory(
    path: Path, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeDaemon(path, answer(job())) as daemon:
        client.submit("oci:./dir:1.4", [DESTINATION])
    assert daemon.received[0].json["source"] == f"oci:{os.getcwd()}/dir:1.4"  # noqa: PTH109 (what the client uses)
