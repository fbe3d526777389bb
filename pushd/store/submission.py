"""Taking a job in: the spec, its deliveries and its image, once for each idempotency key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.errors import Code, RequestError
from pushd.job import Delivery, Job, job_state
from pushd.store import credentials, image, jobs, submitters
from pushd.store.moment import moment, moment_or_none, seconds
from pushd.store.placing import resting
from pushd.store.transaction import About
from pushd.telemetry.events import JOB_SUBMITTED
from pushd.telemetry.trace import trace_id

if TYPE_CHECKING:
    import sqlite3

    from pushd.store.transaction import Transaction
    from pushd.work import Submission

_REPEATED = """
    SELECT jobs.*, idempotency_keys.fingerprint
    FROM idempotency_keys JOIN jobs ON jobs.number = idempotency_keys.job
    WHERE idempotency_keys.uid = ? AND idempotency_keys.key = ?
"""
_JOB = """
    INSERT INTO jobs
    (id, uid, gids, administrator, source, spool, retain, priority, labels, state, digest, media_type, size, verify,
     if_tag, platforms, validate, compress, encoding, tags, referrers, credential, created_at, not_before, deadline_at,
     lifetime, traceparent)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    RETURNING number
"""
_DELIVERY = """
    INSERT INTO deliveries
    (job, position, destination, registry, uid, priority, deadline_at, since, state, not_before)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    RETURNING id
"""
_LABEL = "INSERT INTO labels (key, value, job) VALUES (?, ?, ?)"
_KEY = "INSERT INTO idempotency_keys (uid, key, fingerprint, job) VALUES (?, ?, ?, ?)"


def submit(transaction: Transaction, submission: Submission, *, limit: int) -> Job:
    """Store a new job, or give the one already stored under the same uid and idempotency key.

    Raises:
        RequestError: `request.idempotency_conflict`; `request.limit`, the user has `limit` jobs already that have not
            ended.
    """
    if submission.idempotency_key is not None:
        again = repeated(
            transaction.connection, submission.uid, submission.idempotency_key, fingerprint=submission.fingerprint
        )
        if again is not None:
            return again
    if submitters.begin(transaction, submission.uid) > limit:
        raise RequestError(
            Code.REQUEST_LIMIT,
            f"user {submission.uid}",
            f"has {limit} jobs already that have not ended, and may not have more",
            hint="wait until some have ended, or cancel them",
        )
    return _store(transaction, submission)


def repeated(connection: sqlite3.Connection, uid: int, key: str, *, fingerprint: bytes) -> Job | None:
    """Read the job stored under this uid and idempotency key.

    Raises:
        RequestError: `request.idempotency_conflict`, the key was used with another body.
    """
    row = connection.execute(_REPEATED, (uid, key)).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != fingerprint:
        raise RequestError(
            Code.REQUEST_CONFLICT,
            "Idempotency-Key",
            f"was used before, with another request body, for job {row['id']}",
            hint="send a fresh key with a new request",
        )
    return jobs.whole(connection, row)


def _store(transaction: Transaction, submission: Submission) -> Job:
    """Write the job, and give it as it would be read: to read it back would take as long again."""
    spec, root, size = submission.spec, submission.image.root.descriptor, submission.image.size
    # What the image will be called is not known before its layers are compressed.
    digest, labels = str(root.digest) if submission.encoding is None else None, dict(spec.labels)
    created_at, deadline_at = seconds(submission.created_at), seconds(submission.deadline_at)
    begins_at = None if spec.not_before is None else seconds(spec.not_before)
    lifetime = max(0.0, deadline_at - max(created_at, begins_at or 0.0))
    referrers = len(submission.image.referrers) if spec.with_referrers else None
    state, until = resting(None, begins_at, created_at)
    ((number,),) = transaction.execute(
        _JOB,
        (
            submission.job_id,
            submission.uid,
            msgspec.json.encode(sorted(submission.gids)).decode(),
            submission.administrator,
            spec.source,
            submission.spool,
            spec.retain,
            spec.priority,
            msgspec.json.encode(labels).decode(),
            job_state([state]),
            str(root.digest),
            root.media_type,
            size,
            spec.verify,
            spec.if_tag,
            msgspec.json.encode(spec.platforms).decode(),
            spec.validate,
            spec.compress,
            submission.encoding,
            spec.tags,
            referrers,
            spec.credential,
            created_at,
            begins_at,
            deadline_at,
            lifetime,
            submission.traceparent,
        ),
    ).fetchall()
    deliveries: list[Delivery] = []
    for position, (destination, registry) in enumerate(zip(spec.destinations, submission.registries, strict=True)):
        ((delivery,),) = transaction.execute(
            _DELIVERY,
            (
                number,
                position,
                destination,
                registry,
                submission.uid,
                spec.priority,
                deadline_at,
                deadline_at - lifetime,
                state,
                until,
            ),
        ).fetchall()
        deliveries.append(Delivery(id=delivery, destination=destination, state=state, not_before=moment_or_none(until)))
    for key, value in labels.items():
        transaction.execute(_LABEL, (key, value, number))
    image.save(transaction, number, submission.image)
    credentials.put(transaction, submission.credentials, uid=submission.uid, job=number)
    if submission.idempotency_key is not None:
        transaction.execute(_KEY, (submission.uid, submission.idempotency_key, submission.fingerprint, number))
    transaction.tell(
        JOB_SUBMITTED,
        submission.created_at,
        About(submission.uid, submission.job_id, trace=trace_id(submission.traceparent)),
        source=spec.source,
        destinations=len(spec.destinations),
        size=size,
        digest=digest,
        uid=submission.uid,
        request_id=submission.request_id,
    )
    return Job(
        id=submission.job_id,
        state=job_state([state]),
        source=spec.source,
        uid=submission.uid,
        priority=spec.priority,
        labels=labels,
        digest=digest,
        media_type=root.media_type,
        size=size,
        created_at=moment(created_at),
        deadline_at=moment(deadline_at),
        finished_at=None,
        deliveries=tuple(deliveries),
        not_before=moment_or_none(begins_at),
        if_tag=spec.if_tag,
        retain=spec.retain,
        platforms=spec.platforms,
        validate=spec.validate,
        compress=spec.compress,
        tags=spec.tags,
        referrers=referrers,
    )
