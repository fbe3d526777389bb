"""Whoever submits: over every restart, so that the daemon always has something to do."""

from __future__ import annotations

import http.client
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.torture.evidence import Accepted

if TYPE_CHECKING:
    from tests.fakes.images import Layout
    from tests.integration.daemon import Answer, Daemon
    from tests.torture.ordeal import Ordeal
    from tests.torture.proxy import Proxy

_OPEN_JOBS = 6
"""Jobs that are kept under way as long as there are kills to come."""
_PATIENCE = 60.0
"""Seconds for which a question is asked again while the daemon dies under it."""


class Submitter:
    """Submits from a thread of its own while it is entered; left, it ends when every image was submitted once.

    Attributes:
        accepted: the jobs the daemon answered for with 202.
        problems: what it should not have answered.
    """

    def __init__(self, ordeal: Ordeal, layout: Layout, daemon: Daemon, proxy: Proxy) -> None:
        self._ordeal = ordeal
        self._layout = layout
        self._daemon = daemon
        self._proxy = proxy
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="submitter")
        self.accepted: list[Accepted] = []
        self.problems: list[str] = []

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def open(self) -> list[dict[str, Any]]:
        """Give the jobs that have not ended."""
        answer = self._ask("GET", "/v1/jobs?limit=1000&state=queued&state=running&state=held")
        jobs: list[dict[str, Any]] = answer.body["jobs"]
        return jobs

    def _run(self) -> None:
        try:
            self._submit_all()
        except (AssertionError, OSError, http.client.HTTPException) as error:
            self.problems.append(f"submission {len(self.accepted)} did not come to an end: {error!r}")

    def _submit_all(self) -> None:
        name = self._proxy.address
        for number in count():
            # The images of one round do not meet those of the next: that would be twice the uploads at one time.
            again = number > 0 and number % self._ordeal.images == 0
            while not self._done(number) and len(self.open()) >= (1 if again else _OPEN_JOBS):
                time.sleep(0.05)
            if self._done(number):
                return
            if again:
                name = self._proxy.listen()
            first = self._submit(number, name)
            if self._ordeal.repeats(number) and self._submit(number, name).id != first.id:
                self.problems.append(f"submission {number} was accepted twice under one key")
            self.accepted.append(first)

    def _done(self, number: int) -> bool:
        return self._enough.is_set() and number >= self._ordeal.images

    def _submit(self, number: int, registry: str) -> Accepted:
        tag = f"v{number % self._ordeal.images}"
        destinations = self._ordeal.destinations(number, registry)
        key = f"torture {self._ordeal.seed} {number}"
        body = {"source": f"oci:{self._layout.path}:{tag}", "destinations": destinations}
        answer = self._ask("POST", "/v1/jobs", body, Idempotency_Key=key)
        assert answer.status == http.HTTPStatus.ACCEPTED, answer
        return Accepted(str(answer.body["id"]), self._layout.images[tag], tuple(destinations))

    def _ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._daemon.request(method, path, body, timeout=30, **headers)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
