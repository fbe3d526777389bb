"""Much at once, and long: what a long-lived service must bear. Figures are bounds, not measurements."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.fakes.faults import SlowBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.integration.parts import assert_identical, read_back

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

MIB = 1 << 20


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_gigabyte_arrives_byte_for_byte_in_little_memory(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[128 * MIB] * 8)])
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", destination), 180)
    assert job["state"] == "succeeded", job
    assert daemon.memory().peak < 150 * MIB
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_fifty_jobs_at_once_all_end_in_parallel_up_to_the_limits(
    start_daemon: StartDaemon, served: FakeRegistry, tmp_path: Path
) -> None:
    daemon = start_daemon("[limits]\nuploads_per_registry = 4\nsmall_uploads_per_registry = 4\n")
    specs = [ImageSpec(tag=f"t{number}", layers=[2 * MIB, 70_000], seed=f"{number}") for number in range(50)]
    layout = build_layout(tmp_path / "app", specs)
    served.misbehave(SlowBody(rate=8 * MIB), kind=Kind.COMMIT, times=None)  # long enough to be under way together

    def submit(number: int) -> str:
        return daemon.submit(f"oci:{layout.path}:t{number}", f"{served.address}/team/app{number % 10}:t{number}")

    with ThreadPoolExecutor(16) as submitters:
        jobs = list(submitters.map(submit, range(50)))
    ended = [daemon.wait(job_id, 120) for job_id in jobs]
    assert [job["state"] for job in ended] == ["succeeded"] * 50
    assert 4 <= served.peak_uploads <= 8, "four large ones and four small ones at once, and no more"
    assert daemon.memory().peak < 150 * MIB
    assert len({job["id"] for job in ended}) == 50
    assert len(daemon.events("job.finished")) == 50


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_upload_of_more_than_five_minutes_is_not_cut_off(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[32 * MIB])])
    served.misbehave(SlowBody(rate=100 * 1024), kind=Kind.CHUNK)
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4"), 500)
    assert job["state"] == "succeeded", job
    chunk = served.seen(Kind.CHUNK)[0]
    assert chunk.finished is not None
    assert chunk.finished - chunk.started > 300
    assert not daemon.events("blob.upload.interrupted")
