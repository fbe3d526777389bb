"""What the engine needs of the store: what is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Failure, Job
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.upload import Checkpoint
    from pushd.telemetry.events import Event
    from pushd.telemetry.standing import Backlog
    from pushd.work import (
        Claim,
        Compressed,
        FileIdentity,
        Inspection,
        JobQuery,
        Late,
        Login,
        Outcome,
        Pruned,
        Retention,
        Sealed,
        Submission,
        TransferKey,
        TransferResult,
    )


class JobStore(Protocol):
    """Durable truth. Each method is one transaction, durable before it returns.

    Every method may raise StoreError: `store.full` (nothing was written; try again), `store.unavailable`,
    `store.damaged`. Those that take a claim raise `store.claim_lost` and write nothing when the delivery is no
    longer running under that claim's epoch and attempt.
    """

    @property
    def epoch(self) -> int:
        """The number of this life of the daemon, larger than any before."""

    async def submit(self, submission: Submission, *, limit: int) -> Job:
        """Store a new job, or give the one already stored under the same uid and idempotency key.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body; `request.limit`, the
                user has `limit` jobs already that have not ended.
        """

    async def repeated(self, uid: int, idempotency_key: str, fingerprint: bytes) -> Job | None:
        """Give the job stored under this uid and key, if there is one.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body.
        """

    async def get(self, job_id: str) -> Job | None:
        """Give one job with its deliveries and their transfers."""

    async def list(self, query: JobQuery) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers.

        Raises:
            RequestError: `request.not_found`, there is no job `after`, or it is not of the query's `uid`.
        """

    async def image(self, job_id: str) -> Image:
        """Give the image of a job, the manifests' original bytes included."""

    async def inspection(self, job_id: str) -> Inspection | None:
        """Give what was found when the layers of a job's image were looked into, if they were."""

    async def inspected(self, claim: Claim, inspection: Inspection) -> None:
        """Write down, for all deliveries of its job, what was found when the image was looked into."""

    async def compressed(self, job_id: str) -> str | None:
        """Give the spool entry that holds a job's compressed image; None while its layers are plain."""

    async def compress(self, claim: Claim, compressed: Compressed) -> None:
        """Make a compressed image the job's, in place of the plain one: its documents, digest, size and spool entry."""

    async def claim_all(
        self, now: datetime, *, free: Mapping[str, int], default: int, most: int, shut: Collection[str] = ()
    ) -> tuple[Sequence[Claim], datetime | None]:
        """Take the next deliveries that may run, at most so many, marking them running.

        First those of which only the tag is left, now that the others of their job are ready too; they take no place.
        Of the others: larger priority first, then the user whose turn is longest ago, then older first. Held ones whose
        `not_before` has passed count as queued. What goes to a registry that is paused or `shut` is passed over. `free`
        is how many more may run for a registry named in it, `default` for any other.

        Returns:
            The claims, and the earliest `not_before` after `now` of a held delivery.
        """

    async def plan(
        self, claim: Claim, *, credential: str, repository: str, blobs: Sequence[Descriptor], manifests: int
    ) -> Mapping[Digest, Checkpoint | str]:
        """Write down what the delivery needs: its transfers, all pending; earlier results of the delivery go.

        Returns:
            What is known of blobs: the checkpoint of an upload; where there is none, the repository it is believed to
            be in, this one if it is.
        """

    async def land(self, claim: Claim, *results: tuple[Descriptor, TransferResult]) -> None:
        """Write down what blobs came to, all or none.

        Where one landed its checkpoint goes, and where it landed is remembered.
        """

    async def checkpoint(self, claim: Claim, key: TransferKey, checkpoint: Checkpoint | None) -> None:
        """Save, or with None forget, where an upload session stands."""

    async def recall(self, key: TransferKey) -> Checkpoint | None:
        """Give the saved checkpoint of an upload session."""

    async def hold(self, claim: Claim, until: datetime, failure: Failure) -> None:
        """Put a delivery back until `until`. That was a try; `failure` joins its history.

        One held for want of a credential goes on when its user brings one, or at once where they have since it was
        claimed.
        """

    async def release(self, claim: Claim) -> None:
        """Put a delivery back at once, because the daemon stops or its job or registry is paused: no try, no crash.

        It is paused where its job is, and queued elsewhere.
        """

    async def tagging(self, claim: Claim) -> bool:
        """Say, right before it is done, that this delivery puts its tag; give whether it may.

        False when a delivery submitted later said so before for the same tag: the older image must not overwrite the
        newer. A destination that is no tag but a digest cannot be overwritten, and always may.
        """

    async def ready(self, claim: Claim, now: datetime) -> None:
        """Let a delivery wait for the others of its job, with everything there but its tag; it was no try.

        With the last of them it is decided that their tags move, once and for all, and each is queued. Where one of
        them has failed, this one fails as well. Where a newer job has tagged its destination, it ends superseded.
        """

    async def finish(self, claim: Claim, outcome: Outcome, now: datetime) -> Sequence[int]:
        """End a delivery, and with its last one the job. A failure joins the delivery's history.

        Where the tags of the job were to move together, and this one never will, the others fail: those that wait are
        ended, and the ids given of those that run and are to be interrupted by the caller.
        """

    async def met(self, registry: str) -> bool:
        """Tell whether a delivery to `host[:port]` ever got past the first question, and planned a blob to send."""

    async def seen_in(self, key: TransferKey) -> str | None:
        """Give the repository of the registry that the blob is believed to be in: this one, or as below."""

    async def mount_candidate(self, key: TransferKey) -> str | None:
        """Give another repository of the same registry that is believed to hold the blob.

        Believed from what earlier deliveries of the same principal with the same credential landed; the newest.
        """

    async def forget(self, claim: Claim, *, credential: str, repository: str, digests: Collection[Digest]) -> None:
        """Believe no longer that `repository` of the claim's registry holds these blobs."""

    async def validated(self, identity: FileIdentity) -> Digest | None:
        """Give the digest that this very content was found to have before."""

    async def validate(self, identity: FileIdentity, digest: Digest, now: datetime) -> None:
        """Remember which digest a file's content was found to have.

        A file changed less than two seconds before `now` is not remembered: it could change again within the
        granularity of its times, and look the same.
        """

    async def cancel(self, job_id: str, now: datetime) -> Sequence[int]:
        """End the deliveries of a job that wait; give the ids of those that run and are to be stopped by the caller."""

    async def pause(self, job_id: str, now: datetime, *, by: int) -> Sequence[int]:
        """Pause a job; give the ids of its deliveries that run and are to be stopped by the caller. Idempotent.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """

    async def resume(self, job_id: str, now: datetime, *, by: int) -> None:
        """Let a paused job go on, its deadline later by the time it was paused. Idempotent.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """

    async def retry(self, job_id: str, now: datetime, *, by: int, handed: Sequence[Sealed] = ()) -> int:
        """Queue the deliveries of a job again that failed or were cancelled, as if new; give how many. Idempotent.

        With credentials handed over anew, those that waited for one go on as well, and are counted.

        Raises:
            RequestError: `request.not_found`; `request.state`, its bytes were in the spool and are gone;
                `request.forbidden`, credentials are handed over for a job that is not of the user `by`.
        """

    async def handed(self, job_id: str) -> Sequence[Sealed]:
        """Give the credentials handed over with a job, oldest first; those that are spent without their secret."""

    async def logins(self, uid: int) -> Sequence[Login]:
        """Give the credentials a user stored, by name; those that are spent without their secret."""

    async def store_login(self, uid: int, name: str, sealed: Sealed, now: datetime, *, limit: int) -> int:
        """Store a user's credential, in place of the one of that name; give how many deliveries go on that waited.

        Raises:
            RequestError: `request.limit`, they have `limit` others already.
        """

    async def remove_login(self, uid: int, name: str, now: datetime) -> bool:
        """Remove a user's credential; give whether there was one."""

    async def spend(self, number: int, now: datetime) -> None:
        """Forget the secret of the credential of this number: the registry refused it. Idempotent."""

    async def pause_registry(self, registry: str, now: datetime, *, by: int) -> Sequence[int]:
        """Claim nothing more that goes to `host[:port]`; give the ids of the deliveries that run. Idempotent."""

    async def resume_registry(self, registry: str, now: datetime, *, by: int) -> None:
        """Let a paused registry be served again. Idempotent."""

    async def cancel_registry(self, registry: str, now: datetime) -> tuple[int, Sequence[int], Sequence[int]]:
        """End deliveries that wait for `host[:port]`, a bounded number.

        Returns:
            How many, none when no more wait; the ids of those that run and are to be stopped by the caller; and of
            those that run elsewhere and are to be interrupted: their tags were to move with one that was ended.
        """

    async def paused_registries(self) -> Mapping[str, datetime]:
        """Give the registries that are paused, and since when."""

    async def expire(self, now: datetime) -> int:
        """Fail deliveries that wait past their job's deadline, and spend credentials past theirs; give how many.

        Paused deliveries wait on.
        """

    async def prune(self, now: datetime, retention: Retention) -> Pruned:
        """Take away a bounded number of jobs and events whose time is over, and what only they needed."""

    async def spooled(self) -> Collection[str]:
        """Give the ids of the spool entries that jobs need which have not ended."""

    async def unneeded(self, entries: Collection[str]) -> Collection[str]:
        """Give those of these spool entries whose job has ended."""

    async def events(
        self, after: int, *, job_id: str | None = None, uid: int | None = None, limit: int = 500
    ) -> Sequence[Event]:
        """Give durable events numbered above `after`, in order; those of one job, or of one user's jobs, or all."""

    async def told(self) -> tuple[int, int]:
        """Give the numbers of the oldest durable event that is left, and of the newest there ever was.

        With none left the oldest is one more than the newest; the newest is 0 when there never was any.
        """

    @property
    def stream(self) -> str:
        """The id of the stream the events are numbered in: another one after a backup was restored."""

    async def queue(self, uid: int | None = None) -> Mapping[str, Mapping[str, int]]:
        """Count the deliveries that are not terminal, by registry and state; those of one user, or all."""

    async def oldest(self, uid: int | None = None) -> datetime | None:
        """Give when the oldest job that has not ended was submitted."""

    async def late(self, before: datetime) -> Late | None:
        """Give the jobs that might have begun before then and have not ended; None when there are none.

        One that is paused, or asked for a later time, waits as it should.
        """

    async def backlog(self) -> Mapping[str, Backlog]:
        """Give what has not ended of all deliveries, by registry; one that is paused is there whatever waits for it."""

    @property
    def size(self) -> int:
        """Bytes of the database on the disk."""
