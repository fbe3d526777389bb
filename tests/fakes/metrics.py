"""Metrics as the API sees them, with nothing measured."""

from __future__ import annotations

from dataclasses import dataclass

TEXT = b"# HELP pushd_jobs_submitted_total Jobs accepted.\npushd_jobs_submitted_total 3.0\n"
OPENMETRICS = b"# HELP pushd_jobs_submitted Jobs accepted.\npushd_jobs_submitted_total 3.0\n# EOF\n"


@dataclass
class FakeMetrics:
    """Fulfils `pushd.api.ports.Metrics`.

    Attributes:
        raises: raised by every call, when set.
        asked: how often they were asked for.
    """

    raises: Exception | None = None
    asked: int = 0

    async def exposition(self, *, openmetrics: bool) -> bytes:
        self.asked += 1
        if self.raises is not None:
            raise self.raises
        return OPENMETRICS if openmetrics else TEXT
