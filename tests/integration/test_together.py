"""Tags that move together, from one daemon to both real registries and a third that is slow, refuses or is down."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.faults import Answer, SlowBody, Stall
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.integration.conftest import NAMES
from tests.integration.parts import RealRegistry, assert_identical, read_back, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon

MIB = 1 << 20
APP = "team/app"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Sequence[RealRegistry]]:
    """Give both real registries at once, empty."""
    registries = []
    with ExitStack() as ending:
        for tool, name in NAMES.items():
            directory = tmp_path / name
            directory.mkdir()
            real = RealRegistry(name, tool.find(), directory)
            ending.callback(real.stop)
            real.start()
            registries.append(real)
        yield registries
    for real in registries:
        print(f"--- the end of {real.log}:\n{tail(real.log)}")  # noqa: T201 (pytest shows it with a failure)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Give an index of two platforms, of some megabytes."""
    spec = ImageSpec(tag="1.4", layers=[4 * MIB, 1000], platforms=["linux/amd64", "linux/arm64"])
    return build_layout(tmp_path / "app", [spec])


def submit(daemon: Daemon, layout: Layout, *places: RealRegistry | FakeRegistry, **more: object) -> str:
    destinations = [f"{place.address}/{APP}:1.4" for place in places]
    return daemon.submit(f"oci:{layout.path}:1.4", *destinations, tags="together", **more)


def ready(daemon: Daemon, job_id: str) -> int:
    """How many destinations wait for the others."""
    return sum(one["ready"] and one["state"] == "held" for one in daemon.job(job_id)["deliveries"])


def moved(both: Sequence[RealRegistry]) -> list[set[str]]:
    return [real.tags(APP) for real in both]


def check_there(both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, directory: Path) -> None:
    """Check that all three have the image under its tag."""
    assert served.repository(APP).tags == {"1.4": str(layout.image.digest)}
    for real in both:
        copy = read_back(f"{real.address}/{APP}:1.4", directory / f"{real.name}-back")
        assert_identical(layout, layout.image, copy)


