"""pushctl against a scripted daemon: what is printed where, and what the shell is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pushd import __version__
from pushd.client import Client
from pushd.ctl import main
from pushd.ctl.verbs import push as pushing
from tests.fakes.daemon import (
    DIGEST,
    FakeDaemon,
    answer,
    delivery,
    event,
    gated,
    hang_up,
    job,
    problem,
    stream,
)
from tests.unit.ctl.documents import ADMINISTRATOR
from tests.unit.ctl.test_plan_page import PUSH, destination, plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE, DESTINATION = "oci:/srv/builds/app:1.4", "registry.example.com/team/app:1.4"
ID = "abc123DEF-_x"
VERBS = [
    "push", "jobs", "show", "wait", "watch", "cancel", "pause", "resume", "retry", "events", "status", "top", "doctor",
    "login", "logins", "logout", "completion",
]  # fmt: skip
FAILURE = {"code": "registry.denied", "message": "push access\x1b[2J denied", "retryable": False}
PARTIAL = job(
    "partial",
    delivery(1, DESTINATION, "succeeded", digest=DIGEST),
    delivery(2, "mirror.example.net/app:1", "failed", failure=FAILURE),
    finished_at="2026-11-22T21:00:12Z",
)
PLAN = plan(PUSH)
STORY = [
    event(1, "job.submitted", "job taken"),
    event(2, "delivery.started", "off it goes", delivery=1),
    event(3, "delivery.succeeded", "there it is", delivery=1),
    event(4, "job.finished", "all done"),
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pushd.sock"
    monkeypatch.setenv("PUSHD_SOCKET", str(path))
    return path


@pytest.fixture
def daemon(path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(path) as daemon:
        yield daemon


def _environment(**more: str) -> dict[str, str]:
    """Give the environment as a person has it, where stdout is buffered."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"} | more


def _start(path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Run pushctl as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pushd.ctl", "--socket", str(path), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(**environment),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ push


def test_a_push_prints_the_id_and_nothing_else(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job(), status=202))
    assert main(["push", SOURCE, DESTINATION]) == 0
    assert capsys.readouterr() == (f"{ID}\n", "")


def test_a_push_hands_on_what_was_typed(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job(), status=202))
    typed = ["--priority", "-3", "--label", "build=4711", "--label", "note=a=b", "--deadline", "15m"]
    assert main(["push", SOURCE, DESTINATION, "mirror.example.net/app:1", *typed]) == 0
    assert daemon.received[0].json == {
        "source": SOURCE, "destinations": [DESTINATION, "mirror.example.net/app:1"], "priority": -3,
        "labels": {"build": "4711", "note": "a=b"}, "deadline": 900.0, "verify": "tag",
    }  # fmt: skip


