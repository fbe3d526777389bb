"""The metrics as Prometheus reads them, in both of its forms, read back with parsers of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from pushd.errors import Code, StoreError
from pushd.telemetry.exposition import Metrics
from pushd.telemetry.metrics import Meter
from pushd.telemetry.standing import AtRegistry, Standing, together

if TYPE_CHECKING:
    from collections.abc import Mapping

A = AtRegistry(
    states={"queued": 3, "running": 1}, needing=1, age=90.5, uploads=2, sent=1000, rate=10, throttled=4.5, paused=True
)
B = AtRegistry(states={"queued": 4, "held": 5}, needing=2, age=200.0, uploads=1, sent=500, rate=20, throttled=1.0)
STANDING = Standing(
    registries={"a.test": A, "b.test": B, "c.test": B},
    spool=1,
    database=2,
    free=3,
    refusing=("spool",),
    streams=4,
)
EXPECTED = {
    "pushd_build_info", "pushd_start_time_seconds", "pushd_deliveries", "pushd_deliveries_needing_credential",
    "pushd_oldest_job_age_seconds", "pushd_jobs_submitted_total", "pushd_jobs_finished_total",
    "pushd_deliveries_finished_total", "pushd_delivery_seconds_bucket", "pushd_delivery_seconds_count",
    "pushd_delivery_seconds_sum", "pushd_transfers_finished_total", "pushd_sent_bytes_total", "pushd_send_rate_bytes",
    "pushd_uploads_running", "pushd_upload_restarts_total", "pushd_registry_commit_seconds_bucket",
    "pushd_registry_commit_seconds_count", "pushd_registry_commit_seconds_sum", "pushd_store_commit_seconds_bucket",
    "pushd_store_commit_seconds_count", "pushd_store_commit_seconds_sum", "pushd_registry_throttled_seconds",
    "pushd_registry_paused", "pushd_spool_bytes", "pushd_database_bytes", "pushd_disk_free_bytes",
    "pushd_disk_refusing", "pushd_event_streams", "pushd_log_events_total", "pushd_process_cpu_seconds_total",
    "pushd_process_max_fds", "pushd_process_open_fds", "pushd_process_resident_memory_bytes",
    "pushd_process_virtual_memory_bytes",
}  # fmt: skip
"""Every series there is when nothing has happened yet."""


async def stands() -> Standing:
    return STANDING


async def read(
    *registries: str, openmetrics: bool = False, standing: Standing = STANDING
) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every series, by its name and its labels."""

    async def stand() -> Standing:
        return standing

    text = (await Metrics(Meter(registries), stand).exposition(openmetrics=openmetrics)).decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in (read_openmetrics if openmetrics else read_text)(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), f"{sample.name} is told twice"
            found[sample.name][labels] = sample.value
    return found


def by(label: str, samples: Mapping[tuple[tuple[str, str], ...], float]) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in samples.items()}


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
async def test_every_metric_is_there_from_the_start_and_no_other(*, openmetrics: bool) -> None:
    assert (await read(openmetrics=openmetrics)).keys() == EXPECTED


async def test_openmetrics_has_its_end() -> None:
    text = await Metrics(Meter([]), stands).exposition(openmetrics=True)

    assert text.endswith(b"\n# EOF\n")


async def test_each_configured_registry_stands_for_itself_and_the_others_together() -> None:
    found = await read("a.test", "quiet.test")

    assert by("registry", found["pushd_oldest_job_age_seconds"]) == {"a.test": 90.5, "quiet.test": 0, "other": 200}
    assert by("registry", found["pushd_deliveries_needing_credential"]) == {"a.test": 1, "quiet.test": 0, "other": 4}
    assert by("registry", found["pushd_uploads_running"]) == {"a.test": 2, "quiet.test": 0, "other": 2}
    assert by("registry", found["pushd_sent_bytes_total"]) == {"a.test": 1000, "quiet.test": 0, "other": 1000}
    assert by("registry", found["pushd_send_rate_bytes"]) == {"a.test": 10, "quiet.test": 0, "other": 40}
    assert by("registry", found["pushd_registry_throttled_seconds"]) == {"a.test": 4.5, "quiet.test": 0, "other": 1}
    assert by("registry", found["pushd_registry_paused"]) == {"a.test": 1, "quiet.test": 0, "other": 0}


async def test_deliveries_are_told_in_every_state_they_can_wait_in() -> None:
    deliveries = (await read("a.test"))["pushd_deliveries"]

    assert {(dict(labels)["registry"], dict(labels)["state"]): value for labels, value in deliveries.items()} == {
        ("a.test", "queued"): 3,
        ("a.test", "running"): 1,
        ("a.test", "held"): 0,
        ("a.test", "paused"): 0,
        ("other", "queued"): 8,
        ("other", "running"): 0,
        ("other", "held"): 10,
        ("other", "paused"): 0,
    }


async def test_the_daemon_itself_is_told() -> None:
    found = await read()

    assert found["pushd_spool_bytes"] == {(): 1}
    assert found["pushd_database_bytes"] == {(): 2}
    assert found["pushd_disk_free_bytes"] == {(): 3}
    assert found["pushd_event_streams"] == {(): 4}
    assert by("what", found["pushd_disk_refusing"]) == {"spool": 1, "jobs": 0}


async def test_a_store_that_cannot_be_read_is_no_empty_answer() -> None:
    async def stand() -> Standing:
        raise StoreError(Code.STORE_UNAVAILABLE, "", "the store is closed")

    with pytest.raises(StoreError):
        await Metrics(Meter([]), stand).exposition(openmetrics=False)


def test_registries_together_are_as_old_and_as_throttled_as_the_worst_of_them() -> None:
    assert together([A, B]) == AtRegistry(
        states={"queued": 7, "running": 1, "held": 5},
        needing=3,
        age=200.0,
        uploads=3,
        sent=1500,
        rate=30,
        throttled=4.5,
        paused=True,
    )
    assert together([]) == AtRegistry()
