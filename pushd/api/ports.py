"""What the API needs of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from pushd.job import Job, JobSpec, JobState
    from pushd.telemetry.events import Event


class Jobs(Protocol):
    """The jobs of the daemon. Any method may raise StoreError."""

    async def submit(self, spec: JobSpec, *, uid: int, idempotency_key: str | None, fingerprint: bytes) -> Job:
        """Accept a job: when this returns, it is on disk.

        Args:
            spec: what was asked for, its types and sizes checked, its references not yet.
            uid: who asks, as the kernel names them.
            idempotency_key: the caller's; the same key with the same `fingerprint` gives the job accepted first.
            fingerprint: a hash of the request.

        Raises:
            RequestError: `request.invalid_reference`; `request.idempotency_conflict`.
            SourceError: the image is missing, malformed, or not what it says it is.
        """

    async def get(self, job_id: str) -> Job:
        """Give one job with its deliveries and the live progress of their transfers.

        Raises:
            RequestError: `request.not_found`.
        """

    async def list(self, *, states: Collection[JobState], after: str | None, limit: int) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers.

        Args:
            states: only jobs in one of these; all when empty.
            after: the last id of the page before.
            limit: at most so many.
        """

    async def wait(self, job_id: str, seconds: float, /) -> Job:
        """Give the job once it is terminal, or as it is after `seconds`.

        Raises:
            RequestError: `request.not_found`.
        """

    async def cancel(self, job_id: str) -> Job:
        """End what is not terminal of a job. Idempotent.

        Raises:
            RequestError: `request.not_found`.
        """

    def events(self, *, after: int, job_id: str | None, follow: bool) -> AsyncIterator[Event | None]:
        """Give the durable events numbered above `after`, in order, with coalesced progress between them.

        Progress has no number. None is a keep-alive, given now and then. The stream ends at the present without
        `follow`, and after `job.finished` with `job_id`, which names a job that exists.
        """

    async def status(self) -> Mapping[str, object]:
        """Give what the daemon is doing, in JSON's types."""
