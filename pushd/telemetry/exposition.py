"""The metrics as Prometheus reads them: what was counted, and how things stand at the moment it asks.

In two forms: the text format 0.0.4 (Prometheus, "Exposition formats"), and OpenMetrics 1.0.
"""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from pushd.job import DeliveryState
from pushd.telemetry.metrics import OTHER, PREFIX
from pushd.telemetry.standing import together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from prometheus_client import Metric

    from pushd.telemetry.metrics import Meter
    from pushd.telemetry.standing import AtRegistry, Standing

_OPEN: Final = tuple(state for state in DeliveryState if not state.terminal)
_REFUSABLE: Final = ("spool", "jobs")
_OF_A_REGISTRY: Final[tuple[tuple[str, str, Callable[[AtRegistry], float]], ...]] = (
    ("deliveries_needing_credential", "Deliveries held for want of a credential.", attrgetter("needing")),
    ("oldest_job_age_seconds", "For how long the oldest job has waited that is neither paused nor for later.",
     attrgetter("age")),
    ("send_rate_bytes", "Bytes sent in a second, over the last five.", attrgetter("rate")),
    ("uploads_running", "Uploads that have a place.", attrgetter("uploads")),
    ("registry_throttled_seconds", "For how long nothing goes there yet: it asked for that.", attrgetter("throttled")),
    ("registry_paused", "Whether an administrator holds it back.", attrgetter("paused")),
)  # fmt: skip
_OF_THE_DAEMON: Final[tuple[tuple[str, str, Callable[[Standing], float]], ...]] = (
    ("spool_bytes", "Bytes in the spool, those reserved included.", attrgetter("spool")),
    ("database_bytes", "Bytes of the database.", attrgetter("database")),
    ("disk_free_bytes", "Bytes left on the disk.", attrgetter("free")),
    ("event_streams", "Event streams that are open.", attrgetter("streams")),
)


class Metrics:
    """Gives all metrics.

    Args:
        meter: has counted what grows.
        stand: reads how everything stands.
    """

    def __init__(self, meter: Meter, stand: Callable[[], Awaitable[Standing]]) -> None:
        self._meter = meter
        self._stand = stand

    async def exposition(self, *, openmetrics: bool) -> bytes:
        """Give them as they are now.

        Args:
            openmetrics: in that form, and not in the text format.

        Raises:
            StoreError: how things stand cannot be read.
        """
        scrape = _Scrape(self._meter, await self._stand())
        # In a thread: a hundred registries are 400 kB of text, and 30 ms in which nothing else would happen.
        return await anyio.to_thread.run_sync(_written, scrape, openmetrics)


def _written(scrape: Collector, openmetrics: bool) -> bytes:  # noqa: FBT001 (handed on)
    if openmetrics:
        return bytes(generate_openmetrics(scrape))  # type: ignore[no-untyped-call]  # it has no annotations
    return generate_latest(scrape)


class _Scrape(Collector):
    """What one reader is given."""

    def __init__(self, meter: Meter, standing: Standing) -> None:
        self._meter = meter
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        for metric in self._meter.collectors.collect():
            # When a series began, for each of them: as many again, and nobody asks.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield from _of_registries(_labelled(self._standing.registries, self._meter.registries))
        yield from _of_the_daemon(self._standing)


def _labelled(registries: Mapping[str, AtRegistry], named: frozenset[str]) -> dict[str, AtRegistry]:
    """Give how the named registries stand, each of them, and all others as one."""
    parts: defaultdict[str, list[AtRegistry]] = defaultdict(list)
    for registry, standing in registries.items():
        parts[registry if registry in named else OTHER].append(standing)
    return {label: together(parts[label]) for label in (*sorted(named), OTHER)}


def _of_registries(registries: Mapping[str, AtRegistry]) -> Iterator[Metric]:
    deliveries = GaugeMetricFamily(
        f"{PREFIX}_deliveries", "Deliveries that have not ended.", labels=["registry", "state"]
    )
    sent = CounterMetricFamily(f"{PREFIX}_sent_bytes", "Bytes sent, those sent again included.", labels=["registry"])
    for registry, it in registries.items():
        for state in _OPEN:
            deliveries.add_metric([registry, state], it.states.get(state, 0))
        sent.add_metric([registry], it.sent)
    yield from (deliveries, sent)
    for name, documentation, value in _OF_A_REGISTRY:
        gauge = GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=["registry"])
        for registry, it in registries.items():
            gauge.add_metric([registry], value(it))
        yield gauge


def _of_the_daemon(standing: Standing) -> Iterator[Metric]:
    for name, documentation, value in _OF_THE_DAEMON:
        yield GaugeMetricFamily(f"{PREFIX}_{name}", documentation, value=value(standing))
    refusing = GaugeMetricFamily(f"{PREFIX}_disk_refusing", "Whether it is refused for want of disk.", labels=["what"])
    for what in _REFUSABLE:
        refusing.add_metric([what], what in standing.refusing)
    yield refusing
