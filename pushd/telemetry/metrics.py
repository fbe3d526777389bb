"""What is counted from the events as they are told: the metrics that only grow, and when things went well last.

Their names are an interface: added to, never changed. Labels are bounded: a registry has one of its own when it is
configured by name, and all others share one, so that a submitter's slips do not become series that stay for ever.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from pushd import __version__
from pushd.errors import Code
from pushd.job import DeliveryState, JobState, TransferState
from pushd.telemetry import events
from pushd.telemetry.events import Level
from pushd.telemetry.process import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pushd.telemetry.events import Event

PREFIX: Final = "pushd"
OTHER: Final = "other"
"""The label of all registries that are not configured by name, and of whatever else has none of its own."""

_DELIVERY: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
"""Seconds: from an image that is there already to one that waits for its registry until its deadline."""
_REGISTRY_COMMIT: Final = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60, 120, 300, 900)
"""Seconds: from a file that is renamed to an object that is copied, until nobody waits any more."""
_STORE_COMMIT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Seconds: from a disk with a cache that outlives a power cut to one that is worn out, or shared."""

_ENDS: Final = {
    events.DELIVERY_SUCCEEDED.name: DeliveryState.SUCCEEDED,
    events.DELIVERY_SUPERSEDED.name: DeliveryState.SUPERSEDED,
    events.DELIVERY_FAILED.name: DeliveryState.FAILED,
    events.DELIVERY_CANCELLED.name: DeliveryState.CANCELLED,
}
_GIVEN_UP: Final = "given_up"
"""Beside the states: a delivery that failed because another of its job did is no failure of its registry."""
_CODES: Final = frozenset(code.value for code in Code)


class Meter:
    """Counts what is told from when it was made on: what an earlier life of the daemon told is not told again.

    What can happen begins at zero, so that the first time it does is seen as a rise; not so what is told by code,
    of which there are too many.

    Attributes:
        collectors: what was counted, with what never changes and what the system says of the process.
        registries: those that have a label of their own.
    """

    def __init__(self, registries: Iterable[str]) -> None:
        self.collectors = CollectorRegistry()
        self._tell_what_never_changes()
        self._told = self._counter("log_events", "Events told, whether the log shows them or not.", "level")
        self._submitted = self._counter("jobs_submitted", "Jobs accepted.")
        self._jobs = self._counter("jobs_finished", "Jobs that ended.", "state")
        self._deliveries = self._counter("deliveries_finished", "Deliveries that ended.", "registry", "state")
        self._transfers = self._counter("transfers_finished", "Blobs done with.", "registry", "state")
        self._holds = self._counter("holds", "Deliveries put back until later, by the reason.", "registry", "code")
        self._interruptions = self._counter(
            "upload_interruptions", "Uploads cut short and taken up again, by the reason.", "registry", "code"
        )
        self._restarts = self._counter("upload_restarts", "Uploads begun anew at their first byte.", "registry")
        self._delivery_seconds = self._histogram(
            "delivery_seconds", "From the first attempt of a delivery to its success.", _DELIVERY, "registry"
        )
        self._registry_commits = self._histogram(
            "registry_commit_seconds", "From the last byte of a blob to the registry's answer.", _REGISTRY_COMMIT,
            "registry",
        )  # fmt: skip
        self._store_commits = self._histogram(
            "store_commit_seconds", "From the first statement of a transaction to its being on the disk.", _STORE_COMMIT
        )
        self._success = Gauge(
            f"{PREFIX}_last_success_timestamp_seconds", "When a delivery succeeded last.", ["registry"],
            registry=self.collectors,
        )  # fmt: skip
        self._counts: Mapping[str, Callable[[Event], None]] = {
            events.JOB_SUBMITTED.name: lambda _: self._submitted.inc(),
            events.JOB_FINISHED.name: lambda event: self._jobs.labels(_state(event)).inc(),
            **dict.fromkeys(_ENDS, self._delivered),
            events.TRANSFER_FINISHED.name: lambda event: self._transfers.labels(self._at(event), _state(event)).inc(),
            events.DELIVERY_HELD.name: lambda event: self._for_a_reason(self._holds, event),
            events.UPLOAD_INTERRUPTED.name: lambda event: self._for_a_reason(self._interruptions, event),
            events.UPLOAD_RESTARTED.name: lambda event: self._restarts.labels(self._at(event)).inc(),
            events.UPLOAD_COMMITTED.name: lambda event: self._time(self._registry_commits, event),
        }
        self._begin_at_zero()
        self.configure(registries)

    def configure(self, registries: Iterable[str]) -> None:
        """Give these registries a label of their own from now on, and no others. What was counted stays."""
        self.registries = frozenset(registries)
        for registry in (*self.registries, OTHER):
            for metric in (self._restarts, self._delivery_seconds, self._registry_commits):
                metric.labels(registry)
            for end in (*_ENDS.values(), _GIVEN_UP):
                self._deliveries.labels(registry, end)
            for state in TransferState:
                if state.landed or state is TransferState.FAILED:
                    self._transfers.labels(registry, state)

    def beside(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        """Give what tells each event to `emit`, and counts it."""

        def both(event: Event) -> None:
            emit(event)
            self.hear(event)

        return both

    def hear(self, event: Event) -> None:
        """Count an event; from any thread."""
        self._told.labels(event.kind.level).inc()
        count = self._counts.get(event.kind.name)
        if count is not None:
            count(event)

    def committed(self, seconds: float) -> None:
        """Count a commit of the store; from any thread."""
        self._store_commits.observe(seconds)

    # --------------------------------------------------------------------------------------------- what is counted

    def _delivered(self, event: Event) -> None:
        state = _ENDS[event.kind.name]
        given_up = event.fields.get("code") == Code.REQUEST_TOGETHER
        self._deliveries.labels(self._at(event), _GIVEN_UP if given_up else state).inc()
        if state is DeliveryState.SUCCEEDED:
            self._success.labels(self._at(event)).set(event.at.timestamp())
            self._time(self._delivery_seconds, event)

    def _for_a_reason(self, counter: Counter, event: Event) -> None:
        code = event.fields.get("code")
        if code is not None:  # a delivery that begins later because its submitter wants it so is not held back
            counter.labels(self._at(event), code if code in _CODES else OTHER).inc()

    def _time(self, histogram: Histogram, event: Event) -> None:
        seconds = event.fields.get("seconds")
        if isinstance(seconds, int | float):
            histogram.labels(self._at(event)).observe(seconds)

    def _at(self, event: Event) -> str:
        """Give the label of the registry an event is about."""
        registry = str(event.fields.get("registry"))
        return registry if registry in self.registries else OTHER

    # --------------------------------------------------------------------------------------------- small pieces

    def _tell_what_never_changes(self) -> None:
        self.collectors.register(ProcessCollector(PREFIX))
        Info(f"{PREFIX}_build", "The release.", registry=self.collectors).info({"version": __version__})
        started = Gauge(f"{PREFIX}_start_time_seconds", "When the daemon started.", registry=self.collectors)
        started.set(time.time())

    def _begin_at_zero(self) -> None:
        for level in Level:
            self._told.labels(level)
        for state in JobState:
            if state.terminal:
                self._jobs.labels(state)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.collectors)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", documentation, labels, buckets=buckets, registry=self.collectors)


def _state(event: Event) -> str:
    return str(event.fields.get("state", OTHER))
