"""What the store tells without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store import (
    backlog,
    compression,
    credentials,
    expiry,
    image,
    inspections,
    jobs,
    journal,
    known_blobs,
    registries,
    submission,
    transfers,
    validated_files,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Job
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.upload import Checkpoint
    from pushd.store.worker import Worker
    from pushd.telemetry.events import Event
    from pushd.telemetry.standing import Backlog
    from pushd.work import FileIdentity, Inspection, JobQuery, Late, Login, Sealed, TransferKey


class View:
    """The half of `Store` that only reads. What it gives was committed, and is of one moment."""

    def __init__(self, reads: Worker[sqlite3.Connection]) -> None:
        self._reads = reads

    async def repeated(self, uid: int, idempotency_key: str, fingerprint: bytes) -> Job | None:
        """Give the job stored under this uid and key, if there is one.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body.
        """
        return await self._reads.send(
            lambda connection: submission.repeated(connection, uid, idempotency_key, fingerprint=fingerprint)
        )

    async def get(self, job_id: str) -> Job | None:
        """Give one job with its deliveries and their transfers."""
        return await self._reads.send(lambda connection: jobs.job(connection, job_id))

    async def list(self, query: JobQuery) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers.

        Raises:
            RequestError: `request.not_found`, there is no job `after`, or it is not of the query's `uid`.
        """
        return await self._reads.send(lambda connection: jobs.jobs(connection, query))

    async def inspection(self, job_id: str) -> Inspection | None:
        """Give what was found when the layers of a job's image were looked into, if they were."""
        return await self._reads.send(lambda connection: inspections.find(connection, job_id))

    async def image(self, job_id: str) -> Image:
        """Give the image of a job, the manifests' original bytes included.

        Raises:
            RequestError: `request.not_found`.
        """
        return await self._reads.send(lambda connection: image.load(connection, job_id))

    async def compressed(self, job_id: str) -> str | None:
        """Give the spool entry that holds a job's compressed image; None while its layers are plain."""
        return await self._reads.send(lambda connection: compression.entry(connection, job_id))

    async def deadline(self) -> datetime | None:
        """Give when there is something for `expire` to do next, if nothing changes meanwhile; None for never."""
        return await self._reads.send(expiry.deadline)

    async def recall(self, key: TransferKey) -> Checkpoint | None:
        """Give the saved checkpoint of an upload session."""
        return await self._reads.send(lambda connection: transfers.recall(connection, key))

    async def met(self, registry: str) -> bool:
        """Tell whether a delivery to `host[:port]` ever got past the first question, and planned a blob to send."""
        return await self._reads.send(lambda connection: registries.met(connection, registry))

    async def seen_in(self, key: TransferKey) -> str | None:
        """Give the repository of the registry that the blob is believed to be in: this one, or as below."""
        return await self._reads.send(lambda connection: known_blobs.where(connection, key))

    async def mount_candidate(self, key: TransferKey) -> str | None:
        """Give another repository of the same registry that is believed to hold the blob.

        Believed from what earlier deliveries of the same principal with the same credential landed; the newest.
        """
        return await self._reads.send(lambda connection: known_blobs.elsewhere(connection, key))

    async def validated(self, identity: FileIdentity) -> Digest | None:
        """Give the digest that this very content was found to have before."""
        return await self._reads.send(lambda connection: validated_files.find(connection, identity))

    async def handed(self, job_id: str) -> Sequence[Sealed]:
        """Give the credentials handed over with a job, oldest first; those that are spent without their secret."""
        return await self._reads.send(lambda connection: credentials.handed(connection, job_id))

    async def logins(self, uid: int) -> Sequence[Login]:
        """Give the credentials a user stored, by name; those that are spent without their secret."""
        return await self._reads.send(lambda connection: credentials.logins(connection, uid))

    async def paused_registries(self) -> Mapping[str, datetime]:
        """Give the registries that are paused, and since when."""
        return await self._reads.send(registries.paused)

    async def spooled(self) -> Collection[str]:
        """Give the ids of the spool entries that jobs need which have not ended."""
        return await self._reads.send(jobs.spooled)

    async def unneeded(self, entries: Collection[str]) -> Collection[str]:
        """Give those of these spool entries whose job has ended."""
        entries = tuple(entries)  # as they are now: the caller goes on
        return await self._reads.send(lambda connection: jobs.unneeded(connection, entries))

    async def events(
        self, after: int, *, job_id: str | None = None, uid: int | None = None, limit: int = 500
    ) -> Sequence[Event]:
        """Give durable events numbered above `after`, in order; those of one job, or of one user's jobs, or all."""
        return await self._reads.send(
            lambda connection: journal.events(connection, after, job_id=job_id, uid=uid, limit=limit)
        )

    async def told(self) -> tuple[int, int]:
        """Give the numbers of the oldest durable event that is left, and of the newest there ever was.

        With none left the oldest is one more than the newest; the newest is 0 when there never was any.
        """
        return await self._reads.send(journal.told)

    async def queue(self, uid: int | None = None) -> Mapping[str, Mapping[str, int]]:
        """Count the deliveries that are not terminal, by registry and state; those of one user, or all."""
        return await self._reads.send(lambda connection: backlog.queue(connection, uid))

    async def oldest(self, uid: int | None = None) -> datetime | None:
        """Give when the oldest job that has not ended was submitted."""
        return await self._reads.send(lambda connection: jobs.oldest(connection, uid))

    async def late(self, before: datetime) -> Late | None:
        """Give the jobs that might have begun before then and have not ended; None when there are none.

        One that is paused, or asked for a later time, waits as it should.
        """
        return await self._reads.send(lambda connection: jobs.late(connection, before))

    async def backlog(self) -> Mapping[str, Backlog]:
        """Give what has not ended of all deliveries, by registry; one that is paused is there whatever waits for it."""
        return await self._reads.send(backlog.backlog)