def test_a_push_hands_on_when_and_where_and_how_it_is_to_be_done(daemon: FakeDaemon) -> None:
    daemon.then(answer(job(), status=202))
    typed = ["--not-before", "2026-12-24T20:00:00+01:00", "--if-tag", "absent", "--spool", "--verify", "blobs"]
    assert main(["push", SOURCE, DESTINATION, *typed, "--idempotency-key", "build 4711"]) == 0
    (received,) = daemon.received
    asked = {name: received.json[name] for name in ("not_before", "if_tag", "retain", "verify")}
    assert asked.pop("not_before").startswith("2026-12-24T")
    assert asked == {"if_tag": "absent", "retain": "spool", "verify": "blobs"}
    assert received.headers["idempotency-key"] == "build 4711"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_push_says_how_far_the_image_is_looked_into(daemon: FakeDaemon, more: list[str]) -> None:
    daemon.then(answer(PLAN if more else job()))
    assert main(["push", SOURCE, DESTINATION, "--validate", "full", *more]) == 0
    assert daemon.received[0].json["validate"] == "full"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_push_says_which_platforms_and_under_which_tags(daemon: FakeDaemon, more: list[str]) -> None:
    daemon.then(answer(PLAN if more else job()))
    platforms = ["--platform", "linux/amd64,linux/arm/v7", "--platform", "linux/arm64"]
    assert main(["push", SOURCE, DESTINATION, *platforms, "--tag", "1", "--tag", "latest", *more]) == 0
    asked = daemon.received[0].json
    assert asked["platforms"] == ["linux/amd64", "linux/arm/v7", "linux/arm64"]
    name = DESTINATION.rpartition(":")[0]
    assert asked["destinations"] == [DESTINATION, f"{name}:1", f"{name}:latest"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("how", ["gzip", "zstd", "default"])
def test_a_push_says_how_plain_layers_are_compressed(daemon: FakeDaemon, how: str, more: list[str]) -> None:
    daemon.then(answer(PLAN if more else job()))
    assert main(["push", SOURCE, DESTINATION, "--compress", how, *more]) == 0
    assert daemon.received[0].json["compress"] == how


def test_a_push_says_when_tags_move(daemon: FakeDaemon) -> None:
    daemon.then(answer(job()))
    assert main(["push", SOURCE, DESTINATION, "--tag", "latest", "--tags", "together"]) == 0
    assert daemon.received[0].json["tags"] == "together"
    assert len(daemon.received[0].json["destinations"]) == 2


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_push_takes_along_what_refers_to_the_image(daemon: FakeDaemon, more: list[str]) -> None:
    daemon.then(answer(PLAN if more else job()))
    assert main(["push", SOURCE, DESTINATION, "--with-referrers", *more]) == 0
    assert daemon.received[0].json["with_referrers"] is True


def test_a_push_asks_nothing_that_was_not_said_and_an_older_daemon_would_refuse(
    daemon: FakeDaemon,
) -> None:
    daemon.then(answer(job()))
    assert main(["push", SOURCE, DESTINATION]) == 0
    assert daemon.received[0].json.keys().isdisjoint(("compress", "tags", "with_referrers"))


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_push_says_which_credential_is_to_be_used(daemon: FakeDaemon, more: list[str]) -> None:
    daemon.then(answer(PLAN if more else job()))
    assert main(["push", SOURCE, DESTINATION, "--credential", "ci", *more]) == 0
    assert daemon.received[0].json["credential"] == "ci"


def test_a_credential_file_that_is_broken_is_told_and_nothing_is_sent(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"s3cret')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert main(["push", SOURCE, DESTINATION]) == 6
    output, error = capsys.readouterr()
    assert output == ""
    assert str(tmp_path / "config.json") in error
    assert error.endswith(", or say --credential daemon\n")
    assert "s3cret" not in error
    assert daemon.received == []


def test_a_retry_hands_over_nothing_where_that_is_asked_for(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("broken")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    daemon.then(answer(job()))
    assert main(["retry", ID, "--credential", "daemon"]) == 0
    assert daemon.received[0].body == b""


def test_a_push_may_begin_some_time_from_now(daemon: FakeDaemon) -> None:
    daemon.then(answer(job(), status=202))
    before = datetime.now(UTC)
    assert main(["push", SOURCE, DESTINATION, "--not-before", "10m"]) == 0
    begins = datetime.fromisoformat(daemon.received[0].json["not_before"])
    assert timedelta(minutes=10) <= begins - before < timedelta(minutes=11)


def test_a_push_with_json_prints_the_job_as_one_object(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job(), status=202))
    assert main(["push", "--json", SOURCE, DESTINATION]) == 0
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert json.loads(output) == job()


def test_a_refused_push_says_why_and_exits_6(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(problem("source.layout_invalid", 422, "oci:/x\x1b[2J: is no layout", hint="look again"))
    assert main(["push", "oci:/x", DESTINATION]) == 6
    assert capsys.readouterr() == ("", "pushctl: oci:/x\ufffd[2J: is no layout; look again\n")


def test_without_a_daemon_it_says_where_it_looked_and_exits_3(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", SOURCE, DESTINATION]) == 3
    output, error = capsys.readouterr()
    assert output == ""
    assert str(path) in error
    assert "systemctl start pushd" in error


def test_a_waiting_push_tells_its_story_on_stderr_and_the_result_on_stdout(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer(job()), stream(*STORY), answer(job("succeeded", finished_at="2026-11-22T21:00:12Z")))
    assert main(["push", "--wait", SOURCE, DESTINATION]) == 0
    output, error = capsys.readouterr()
    assert output == f"{DESTINATION}@{DIGEST}\n"
    assert [line.partition(" ")[2] for line in error.splitlines()[:-1]] == ["job taken", "off it goes", "there it is"]
    assert error.splitlines()[-1] == f"job {ID} succeeded in 12s: 1 of 1 destination"


def test_a_waiting_push_with_json_prints_only_the_job_as_it_ended(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer(job()), stream(*STORY), answer(job("succeeded")))
    assert main(["push", "--wait", "--json", SOURCE, DESTINATION]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "succeeded"


def test_each_destination_that_failed_is_named_with_its_reason(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer(job()), stream(*STORY), answer(PARTIAL))
    assert main(["push", "--wait", SOURCE, DESTINATION]) == 5
    output, error = capsys.readouterr()
    assert output == f"{DESTINATION}@{DIGEST}\n"
    assert "mirror.example.net/app:1 failed: push access\ufffd[2J denied\n" in error
    assert error.splitlines()[-1] == f"job {ID} partial in 12s: 1 of 2 destinations"


def test_a_push_that_hears_the_daemon_restart_goes_on(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(
        hang_up, answer(job()), stream(*STORY[:2], broken=True), hang_up, stream(*STORY[2:]), answer(job("succeeded"))
    )
    assert main(["push", "--wait", SOURCE, DESTINATION]) == 0
    assert capsys.readouterr().err.count("off it goes") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["push"], "SOURCE, DESTINATION"),
        (["push", SOURCE], "DESTINATION"),
        (["push", SOURCE, DESTINATION, "--deadline", "soon"], "'soon' is not a duration"),
        (["push", SOURCE, DESTINATION, "--label", "x"], "'x' is not KEY=VALUE"),
        (["push", SOURCE, DESTINATION, "--priority", "high"], "high"),
        (["push", SOURCE, DESTINATION, "--not-before", "noon"], "'noon' is neither a time such as"),
        (["push", SOURCE, DESTINATION, "--not-before", "2026-12-24T20:00:00"], "is neither a time such as"),
        (["push", SOURCE, DESTINATION, "--if-tag", "latest"], "neither 'absent' nor a digest"),
        (["push", SOURCE, DESTINATION, "--platform", "arm64"], "'arm64' is not OS/ARCH[/VARIANT]"),
        (["push", SOURCE, DESTINATION, "--platform", "linux/arm64,"], "'' is not OS/ARCH[/VARIANT]"),
        (["push", SOURCE, DESTINATION, "--platform", "linux/arm/v7/x"], "is not OS/ARCH[/VARIANT]"),
        (["push", SOURCE, DESTINATION, "--tag", "team/app:1"], "'team/app:1' is no tag"),
        (["push", SOURCE, DESTINATION, "--tag", "-1"], "--tag"),
        (["push", SOURCE, DESTINATION, "--tag="], "'' is no tag"),
        (["push", SOURCE, DESTINATION, "--idempotency-key", ""], "1 to 255 printable"),
        (["push", "-", DESTINATION, "--dry-run"], "standard input cannot"),
        (["push", SOURCE, DESTINATION, "--credential", ""], "must not be empty"),
        (["pause"], "name jobs, or one registry"),
        (["resume", "one", "--registry", "r.example.com"], "name jobs, or one registry"),
        (["completion", "tcsh"], "tcsh"),
        (["jobs", "--label", "build"], "is not KEY=VALUE"),
        (["jobs", "--limit", "0"], "at least 1"),
        (["jobs", "--state", "lost"], "queued, running"),
        (["events", "--after", "-1"], "'-1' is not a number"),
        (["fly"], "fly"),
        ([], "COMMAND"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_command_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert re.search(rf"^examples?:\n  pushctl {verb}", output, re.MULTILINE)
    assert max(len(line) for line in output.splitlines()) <= 80


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"pushctl {__version__}\n"


@pytest.mark.parametrize("arguments", [["--socket", "{}", "status", "--json"], ["status", "--json", "--socket", "{}"]])
def test_the_socket_may_be_named_before_and_behind_the_command(
    arguments: list[str], daemon: FakeDaemon, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSHD_SOCKET", "/nowhere.sock")
    daemon.then(answer({}))
    assert main([argument.format(path) for argument in arguments]) == 0


# ------------------------------------------------------------------------------------------------ other verbs


def test_jobs_are_listed_in_columns(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer({"jobs": [job("running"), PARTIAL], "next": "more"}))
    assert main(["jobs", "--limit", "2"]) == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["JOB", "STATE", "AGE", "SIZE", "SOURCE", "DESTINATIONS"]
    assert first.split()[:2] == [ID, "running"]
    assert second.endswith(f"{DESTINATION} +1")


def test_jobs_with_json_are_an_object_each(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer({"jobs": [job("running"), PARTIAL], "next": None}))
    assert main(["jobs", "--json", "--state", "running", "--state", "partial"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [job("running"), PARTIAL]
    assert daemon.received[0].query["state"] == ["running", "partial"]


def test_a_job_is_shown_with_every_destination(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(PARTIAL), answer(PARTIAL))
    assert main(["show", ID]) == 0
    output = capsys.readouterr().out
    for words in (ID, "partial", SOURCE, DIGEST, "uid 1000", "build=4711", DESTINATION, "push access\ufffd[2J denied"):
        assert words in output
    assert main(["show", "--json", ID]) == 0
    assert json.loads(capsys.readouterr().out) == PARTIAL


def test_a_job_that_is_not_there_is_a_refusal(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(problem("request.not_found", 404, "job nope: there is none"))
    assert main(["show", "nope"]) == 6
    assert capsys.readouterr().err == "pushctl: job nope: there is none\n"


def test_wait_waits_for_all_and_says_how_they_ended(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job("succeeded")), answer(job("failed", delivery(state="failed", failure=FAILURE))))
    assert main(["wait", "one", "two"]) == 5
    output, error = capsys.readouterr()
    assert output == f"{DESTINATION}@{DIGEST}\n"
    assert f"{DESTINATION} failed: push access" in error
    assert [request.path for request in daemon.received] == ["/v1/jobs/one/wait", "/v1/jobs/two/wait"]


def test_wait_with_json_prints_each_job(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job("succeeded")), answer(job("cancelled")))
    assert main(["wait", "--json", "one", "two"]) == 5
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["succeeded", "cancelled"]


def test_watch_tells_the_story_on_stdout(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job("running")), stream(*STORY), answer(job("cancelled")))
    assert main(["watch", ID]) == 4
    output, error = capsys.readouterr()
    assert [line.partition(" ")[2] for line in output.splitlines()] == ["job taken", "off it goes", "there it is"]
    assert f"{DESTINATION} cancelled\n" in error


def test_watch_with_json_prints_the_events_and_last_the_job(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer(job("running")), stream(*STORY), answer(job("succeeded")))
    assert main(["watch", "--json", ID]) == 0
    *events, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events == STORY
    assert last == job("succeeded")


def test_watching_a_job_that_has_ended_does_not_wait_for_more(daemon: FakeDaemon) -> None:
    daemon.then(answer(job("succeeded")), stream(*STORY[:2]), answer(job("succeeded")))
    assert main(["watch", ID]) == 0
    assert daemon.received[1].query["follow"] == ["0"]


def test_watch_without_a_job_takes_the_newest_that_is_not_finished(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(
        answer({"jobs": [job("held"), job("queued", id="older")], "next": None}),
        stream(*STORY),
        answer(job("succeeded")),
    )
    assert main(["watch"]) == 0
    assert sorted(daemon.received[0].query["state"]) == ["held", "paused", "queued", "running"]
    assert daemon.received[1].query["job"] == [ID]


def test_watch_without_any_unfinished_job_says_so(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer({"jobs": [], "next": None}))
    assert main(["watch"]) == 0
    assert "nothing to watch" in capsys.readouterr().err


def test_cancel_says_what_became_of_the_job(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(job("cancelled")), answer(job("running")), answer(job("cancelled")))
    assert main(["cancel", "one", "two"]) == 0
    assert capsys.readouterr().out == f"job {ID} cancelled\njob {ID} is being stopped\n"
    assert main(["cancel", "--json", "one"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"


def test_events_are_numbered_lines_and_progress_is_left_out(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = event(None, "transfer.progress", done=5)
    clock = datetime.fromisoformat(STORY[0]["at"]).astimezone().strftime("%H:%M:%S")
    daemon.then(stream(STORY[0], progress), stream(STORY[0], progress))
    assert main(["events", "--after", "0", "--job", ID]) == 0
    assert capsys.readouterr().out.split() == ["1", clock, "job", "taken"]
    assert daemon.received[0].query == {"after": ["0"], "follow": ["0"], "job": [ID]}
    assert main(["events", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [STORY[0], progress]


def test_the_status_is_a_page_or_an_object(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(ADMINISTRATOR), answer(ADMINISTRATOR))
    assert main(["status"]) == 0
    output = capsys.readouterr().out
    for words in (
        "0.1.0, up 1h01m, process 7",
        "4 queued, 2 running, 1 held",
        "12.3 MB/s  123.0 MB",
        "deliveries 16",
    ):
        assert words in output
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ADMINISTRATOR


# ------------------------------------------------------------------------------------- leaving, and the shell


def test_a_plain_push_imports_nothing_that_is_slow(daemon: FakeDaemon, path: Path) -> None:
    daemon.then(answer(job()))
    slow = {"rich", "asyncio", "aiohttp", "msgspec", "ssl", "email", "http", "pathlib", "shutil", "uuid", "random"}
    slow |= {"pushd.credentials", "pushd.oci", "pushd.work", "base64", "subprocess", "getpass"}
    program = (
        "import sys; from pushd.ctl import main; code = main(sys.argv[1:]);"
        f"print(*sorted({slow} & sys.modules.keys())); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, "push", SOURCE, DESTINATION], check=True, capture_output=True, text=True
    )
    assert ran.stdout == f"{ID}\n\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_detaches_and_does_not_cancel(daemon: FakeDaemon, path: Path, how: signal.Signals) -> None:
    reached, gate = threading.Event(), threading.Event()
    daemon.then(answer(job()), gated(stream(*STORY), reached=reached, gate=gate))
    running = _start(path, "push", "--wait", SOURCE, DESTINATION)
    assert reached.wait(10)
    running.send_signal(how)
    output, error = running.communicate(timeout=10)
    gate.set()
    assert running.returncode == 8
    assert output == ""
    assert f"detached, {ID} not cancelled:\n`pushctl watch {ID}` comes back" in error
    assert "Traceback" not in error
    assert [request.method for request in daemon.received] == ["POST", "GET"]


def test_an_interrupted_wait_for_several_says_how_to_wait_for_the_rest(daemon: FakeDaemon, path: Path) -> None:
    reached, gate = threading.Event(), threading.Event()
    daemon.then(answer(job("succeeded")), gated(answer(job("succeeded")), reached=reached, gate=gate))
    running = _start(path, "wait", "one", "two", "three")
    assert reached.wait(10)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=10)
    gate.set()
    assert running.returncode == 8
    assert "`pushctl wait two three`" in error


def test_an_interrupt_before_the_answer_does_not_pretend_to_know(daemon: FakeDaemon, path: Path) -> None:
    reached, gate = threading.Event(), threading.Event()
    daemon.then(gated(answer(job()), reached=reached, gate=gate))
    running = _start(path, "push", SOURCE, DESTINATION)
    assert reached.wait(10)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=10)
    gate.set()
    assert running.returncode == 130
    assert "`pushctl jobs` shows" in error
    assert "Traceback" not in error


def test_a_reader_that_leaves_ends_the_command_quietly(daemon: FakeDaemon, path: Path) -> None:
    reached, gate = threading.Event(), threading.Event()
    daemon.then(gated(stream(*STORY * 3), reached=reached, gate=gate))
    running = _start(path, "events")
    assert running.stdout is not None
    assert reached.wait(10)
    running.stdout.close()
    gate.set()
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(10) == 141


@pytest.mark.parametrize("arguments", [["push", SOURCE, DESTINATION], ["show", "--json", ID], ["jobs"]])
def test_a_full_disk_behind_stdout_is_an_error_without_a_trace(
    daemon: FakeDaemon, path: Path, arguments: list[str]
) -> None:
    daemon.then(answer({"jobs": [job()], "next": None} if arguments == ["jobs"] else job()))
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        ran = subprocess.run(
            [sys.executable, "-m", "pushd.ctl", *arguments], check=False, stdout=full, stderr=subprocess.PIPE,
            text=True, env=_environment(),
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == "pushctl: No space left on device\n"


def test_a_locale_that_cannot_write_a_name_does_not_end_the_command(daemon: FakeDaemon, path: Path) -> None:
    daemon.then(answer(job(source="oci:/b\u00e4ume/\u4e16")))
    output, _ = _start(path, "show", ID, PYTHONIOENCODING="ascii", PYTHONUTF8="0").communicate(timeout=10)
    assert r"oci:/b\xe4ume/\u4e16" in output


def test_a_daemon_that_stays_away_is_told_with_the_way_back(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "Client", partial(Client, patience=0.2))
    with FakeDaemon(path, answer(job()), stream(STORY[0], broken=True)) as daemon:
        daemon.then(*[hang_up] * 8)
        assert main(["push", "--wait", SOURCE, DESTINATION]) == 3
        daemon._steps.clear()
    error = capsys.readouterr().err
    assert f"{ID} goes on when it is back: `pushctl watch {ID}`" in error


# --------------------------------------------------------------------------------------------------- dry runs


def test_a_dry_run_prints_the_plan_and_submits_nothing(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(PLAN))
    assert main(["push", "--dry-run", SOURCE, DESTINATION, "--if-tag", "absent", "--verify", "blobs"]) == 0
    output, error = capsys.readouterr()
    assert "1 blob      180.0 MB  would be sent" in output
    assert error == ""
    (request,) = daemon.received
    assert (request.method, request.path) == ("POST", "/v1/plan")
    assert (request.json["if_tag"], request.json["verify"]) == ("absent", "blobs")


def test_a_dry_run_with_json_prints_the_document(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer(PLAN))
    assert main(["push", "--dry-run", "--json", SOURCE, DESTINATION]) == 0
    assert json.loads(capsys.readouterr().out) == PLAN


def test_a_dry_run_in_which_one_destination_would_be_refused_exits_6(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer(plan(PUSH, destination("fail", failure=FAILURE))))
    assert main(["push", "--dry-run", SOURCE, DESTINATION, "other.example/app:1"]) == 6
    assert "would fail\n  why:  push access\ufffd[2J denied" in capsys.readouterr().out


# --------------------------------------------------------------------------------------- jobs, and steering them


def test_jobs_are_filtered_by_label_and_registry(daemon: FakeDaemon) -> None:
    daemon.then(answer({"jobs": [], "next": None}))
    typed = ["--label", "build=4711", "--label", "team=a", "--registry", "registry.example.com:5000"]
    assert main(["jobs", *typed]) == 0
    query = daemon.received[0].query
    assert query["label"] == ["build=4711", "team=a"]
    assert query["registry"] == ["registry.example.com:5000"]


def test_the_finished_job_is_one_document_with_each_destination_and_its_digest(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    done = job(
        "succeeded", delivery(1, DESTINATION, "succeeded", digest=DIGEST),
        delivery(2, "mirror.example.net/app:1", "succeeded", digest=DIGEST), finished_at="2026-11-22T21:00:12Z",
    )  # fmt: skip
    daemon.then(answer(done))
    assert main(["show", "--json", ID]) == 0
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert {(one["destination"], one["digest"]) for one in json.loads(output)["deliveries"]} == {
        (DESTINATION, DIGEST),
        ("mirror.example.net/app:1", DIGEST),
    }


def test_a_failed_destination_is_told_with_what_to_do_next(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer(PARTIAL))
    assert main(["wait", ID]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("  next: ask for the right to push there")
    assert f"`pushctl retry {ID}`" in lines[1]


@pytest.mark.parametrize(
    ("verb", "states", "words"),
    [
        ("pause", ["paused", "running"], ["is paused", "is being paused"]),
        ("resume", ["queued", "held"], ["goes on: queued", "goes on: held"]),
        ("retry", ["queued", "running"], ["is queued", "is running"]),
    ],
)
def test_jobs_are_steered_one_by_one(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], verb: str, states: list[str], words: list[str]
) -> None:
    daemon.then(*(answer(job(state)) for state in states), answer(job(states[0])))
    assert main([verb, "one", "two"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"job {ID} {word}" for word in words]
    assert main([verb, "--json", "one"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == states[0]
    assert [(request.method, request.path) for request in daemon.received[:2]] == [
        ("POST", f"/v1/jobs/one/{verb}"),
        ("POST", f"/v1/jobs/two/{verb}"),
    ]


def test_a_job_that_cannot_be_steered_is_a_refusal(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(problem("request.state", 409, f"job {ID}: has ended"))
    assert main(["pause", ID]) == 6
    assert capsys.readouterr().err == f"pushctl: job {ID}: has ended\n"


def test_everything_that_goes_to_a_registry_is_cancelled(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer({"registry": "registry.example.com", "cancelled": 2, "stopping": 1}))

    assert main(["cancel", "--registry", "registry.example.com"]) == 0

    assert daemon.received[0].path == "/v1/registries/registry%2Eexample%2Ecom/cancel"
    assert capsys.readouterr().out == "2 deliveries to registry.example.com cancelled, 1 are being stopped\n"


def test_a_registry_is_paused_and_resumed(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    paused = {"registry": "registry.example.com", "paused_since": "2026-11-22T21:00:00Z"}
    served = {**paused, "paused_since": None}
    daemon.then(answer(paused), answer(served), answer(paused))
    assert main(["pause", "--registry", "registry.example.com"]) == 0
    assert capsys.readouterr().out.startswith("registry.example.com is paused since 2026-11-22 ")
    assert main(["resume", "--registry", "registry.example.com"]) == 0
    assert capsys.readouterr().out == "registry.example.com is served\n"
    assert main(["pause", "--json", "--registry", "registry.example.com"]) == 0
    assert json.loads(capsys.readouterr().out) == paused
    assert [request.path.rpartition("/")[2] for request in daemon.received] == ["pause", "resume", "pause"]


def test_only_an_administrator_pauses_a_registry(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(problem("request.forbidden", 403, "registry.example.com: only administrators may"))
    assert main(["pause", "--registry", "registry.example.com"]) == 6
    assert "only administrators may" in capsys.readouterr().err


def test_watching_a_job_that_was_retried_goes_on_after_its_first_end(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [event(5, "job.retried", "once more"), event(6, "delivery.started", "off again", delivery=1)]
    daemon.then(
        answer(job("running")), stream(*STORY), answer(job("running")), stream(*again, event(7, "job.finished")),
        answer(job("succeeded")),
    )  # fmt: skip
    assert main(["watch", ID]) == 0
    told = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert told[-2:] == ["once more", "off again"]
    assert daemon.received[3].query["after"] == ["4"]
