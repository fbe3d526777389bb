"""What can be seen of the daemon and its jobs, and what goes on; nothing here changes anything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from pushd.client import targets
from pushd.client.conversation import LONGEST_PAUSE, Speaker
from pushd.client.documents import job_of
from pushd.client.exchange import Request

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pushd.job import Job, JobState

_POLL: Final = 30.0  # seconds the daemon is asked to hold a wait
_GRACE: Final = 30.0  # seconds on top of what the daemon was asked to hold
_PAGE: Final = 100


class Watching(Speaker):
    """The part of `Client` that looks and waits."""

    def get(self, job_id: str) -> Job:
        """Give one job as it is now, with the progress of its transfers.

        Raises:
            RequestError: `request.not_found`.
        """
        return self._conversation.ask(Request(method="GET", target=targets.path("jobs", job_id)), job_of)

    def list(
        self,
        *,
        states: Collection[JobState] = (),
        labels: Mapping[str, str] | None = None,
        registry: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Give jobs, newest first and without their transfers, page by page as they are taken.

        Args:
            states: only jobs in one of these; all when empty.
            labels: only jobs that carry all of these.
            registry: only jobs with a destination at this `host[:port]`.
            limit: at most so many; None for all there are.
        """
        asked = [
            *(("state", state.value) for state in states),
            *(("label", f"{key}={value}") for key, value in (labels or {}).items()),
            *([("registry", registry)] if registry is not None else []),
        ]
        after: list[tuple[str, str]] = []
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            query = targets.query([*asked, ("limit", str(size)), *after])
            jobs, last = self._conversation.ask(Request(method="GET", target=targets.path("jobs") + query), _page_of)
            yield from jobs
            if last is None:
                return
            after = [("after", last)]
            left = None if left is None else left - len(jobs)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job has ended, over restarts of the daemon too.

        Args:
            job_id: which.
            timeout: seconds to wait at most; None for as long as it takes.

        Returns:
            The job; not terminal when `timeout` passed first.

        Raises:
            RequestError: `request.not_found`.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            asked_at = time.monotonic()
            poll = _POLL if until is None else max(0.0, min(_POLL, until - asked_at))
            target = targets.path("jobs", job_id, "wait") + targets.query([("timeout", f"{poll:.3f}")])
            job = self._conversation.ask(Request(method="GET", target=target, answer_within=poll + _GRACE), job_of)
            now = time.monotonic()
            if job.state.terminal or (until is not None and now >= until):
                return job
            if now - asked_at < poll / 2:  # a daemon that stops lets its waiters go early; do not race it
                time.sleep(min(LONGEST_PAUSE, poll))

    def status(self) -> Mapping[str, Any]:
        """Give what the daemon says of itself: version, queue, uploads, registries, the slowest transfers.

        Administrators are also told its limits and its disk; others what concerns their own jobs.
        """
        return self._conversation.ask(Request(method="GET", target=targets.path("status")), dict)

    def events(self, after: int = 0, *, job: str | None = None, follow: bool = True) -> Iterator[Mapping[str, Any]]:
        """Give events as they happen: numbered ones under `seq`, each once and in order, with progress in between.

        When the connection breaks or the daemon restarts, the stream goes on after the last number given, so nothing
        numbered is missed or doubled.

        Args:
            after: the number after which to begin; 0 for everything the daemon still has.
            job: only this job's events; with `follow` they end when the job has.
            follow: whether to go on at the present, and not end there.

        Raises:
            RequestError: `request.not_found`; `request.events_gone`, what followed `after` is past its time, or the
                daemon's database was restored meanwhile and counts anew; `request.malformed`, there was no such number.
        """
        from pushd.client.events import EventStream  # noqa: PLC0415 (a job handed over needs none)

        stream = EventStream(self._conversation, after, job)
        yield from stream.read(follow=follow, ended=lambda: job is not None and self.get(job).state.terminal)


def _page_of(document: Mapping[str, Any]) -> tuple[Sequence[Job], str | None]:
    return [job_of(job) for job in document["jobs"]], document["next"]
