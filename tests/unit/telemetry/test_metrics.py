"""What is told is counted once, under labels of which there are only so many."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pushd import __version__
from pushd.errors import Code
from pushd.job import DeliveryState, JobState
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_FAILED,
    DELIVERY_HELD,
    DELIVERY_SUCCEEDED,
    DELIVERY_SUPERSEDED,
    JOB_FINISHED,
    JOB_PROGRESS,
    JOB_SUBMITTED,
    LIBRARY_FAILURE,
    TRANSFER_FINISHED,
    UPLOAD_COMMITTED,
    UPLOAD_INTERRUPTED,
    UPLOAD_RESTARTED,
    Event,
    Level,
)
from pushd.telemetry.metrics import Meter

if TYPE_CHECKING:
    from pushd.telemetry.events import Kind, Value

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
KNOWN = "registry.example.com"


@pytest.fixture
def meter() -> Meter:
    return Meter([KNOWN, "localhost:5000"])


def told(kind: Kind, registry: str = KNOWN, **fields: Value) -> Event:
    """An event about a delivery, as the rooms tell it."""
    about = {"registry": registry} if "registry" in kind.fields else {}
    return Event(kind, NOON, job="a", delivery=1, fields={**about, **fields})


def value(meter: Meter, name: str, **labels: str) -> float | None:
    return meter.collectors.get_sample_value(f"pushd_{name}", labels)


def series(meter: Meter, name: str) -> dict[tuple[str, ...], float]:
    """All series of one name, by the values of their labels in the order of their names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for metric in meter.collectors.collect()
        for sample in metric.samples
        if sample.name == f"pushd_{name}"
    }


def test_jobs_are_counted_as_they_come_and_by_how_they_end(meter: Meter) -> None:
    meter.hear(told(JOB_SUBMITTED))
    meter.hear(told(JOB_SUBMITTED))
    meter.hear(told(JOB_FINISHED, state="partial"))

    assert value(meter, "jobs_submitted_total") == 2
    assert value(meter, "jobs_finished_total", state="partial") == 1
    assert series(meter, "jobs_finished_total").keys() == {(state.value,) for state in JobState if state.terminal}


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (DELIVERY_SUCCEEDED, DeliveryState.SUCCEEDED),
        (DELIVERY_SUPERSEDED, DeliveryState.SUPERSEDED),
        (DELIVERY_FAILED, DeliveryState.FAILED),
        (DELIVERY_CANCELLED, DeliveryState.CANCELLED),
    ],
)
def test_deliveries_are_counted_by_how_they_end(meter: Meter, kind: Kind, state: DeliveryState) -> None:
    meter.hear(told(kind, seconds=3.0))

    counted = {labels: count for labels, count in series(meter, "deliveries_finished_total").items() if count}
    assert counted == {(KNOWN, state.value): 1}


def test_a_delivery_that_failed_because_of_another_is_no_failure_of_its_registry(meter: Meter) -> None:
    meter.hear(told(DELIVERY_FAILED, code="request.together"))

    counted = {labels: count for labels, count in series(meter, "deliveries_finished_total").items() if count}
    assert counted == {(KNOWN, "given_up"): 1}


def test_only_a_success_says_how_long_a_delivery_takes_and_when_one_went_well(meter: Meter) -> None:
    for kind in (DELIVERY_FAILED, DELIVERY_CANCELLED, DELIVERY_SUPERSEDED):
        meter.hear(told(kind, seconds=500.0))
    assert value(meter, "delivery_seconds_count", registry=KNOWN) == 0
    assert series(meter, "last_success_timestamp_seconds") == {}

    meter.hear(told(DELIVERY_SUCCEEDED, seconds=7.0))

    assert value(meter, "delivery_seconds_sum", registry=KNOWN) == 7
    assert value(meter, "delivery_seconds_bucket", registry=KNOWN, le="5.0") == 0
    assert value(meter, "delivery_seconds_bucket", registry=KNOWN, le="10.0") == 1
    assert series(meter, "last_success_timestamp_seconds") == {(KNOWN,): NOON.timestamp()}


def test_blobs_are_counted_by_what_became_of_them(meter: Meter) -> None:
    for state in ("uploaded", "uploaded", "mounted"):
        meter.hear(told(TRANSFER_FINISHED, state=state))

    assert series(meter, "transfers_finished_total") == {
        (registry, state): {"uploaded": 2, "mounted": 1}.get(state, 0) if registry == KNOWN else 0
        for registry in (KNOWN, "localhost:5000", "other")
        for state in ("uploaded", "mounted", "present", "failed")
    }


def test_what_went_wrong_on_the_way_is_counted_by_its_code(meter: Meter) -> None:
    meter.hear(told(DELIVERY_HELD, code=str(Code.REGISTRY_THROTTLED)))
    meter.hear(told(UPLOAD_INTERRUPTED, code=str(Code.REGISTRY_STALLED)))
    meter.hear(told(UPLOAD_RESTARTED))

    assert series(meter, "holds_total") == {("registry.throttled", KNOWN): 1}
    assert series(meter, "upload_interruptions_total") == {("registry.stalled", KNOWN): 1}
    assert value(meter, "upload_restarts_total", registry=KNOWN) == 1


