"""What credential helpers answered, kept: each is asked once for all who wait, and again when it is time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from pushd.credentials.answer import Answer
from pushd.errors import Code, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.credentials.credential import Credential

    Run = Callable[[str, str], Answer | None]
    """Asks a helper, by its name, for a server; blocks."""

_KEPT: Final = 512
"""Answers kept: a store is asked for any host that callers name, one after the other."""
_RUNNING: Final = 4
"""Helpers run at once."""
_NONE_FOR: Final = 30.0
"""Seconds it is believed that there is no credential."""
_FAILED_FOR: Final = 5.0
"""Seconds a failure, or an answer that was refused and is given again, is the answer: many may be waiting for it."""


@dataclass(slots=True)
class _Known:
    """What one helper answered for one server.

    Attributes:
        asking: held by whoever asks.
        outcome: what it answered.
        until: when it is to be asked again, by the clock.
        insists_until: until when an answer that was refused is not asked for again.
    """

    asking: anyio.Lock = field(default_factory=anyio.Lock)
    outcome: Answer | RegistryError | None = None
    until: float = -math.inf
    insists_until: float = -math.inf

    def gave(self, refused: Credential | None) -> bool:
        """Whether the answer is the credential that was refused."""
        if refused is None or self.outcome is None or isinstance(self.outcome, RegistryError):
            return False
        return self.outcome.credential(refused.source) == refused


class Answers:
    """Asks helpers, and keeps what they answer.

    Args:
        run: asks one.
        keep: seconds an answer is good for that does not say so itself.
        clock: gives seconds, from any beginning.
    """

    def __init__(self, run: Run, *, keep: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._keep = keep
        self._clock = clock
        self._known: dict[tuple[str, str], _Known] = {}
        self._running = anyio.CapacityLimiter(_RUNNING)
        # Helpers that did not answer, and until when nobody else waits for them to.
        self._mute: dict[str, tuple[RegistryError, float]] = {}

    async def get(self, helper: str, server: str, *, refused: Credential | None = None) -> Answer | None:
        """Give a helper's answer for a server; None when it has none.

        Args:
            helper: its name.
            server: what it is asked for.
            refused: a credential the registry did not take: an answer that is the same is asked for again.

        Raises:
            RegistryError: as the helper's failure is told.
        """
        known = self._known.pop((helper, server), None) or _Known()
        self._known[helper, server] = known  # the last one used is the last
        if len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
        if not self._good(known, refused):
            async with known.asking:
                if not self._good(known, refused):  # nobody else asked meanwhile
                    await self._ask(known, helper, server, refused)
        if isinstance(known.outcome, RegistryError):
            # A fresh one: each that is raised grows by where it went.
            error = known.outcome
            raise RegistryError(error.code, error.subject, error.detail, hint=error.hint)
        return known.outcome

    def _good(self, known: _Known, refused: Credential | None) -> bool:
        now = self._clock()
        return now < known.until and (now < known.insists_until or not known.gave(refused))

    async def _ask(self, known: _Known, helper: str, server: str, refused: Credential | None) -> None:
        async with self._running:
            # For what it has answered before it is asked all the same.
            unheard = None if isinstance(known.outcome, Answer) else self._unheard(helper)
            known.outcome = unheard or await self._outcome(helper, server)
        now = self._clock()
        known.until = now + self._life(known.outcome)
        known.insists_until = now + _FAILED_FOR if known.gave(refused) else -math.inf

    def _unheard(self, helper: str) -> RegistryError | None:
        """Give the failure of a helper that did not answer a moment ago, for whatever server it was asked.

        There is no end of servers that callers name, and each that is asked for holds up those behind it.
        """
        error, until = self._mute.get(helper, (None, -math.inf))
        return error if self._clock() < until else None

    async def _outcome(self, helper: str, server: str) -> Answer | RegistryError | None:
        try:
            return await to_thread.run_sync(self._run, helper, server)
        except RegistryError as error:
            if error.code is Code.REGISTRY_HELPER_TIMEOUT:
                self._mute[helper] = error, self._clock() + _FAILED_FOR
            return error

    def _life(self, outcome: Answer | RegistryError | None) -> float:
        """Give for how many seconds an outcome is good."""
        if outcome is None:
            return _NONE_FOR
        if isinstance(outcome, RegistryError):
            return _FAILED_FOR
        if outcome.expires_at is None:
            return self._keep
        return (outcome.expires_at - datetime.now(UTC)).total_seconds()
