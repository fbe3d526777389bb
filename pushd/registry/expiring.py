"""Certificates that are about to expire, of registries and our own: told while there is time to renew them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pushd.telemetry.events import CERTIFICATE_EXPIRING, Event

if TYPE_CHECKING:
    from collections.abc import Callable

_SOON: Final = timedelta(days=14)
_AGAIN: Final = timedelta(days=1)
_KEPT: Final = 512
"""Hosts that are remembered: registries may lead to any, one after the other."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Expiring:
    """Tells of certificates that expire within 14 days: of each once a day.

    Args:
        emit: is told.
        clock: gives the time.
    """

    def __init__(self, emit: Callable[[Event], None], *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._emit = emit
        self._clock = clock
        self._told: dict[tuple[str, str], datetime] = {}

    def server(self, host: str, until: datetime) -> None:
        """Look at the certificate of `host[:port]`, which is good until then."""
        self._look(host, "server", until)

    def client(self, host: str, file: str, until: datetime) -> None:
        """Look at the certificate in `file`, which we show to `host[:port]`."""
        self._look(host, "client", until, file)

    def _look(self, host: str, whose: str, until: datetime, file: str | None = None) -> None:
        now = self._clock()
        told_at = self._told.get((host, whose))
        if until - now > _SOON or (told_at is not None and now - told_at < _AGAIN):
            return
        self._told.pop((host, whose), None)
        while len(self._told) >= _KEPT:
            del self._told[next(iter(self._told))]
        self._told[host, whose] = now
        facts = {
            "registry": host,
            "whose": whose,
            "file": file,
            "days": max(0, (until - now).days),
            "until": f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        self._emit(Event(CERTIFICATE_EXPIRING, now, fields=facts))