def test_a_delivery_that_was_asked_to_begin_later_is_not_held_back(meter: Meter) -> None:
    meter.hear(told(DELIVERY_HELD, code=None))

    assert series(meter, "holds_total") == {}


def test_a_code_nobody_knows_is_no_label(meter: Meter) -> None:
    meter.hear(told(DELIVERY_HELD, code="registry.out_of_cheese"))

    assert series(meter, "holds_total") == {("other", KNOWN): 1}


def test_registries_that_are_not_configured_are_one(meter: Meter) -> None:
    for number in range(100):
        meter.hear(told(DELIVERY_SUCCEEDED, f"host{number}.example.com", seconds=1.0))
        meter.hear(told(DELIVERY_HELD, f"host{number}.example.com", code="registry.stalled"))

    assert {labels[0] for labels in series(meter, "deliveries_finished_total")} == {KNOWN, "localhost:5000", "other"}
    assert value(meter, "deliveries_finished_total", registry="other", state="succeeded") == 100
    assert series(meter, "holds_total") == {("registry.stalled", "other"): 100}


def test_a_registry_that_is_configured_anew_gets_a_label_and_nothing_counted_is_lost(meter: Meter) -> None:
    meter.hear(told(DELIVERY_FAILED))
    meter.hear(told(DELIVERY_FAILED, "new.example.com"))
    meter.configure(["new.example.com"])
    meter.hear(told(DELIVERY_FAILED))
    meter.hear(told(DELIVERY_FAILED, "new.example.com"))

    failed = {
        labels[0]: count
        for labels, count in series(meter, "deliveries_finished_total").items()
        if labels[1] == "failed" and count
    }
    assert failed == {KNOWN: 1, "other": 2, "new.example.com": 1}


def test_what_can_happen_begins_at_zero(meter: Meter) -> None:
    for name in ("jobs_submitted_total", "upload_restarts_total", "delivery_seconds_count", "log_events_total"):
        assert series(meter, name)
        assert set(series(meter, name).values()) == {0}


def test_every_event_is_counted_by_its_level(meter: Meter) -> None:
    meter.hear(told(JOB_PROGRESS, done=1, size=2, rate=3))
    meter.hear(told(LIBRARY_FAILURE, logger="x", text="y"))
    meter.hear(told(DELIVERY_FAILED, seconds=1.0))

    assert series(meter, "log_events_total") == {("debug",): 0, ("error",): 2, ("info",): 1, ("warning",): 0}
    assert {labels[0] for labels in series(meter, "log_events_total")} == set(Level)


def test_an_event_goes_to_the_log_and_is_counted(meter: Meter) -> None:
    logged: list[Event] = []
    emit = meter.beside(logged.append)
    event = told(JOB_SUBMITTED)

    emit(event)

    assert logged == [event]
    assert value(meter, "jobs_submitted_total") == 1


def test_events_from_several_threads_are_all_counted(meter: Meter) -> None:
    """Libraries log from theirs."""

    def tell() -> None:
        for _ in range(1000):
            meter.hear(told(JOB_SUBMITTED))

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert value(meter, "jobs_submitted_total") == 4000


def test_commits_are_timed_by_the_registry_and_by_the_store(meter: Meter) -> None:
    meter.hear(told(UPLOAD_COMMITTED, seconds=0.3))
    meter.committed(0.002)

    assert value(meter, "registry_commit_seconds_sum", registry=KNOWN) == 0.3
    assert value(meter, "store_commit_seconds_bucket", le="0.001") == 0
    assert value(meter, "store_commit_seconds_bucket", le="0.0025") == 1


def test_an_event_that_does_not_say_how_long_it_took_is_counted_and_not_timed(meter: Meter) -> None:
    meter.hear(told(DELIVERY_SUCCEEDED))

    assert value(meter, "deliveries_finished_total", registry=KNOWN, state="succeeded") == 1
    assert value(meter, "delivery_seconds_count", registry=KNOWN) == 0


def test_the_release_and_the_start_are_told(meter: Meter) -> None:
    started = value(meter, "start_time_seconds")

    assert series(meter, "build_info") == {(__version__,): 1}
    assert started is not None
    assert abs(started - datetime.now(UTC).timestamp()) < 60


def test_the_process_is_measured(meter: Meter) -> None:
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert (value(meter, name) or 0) > 0


def test_two_meters_have_nothing_in_common(meter: Meter) -> None:
    meter.hear(told(JOB_SUBMITTED))

    assert value(Meter([]), "jobs_submitted_total") == 0


def test_names_are_as_those_who_read_them_expect(meter: Meter) -> None:
    """Base units, spelt out; what only grows ends in `_total`, and nothing else does."""
    for metric in meter.collectors.collect():
        assert re.fullmatch(r"pushd_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.documentation.endswith(".")
        totals = {sample.name.endswith("_total") for sample in metric.samples if not sample.name.endswith("_created")}
        assert totals <= {metric.type == "counter"}
