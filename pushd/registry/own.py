"""The daemon's own credentials: found where its administrator put them, and asked for again when they are refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from anyio import to_thread

from pushd.credentials.docker import Ask
from pushd.credentials.files import Files, UnreadError
from pushd.credentials.helper import ask as ask_helper
from pushd.credentials.lookup import is_elsewhere, kept_by
from pushd.errors import RegistryError
from pushd.registry.answers import Answers
from pushd.telemetry.events import CREDENTIALS_EXPOSED, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushd.credentials.credential import Credential
    from pushd.credentials.places import Place
    from pushd.registry.answers import Run


class OwnCredentials:
    """Finds the daemon's credential for a repository. The first place that has one for its registry wins.

    Args:
        places: where to look, in this order.
        helper_timeout: seconds a credential helper has for its answer.
        helper_cache: seconds an answer is good for that does not say so itself.
        emit: told of files with secrets that are open to everybody.
        run: asks a helper, in place of running its program.
        clock: gives seconds, from any beginning.
    """

    def __init__(
        self,
        places: Sequence[Place],
        *,
        helper_timeout: float,
        helper_cache: float,
        emit: Callable[[Event], object],
        run: Run | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = tuple(places)
        self._files = Files()
        self._answers = Answers(run or partial(ask_helper, timeout=helper_timeout), keep=helper_cache, clock=clock)
        self._emit = emit

    async def find(self, registry: str, repository: str, *, fresh: Credential | None = None) -> Credential | None:
        """Find the credential for a repository; None when no place has one for its registry.

        Files that have changed are read again, and a helper is asked again when its answer is past its time.

        Args:
            registry: `host[:port]`, as in references.
            repository: the name within the registry.
            fresh: a credential the registry has refused: a helper whose answer it was is asked again.

        Raises:
            RegistryError: a file or a helper cannot be used; code and subject say which and how.
        """
        try:
            for place in self._places:
                found = await self._look_up(place, registry, repository)
                credential = await self._answered(found, place.source, fresh) if isinstance(found, Ask) else found
                if credential is not None:
                    return credential
        finally:
            self._tell_exposed()
        return None

    async def _look_up(self, place: Place, registry: str, repository: str) -> Credential | Ask | None:
        try:
            # Every job asks. A hop to a thread would take longer than the look at each file that is all this takes.
            return place.look_up(registry, repository, self._files.known)
        except UnreadError:
            return await to_thread.run_sync(place.look_up, registry, repository, self._files.read)

    async def _answered(self, wanted: Ask, source: str, refused: Credential | None) -> Credential | None:
        try:
            answer = await self._answers.get(wanted.helper, wanted.server, refused=refused)
        except RegistryError as error:
            if is_elsewhere(wanted, error):
                return None
            raise
        return None if answer is None else answer.credential(source, kept_by(wanted))

    def _tell_exposed(self) -> None:
        for file in self._files.exposed():
            fields = {"file": file.path, "mode": f"{file.mode:04o}"}
            self._emit(Event(CREDENTIALS_EXPOSED, datetime.now(UTC), fields=fields))
