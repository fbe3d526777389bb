"""The daemon's process as the kernel sees it: memory, processor time, descriptors.

The library's own collector asks /proc/stat for the time of the last boot, and tells nothing at all where that is
hidden, as it is from the service: `ProcSubset=pid` (systemd.exec(5)).
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

_SELF: Final = Path("/proc/self")


class ProcessCollector(Collector):
    """Measures this process; what cannot be found out is left out.

    Args:
        prefix: of the metrics' names.
        directory: of the process, as proc(5) has it.
    """

    def __init__(self, prefix: str, directory: Path = _SELF) -> None:
        self._prefix = f"{prefix}_process"
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        """Give what there is to say."""
        yield CounterMetricFamily(
            f"{self._prefix}_cpu_seconds", "Processor time, of user and system.", value=time.process_time()
        )
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield self._gauge("max_fds", "Descriptors that may be open.", limit)
        with suppress(OSError):
            pages = (self._directory / "statm").read_text("ascii").split()
            size = resource.getpagesize()
            yield self._gauge("virtual_memory_bytes", "Memory that is mapped.", int(pages[0]) * size)
            yield self._gauge("resident_memory_bytes", "Memory that is used.", int(pages[1]) * size)
        with suppress(OSError):
            there = sum(1 for _ in (self._directory / "fd").iterdir())
            yield self._gauge("open_fds", "Descriptors that are open.", there - 1)  # but for the one that was to look

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        return GaugeMetricFamily(f"{self._prefix}_{name}", documentation, value=value)
