"""What is done with a job that was handed over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pushd.client import targets
from pushd.client.documents import JSON, job_of
from pushd.client.exchange import Request
from pushd.client.handing import handed_over
from pushd.client.own import own_credentials, own_files
from pushd.client.sources import in_registry
from pushd.client.watching import Watching
from pushd.errors import NEEDING
from pushd.job import AUTO, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.job import Delivery, Job
    from pushd.work import Handed


class Control(Watching):
    """The part of `Client` that stops jobs and sets them going; what it must know first is seen through `Watching`."""

    def cancel(self, job_id: str) -> Job:
        """End what is not finished of a job, and give the job as it is then: what runs may take a moment to stop.

        Raises:
            RequestError: `request.not_found`.
        """
        return self._touch(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Stop what runs of a job where that loses nothing, and begin nothing more; its deadline waits with it.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """
        return self._touch(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """
        return self._touch(job_id, "resume")

    def retry(self, job_id: str, *, credential: str = AUTO) -> Job:
        """Try again what failed or was cancelled of a job, and nothing else, with all of its time anew.

        Args:
            job_id: which.
            credential: with `pushd.job.AUTO` the caller's own is handed over anew; with any other nothing is, and the
                job goes on with what it has.

        Raises:
            RequestError: `request.not_found`; `request.state`, its bytes were in the spool and are gone.
            RegistryError: as `submit` does.
        """
        handed: Sequence[Handed] = ()
        # Read first only where there is something to hand over, and only for a job of the caller's: nobody's credential
        # goes with somebody else's job. Who they are is the daemon's to say.
        if credential == AUTO and own_files() and (job := self.get(job_id)).uid == self.status()["uid"]:
            lacking = [one.destination for one in job.deliveries if _lacks_credential(one)]
            handed = own_credentials([*lacking, *in_registry(job.source)] if lacking else ())
        return self._touch(job_id, "retry", handed)

    def _touch(self, job_id: str, verb: str, handed: Sequence[Handed] = ()) -> Job:
        body = json.dumps(handed_over(handed)).encode() if handed else b""
        target = targets.path("jobs", job_id, verb)
        return self._conversation.ask(
            Request(method="POST", target=target, headers=JSON if body else {}, body=body, secret=bool(body)), job_of
        )


def _lacks_credential(delivery: Delivery) -> bool:
    """Whether a delivery goes on, or begins again, with a credential that is handed over now."""
    failure = delivery.failure
    waits = failure is not None and failure.code in NEEDING
    return waits or delivery.state in (DeliveryState.FAILED, DeliveryState.CANCELLED)
