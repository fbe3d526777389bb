"""Taking a job in: the spec, its deliveries and its image, once for each idempotency key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState, JobState
from pushd.store import image, jobs
from pushd.store.moment import seconds
from pushd.telemetry.events import JOB_SUBMITTED

if TYPE_CHECKING:
    from pushd.job import Job
    from pushd.store.transaction import Transaction
    from pushd.work import Submission


def submit(transaction: Transaction, submission: Submission) -> Job:
    """Store a new job, or give the one already stored under the same uid and idempotency key.

    Raises:
        RequestError: `request.idempotency_conflict`.
    """
    job_id = _repeated(transaction, submission)
    if job_id is None:
        _store(transaction, submission)
        job_id = submission.job_id
    row = transaction.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return jobs.whole(transaction.connection, row)


def _repeated(transaction: Transaction, submission: Submission) -> str | None:
    if submission.idempotency_key is None:
        return None
    row = transaction.execute(
        """SELECT jobs.id, fingerprint FROM idempotency_keys JOIN jobs ON jobs.number = idempotency_keys.job
           WHERE idempotency_keys.uid = ? AND key = ?""",
        (submission.uid, submission.idempotency_key),
    ).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != submission.fingerprint:
        raise RequestError(
            Code.REQUEST_CONFLICT,
            "Idempotency-Key",
            f"was used before, with another request body, for job {row['id']}",
            hint="send a fresh key with a new request",
        )
    return str(row["id"])


def _store(transaction: Transaction, submission: Submission) -> None:
    spec = submission.spec
    root = submission.image.root.descriptor
    number = transaction.execute(
        """INSERT INTO jobs
           (id, uid, source, priority, labels, state, digest, media_type, size, created_at, deadline_at, verify)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            submission.job_id,
            submission.uid,
            spec.source,
            spec.priority,
            msgspec.json.encode(dict(spec.labels)).decode(),
            JobState.QUEUED,
            str(root.digest),
            root.media_type,
            submission.image.size,
            seconds(submission.created_at),
            seconds(submission.deadline_at),
            spec.verify,
        ),
    ).lastrowid
    for position, (destination, registry) in enumerate(zip(spec.destinations, submission.registries, strict=True)):
        transaction.execute(
            """INSERT INTO deliveries (job, position, destination, registry, priority, state)
               VALUES (?, ?, ?, ?, ?, ?)""",
            (number, position, destination, registry, spec.priority, DeliveryState.QUEUED),
        )
    image.save(transaction, number, submission.image)
    if submission.idempotency_key is not None:
        transaction.execute(
            "INSERT INTO idempotency_keys (uid, key, fingerprint, job) VALUES (?, ?, ?, ?)",
            (submission.uid, submission.idempotency_key, submission.fingerprint, number),
        )
    transaction.tell(
        JOB_SUBMITTED,
        submission.created_at,
        submission.job_id,
        source=spec.source,
        destinations=len(spec.destinations),
        size=submission.image.size,
        digest=str(root.digest),
        uid=submission.uid,
    )
