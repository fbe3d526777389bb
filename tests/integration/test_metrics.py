"""The metrics of a real daemon: what an operator's Prometheus sees of pushes that go well and of those that do not."""

from __future__ import annotations

import http.client
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.fakes.faults import CutBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.integration.daemon import Daemon
from tests.integration.parts import run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon

MIB = 1 << 20
NOBODY = "127.0.0.1:1"
"""A registry that is not there."""

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by name and labels."""


@pytest.fixture
def port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Daemon]:
    """Everything a daemon needs, none running."""
    directory = tmp_path / "idle"
    directory.mkdir()
    daemon = Daemon(directory)
    yield daemon
    daemon.discard()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[6 * MIB, 5000])])


def config(port: int, *registries: str, attempts: int = 2) -> str:
    tables = "".join(f'[registries."{registry}"]\n' for registry in registries)
    return f'[metrics]\nlisten = "127.0.0.1:{port}"\n[limits]\nattempts = {attempts}\n{tables}'


def asked(port: int, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
    """Ask over TCP; give the status, the content type and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.headers["Content-Type"], reply.read().decode()
    finally:
        connection.close()


def series(text: str, *, openmetrics: bool = False) -> Series:
    families = (read_openmetrics if openmetrics else read_text)(text)
    return {
        (sample.name.removeprefix("pushd_"), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


class Scrape:
    """What was read of a daemon at one time."""

    def __init__(self, port: int) -> None:
        status, _, text = asked(port)
        assert status == 200, text
        self.found = series(text)

    def value(self, name: str, **labels: str) -> float:
        return self.found[name, frozenset(labels.items())]

    def labelled(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for known, labels in self.found if known == name]


def test_a_push_is_seen_from_its_submission_to_its_success(
    start_daemon: StartDaemon, served: FakeRegistry, layout: Layout, port: int
) -> None:
    name = served.address
    daemon = start_daemon(config(port, name))
    before = Scrape(port)
    job = daemon.submit(f"oci:{layout.path}:1", f"{name}/team/app:1", f"{name}/team/other:1")
    assert daemon.wait(job)["state"] == "succeeded"
    after = Scrape(port)

    assert before.value("jobs_submitted_total") == before.value("jobs_finished_total", state="succeeded") == 0
    assert after.value("jobs_submitted_total") == after.value("jobs_finished_total", state="succeeded") == 1
    assert after.value("deliveries_finished_total", registry=name, state="succeeded") == 2
    assert after.value("delivery_seconds_count", registry=name) == 2
    uploaded = after.value("transfers_finished_total", registry=name, state="uploaded")
    assert uploaded == after.value("registry_commit_seconds_count", registry=name) >= 3
    assert after.value("sent_bytes_total", registry=name) > 6 * MIB
    assert after.value("last_success_timestamp_seconds", registry=name) >= after.value("start_time_seconds")
    assert after.value("store_commit_seconds_count") > before.value("store_commit_seconds_count")
    assert {state["state"] for state in after.labelled("deliveries") if after.value("deliveries", **state)} == set()
    assert after.value("log_events_total", level="info") > before.value("log_events_total", level="info")
    assert after.value("log_events_total", level="error") == 0


def test_what_goes_wrong_on_the_way_is_seen_with_its_reason(
    start_daemon: StartDaemon, served: FakeRegistry, layout: Layout, port: int
) -> None:
    served.misbehave(CutBody(after=MIB // 2), kind=Kind.CHUNK)
    daemon = start_daemon(config(port, served.address, NOBODY))
    ends = [daemon.submit(f"oci:{layout.path}:1", f"{name}/team/app:1") for name in (served.address, NOBODY)]
    assert [daemon.wait(job)["state"] for job in ends] == ["succeeded", "failed"]
    scrape = Scrape(port)

    assert scrape.value("upload_interruptions_total", registry=served.address, code="registry.interrupted") >= 1
    assert scrape.value("holds_total", registry=NOBODY, code="registry.unreachable") == 1
    assert scrape.value("deliveries_finished_total", registry=NOBODY, state="failed") == 1
    assert scrape.value("delivery_seconds_count", registry=NOBODY) == 0
    assert {"registry": NOBODY} not in scrape.labelled("last_success_timestamp_seconds")


def test_what_waits_is_seen_by_registry_and_those_without_a_table_as_one(
    start_daemon: StartDaemon, served: FakeRegistry, layout: Layout, port: int
) -> None:
    daemon = start_daemon(config(port, served.address))
    for name in (served.address, NOBODY, "127.0.0.1:2"):
        assert daemon.request("POST", f"/v1/registries/{name}/pause").status == 200
        daemon.submit(f"oci:{layout.path}:1", f"{name}/team/app:1")
    scrape = Scrape(port)

    assert scrape.value("deliveries", registry=served.address, state="queued") == 1
    assert scrape.value("deliveries", registry="other", state="queued") == 2
    assert scrape.value("registry_paused", registry=served.address) == 1
    assert 0 <= scrape.value("oldest_job_age_seconds", registry="other") < 60
    assert {labels["registry"] for labels in scrape.labelled("deliveries")} == {served.address, "other"}


def test_a_new_life_counts_from_nothing_and_sees_what_is_left(
    start_daemon: StartDaemon, served: FakeRegistry, layout: Layout, port: int
) -> None:
    daemon = start_daemon(config(port, served.address))
    assert daemon.wait(daemon.submit(f"oci:{layout.path}:1", f"{served.address}/team/app:1"))["state"] == "succeeded"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    daemon.submit(f"oci:{layout.path}:1", f"{served.address}/team/app:2", not_before=tomorrow)
    daemon.kill()
    daemon.start(config(port, served.address))
    scrape = Scrape(port)

    assert scrape.value("jobs_submitted_total") == 0
    assert scrape.value("deliveries_finished_total", registry=served.address, state="succeeded") == 0
    assert scrape.value("deliveries", registry=served.address, state="held") == 1
    assert scrape.value("oldest_job_age_seconds", registry=served.address) == 0
    assert scrape.labelled("last_success_timestamp_seconds") == []


def test_the_socket_and_the_port_tell_the_same_in_both_forms(start_daemon: StartDaemon, port: int) -> None:
    daemon = start_daemon(config(port))
    openmetrics = "application/openmetrics-text; version=1.0.0"
    answers = [
        (answer.status, answer.headers["Content-Type"], answer.body)
        for answer in (daemon.request("GET", "/v1/metrics"), daemon.request("GET", "/v1/metrics", Accept=openmetrics))
    ] + [asked(port), asked(port, Accept=openmetrics)]

    assert [status for status, _, _ in answers] == [200] * 4
    assert [kind.partition(";")[0] for _, kind, _ in answers] == ["text/plain", "application/openmetrics-text"] * 2
    names = [{name for name, _ in series(text, openmetrics="openmetrics" in kind)} for _, kind, text in answers]
    assert names[0] == names[1] == names[2] == names[3]
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= names[0]


def test_the_port_serves_nothing_else(start_daemon: StartDaemon, port: int) -> None:
    daemon = start_daemon(config(port))
    before = daemon.request("GET", "/v1/jobs").body["jobs"]

    for method, path, status in (
        ("POST", "/v1/jobs", 404),
        ("GET", "/v1/status", 404),
        ("GET", "/", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
    ):
        assert asked(port, method, path)[0] == status
    assert before == daemon.request("GET", "/v1/jobs").body["jobs"] == []


def listening(pid: int) -> list[str]:
    """Give the TCP addresses a process listens on, as proc_pid_net(5) has them."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile: it was no such socket
            own.add(str(descriptor.readlink()))
    tables = [Path(f"/proc/{pid}/net/{family}").read_text() for family in ("tcp", "tcp6")]
    sockets = [line.split() for table in tables for line in table.splitlines()]
    return [fields[1] for fields in sockets if fields[3] == "0A" and f"socket:[{fields[9]}]" in own]


def test_a_port_is_opened_where_the_configuration_says_so_and_nowhere_else(
    start_daemon: StartDaemon, port: int
) -> None:
    daemon = start_daemon()
    assert listening(daemon.pid) == []
    assert daemon.request("GET", "/v1/metrics").status == 200
    daemon.terminate()
    daemon.start(config(port))
    assert listening(daemon.pid) == [f"0100007F:{port:04X}"]


def test_a_port_that_is_taken_keeps_the_daemon_from_starting_with_one_clear_line(idle: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "taken.toml"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        file.write_text(config(port))
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pushd",
            "--config",
            file,
            "--socket",
            idle.socket,
            "--state-dir",
            idle.state,
        ]
        ended = run(*command, environment=idle.environment, timeout=30)

    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"pushd: 127.0.0.1:{port}: cannot be listened on for metrics (Address already in use)"
    )
    assert ended.stderr.count("\n") == 1
    assert not idle.state.exists()


def test_a_port_is_served_again_by_the_next_life_at_once(start_daemon: StartDaemon, port: int) -> None:
    daemon = start_daemon(config(port))
    with socket.create_connection(("127.0.0.1", port)) as lingering:
        lingering.sendall(b"GET /met")
        wait_until(lambda: asked(port)[0] == 200, "others are served meanwhile")
        assert daemon.terminate() == 0
        daemon.start(config(port))

    assert asked(port)[0] == 200