def test_no_tag_moves_while_one_destination_is_slow_and_then_all_do(
    daemon: Daemon, both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    served.misbehave(SlowBody(rate=MIB), kind=Kind.COMMIT, times=None)
    job_id = submit(daemon, layout, *both, served)
    wait_until(lambda: ready(daemon, job_id) == 2, "both are ready", pause=0.01)
    assert moved(both) == [set(), set()]
    for real in both:  # by its digest it is there
        read_back(f"{real.address}/{APP}@{layout.image.digest}", tmp_path / f"{real.name}-early")
    shown = daemon.ctl("show", job_id).stdout
    assert shown.count("ready; waits for 1 other") == 2
    job = daemon.wait(job_id)
    assert (job["state"], job["ready_at"] is not None) == ("succeeded", True)
    check_there(both, served, layout, tmp_path)
    assert len(daemon.events("delivery.ready")) == 3
    (decided,) = daemon.events("job.ready")
    assert decided["destinations"] == 3


def test_where_one_refuses_nothing_moves_and_a_retry_moves_all_and_sends_nothing_again(
    daemon: Daemon, both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    served.misbehave(Answer(status=403), kind=Kind.OPEN)
    places = [f"{address}/{APP}:1.4" for address in (*(real.address for real in both), served.address)]
    arguments = ("push", f"oci:{layout.path}:1.4", *places, "--tags", "together", "--wait", "--json")
    pushed = daemon.ctl(*arguments)
    failed = json.loads(pushed.stdout)
    assert pushed.returncode == 1
    assert [one["failure"]["code"] for one in failed["deliveries"]] == [
        "request.together", "request.together", "registry.denied",
    ]  # fmt: skip
    assert all(places[2] in one["failure"]["message"] for one in failed["deliveries"][:2])
    assert f"`pushctl retry {failed['id']}`" in pushed.stderr
    assert moved(both) == [set(), set()]
    sent = [_sent(failed, position) for position in range(2)]

    assert daemon.ctl("retry", failed["id"]).returncode == 0
    job = daemon.wait(failed["id"])
    assert job["state"] == "succeeded"
    check_there(both, served, layout, tmp_path)
    again = [_sent(job, position) for position in range(2)]
    size = sum(blob.size for blob in layout.image.blobs)
    assert [was + now for was, now in zip(sent, again, strict=True)] == [size] * 2


def _sent(job: Any, position: int) -> int:
    """Bytes that went over the wire to one destination, in its last attempt that sent any."""
    return sum(transfer["sent"] for transfer in job["deliveries"][position]["transfers"])


def test_one_that_is_down_is_waited_for(
    daemon: Daemon, both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    both[1].stop()
    job_id = submit(daemon, layout, *both, served)
    wait_until(lambda: ready(daemon, job_id) == 2, "the others are ready", pause=0.01)
    assert (both[0].tags(APP), served.repository(APP).tags) == (set(), {})
    both[1].start()
    assert daemon.wait(job_id)["state"] == "succeeded"
    check_there(both, served, layout, tmp_path)


# ------------------------------------------------------------------------------------------------------------- kill -9


def test_a_daemon_killed_before_all_are_ready_goes_on_and_moves_all(
    daemon: Daemon, both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    stalled = served.misbehave(Stall(), kind=Kind.OPEN, times=None)
    job_id = submit(daemon, layout, *both, served)
    wait_until(lambda: ready(daemon, job_id) == 2 and stalled.acted > 0, "both are ready", pause=0.01)
    daemon.kill()
    assert moved(both) == [set(), set()]
    stalled.times = 0
    daemon.start()
    job = daemon.wait(job_id)
    assert job["state"] == "succeeded"
    assert [one["attempt"] for one in job["deliveries"]] == [2, 2, 3], "what was ready was so still"
    check_there(both, served, layout, tmp_path)


def test_a_daemon_killed_after_the_decision_and_before_any_tag_moved_moves_all(
    daemon: Daemon, both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    served.misbehave(SlowBody(rate=MIB), kind=Kind.COMMIT, times=None)
    # Asked for its tag, and read back by its digest; then its tag is to move, and it is asked for again.
    stalled = served.misbehave(Stall(), kind=Kind.MANIFEST, method="HEAD", nth=3)
    job_id = submit(daemon, layout, *both, served)
    wait_until(lambda: ready(daemon, job_id) == 2, "both are ready", pause=0.01)
    for real in both:
        real.pause()
    wait_until(lambda: daemon.job(job_id)["ready_at"] is not None, "all are ready", pause=0.01, seconds=30)
    wait_until(lambda: stalled.acted > 0, "the tags begin to move", pause=0.01)
    daemon.kill()
    for real in both:
        real.resume()
    assert (moved(both), served.repository(APP).tags) == ([set(), set()], {})
    daemon.start()
    assert daemon.wait(job_id)["state"] == "succeeded"
    check_there(both, served, layout, tmp_path)
    assert len(daemon.events("job.ready")) == 1


def test_a_daemon_killed_after_some_tags_moved_moves_the_others(
    daemon: Daemon, both: Sequence[RealRegistry], served: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    # The manifests of two platforms and the index by their digests, then the tag.
    stalled = served.misbehave(Stall(), kind=Kind.MANIFEST, method="PUT", nth=4)
    job_id = submit(daemon, layout, *both, served)
    wait_until(lambda: moved(both) == [{"1.4"}] * 2 and stalled.acted > 0, "both have moved", pause=0.01)
    assert served.repository(APP).tags == {}
    daemon.kill()
    daemon.start()
    assert daemon.wait(job_id)["state"] == "succeeded"
    check_there(both, served, layout, tmp_path)


def test_however_often_the_daemon_is_killed_no_tag_moves_before_it_is_decided_and_in_the_end_all_have(
    daemon: Daemon, both: Sequence[RealRegistry], layout: Layout, tmp_path: Path
) -> None:
    places = [f"{real.address}/{APP}" for real in both]
    jobs = {
        tag: daemon.submit(f"oci:{layout.path}:1.4", *(f"{place}:{tag}" for place in places), tags="together")
        for tag in map(str, range(6))
    }
    daemon.kill()
    chance, lives = random.Random(7), 0
    while any(set(jobs) - tags for tags in moved(both)):
        daemon.launch()
        time.sleep(chance.uniform(0.4, 1.0) + lives / 30)  # on a slow machine it begins to work later
        daemon.kill()
        decided = _decided(daemon.state / "pushd.db")
        for tag, job_id in jobs.items():
            assert job_id in decided or not any(tag in tags for tags in moved(both)), (lives, tag)
        lives += 1
        assert lives < 100, "it gets nowhere"
    daemon.start()
    for tag, job_id in jobs.items():
        assert daemon.wait(job_id)["state"] == "succeeded"
        for number, place in enumerate(places):
            assert_identical(layout, layout.image, read_back(f"{place}:{tag}", tmp_path / f"back-{tag}-{number}"))
    decided_once = [event["job"] for event in daemon.events("job.ready")]
    assert len(decided_once) == len(set(decided_once))


def _decided(database: Path) -> set[str]:
    """Read which jobs' tags move, as a daemon that was killed has left it written."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {job_id for (job_id,) in connection.execute("SELECT id FROM jobs WHERE ready_at IS NOT NULL")}
