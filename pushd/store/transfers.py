"""What a delivery needs, what each blob of it came to, and where its upload stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import TransferState
from pushd.oci.digest import Digest
from pushd.oci.upload import Checkpoint, Form
from pushd.store import known_blobs, life, registries
from pushd.store.moment import seconds
from pushd.store.transaction import About
from pushd.telemetry.events import DELIVERY_PLANNED, TRANSFER_FINISHED
from pushd.telemetry.trace import trace_id
from pushd.work import TransferKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from pushd.oci.descriptor import Descriptor
    from pushd.store.transaction import Transaction
    from pushd.work import Claim, TransferResult

_NEED = """
    INSERT INTO transfers (registry, repository, digest, credential, uid) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (registry, repository, digest, credential, uid) DO UPDATE SET uid = uid RETURNING id
"""
_STANDS = 'SELECT location, "offset", chunk_size, form FROM upload_sessions WHERE transfer = ?'
_WAIT = """
    INSERT INTO waiters (delivery, position, transfer, media_type, size, state, claimed_offset)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, coalesce((SELECT "offset" FROM upload_sessions WHERE transfer = ?3), 0))
"""
_WAITERS = """
    SELECT waiters.transfer, waiters.sent, transfers.repository, transfers.credential, transfers.digest
    FROM waiters JOIN transfers ON transfers.id = waiters.transfer
    WHERE waiters.delivery = ?
"""
_WAITER = f"{_WAITERS} AND transfers.digest = ?"
_LAND = """
    UPDATE waiters SET state = ?, sent = ?, resumed = ?, interruptions = ?, form = ?, seconds = ?
    WHERE delivery = ? AND transfer = ?
"""
_SENT = "UPDATE deliveries SET sent = sent + ?, progressed = progressed OR ? WHERE id = ?"
_WAITED_FOR = """
    SELECT transfers.id
    FROM transfers JOIN waiters ON waiters.transfer = transfers.id
    WHERE registry = ? AND repository = ? AND digest = ? AND credential = ? AND uid = ? AND waiters.delivery = ?
"""
_SAVE = """
    INSERT INTO upload_sessions (transfer, location, "offset", chunk_size, form, epoch, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (transfer) DO UPDATE SET location = excluded.location, "offset" = excluded."offset",
        chunk_size = excluded.chunk_size, form = excluded.form, epoch = excluded.epoch,
        updated_at = excluded.updated_at
"""
_RECALL = """
    SELECT upload_sessions.*
    FROM transfers JOIN upload_sessions ON upload_sessions.transfer = transfers.id
    WHERE registry = ? AND repository = ? AND digest = ? AND credential = ? AND uid = ?
"""


def plan(
    transaction: Transaction,
    claim: Claim,
    *,
    credential: str,
    repository: str,
    blobs: Sequence[Descriptor],
    manifests: int,
    now: datetime,
) -> Mapping[Digest, Checkpoint | str]:
    """Write down what a delivery needs, in order, all pending; what an earlier attempt came to goes.

    Returns:
        For each blob of which something is known, where its upload stands, else the repository it was seen in: this one
        if it was.
    """
    if blobs:
        registries.meet(transaction, claim.registry)
    transaction.execute("DELETE FROM waiters WHERE delivery = ?", (claim.delivery_id,))
    known: dict[Digest, Checkpoint | str] = {}
    for position, blob in enumerate(blobs):
        key = TransferKey(
            registry=claim.registry,
            repository=repository,
            digest=blob.digest,
            credential=credential,
            uid=claim.uid,
        )
        ((transfer,),) = transaction.execute(_NEED, _columns(key)).fetchall()
        transaction.execute(
            _WAIT, (claim.delivery_id, position, transfer, blob.media_type, blob.size, TransferState.PENDING)
        )
        row = transaction.execute(_STANDS, (transfer,)).fetchone()
        helps = known_blobs.where(transaction.connection, key) if row is None else _checkpoint(row)
        if helps is not None:
            known[blob.digest] = helps
    transaction.tell(
        DELIVERY_PLANNED,
        now,
        _about(claim),
        destination=claim.destination,
        registry=claim.registry,
        blobs=len(blobs),
        size=sum(blob.size for blob in blobs),
        manifests=manifests,
    )
    return known


def land(
    transaction: Transaction, claim: Claim, results: Collection[tuple[Descriptor, TransferResult]], now: datetime
) -> None:
    """Write down what blobs came to; where one landed, its upload is forgotten and the repository known to hold it.

    Raises:
        LookupError: the delivery was not planned to need one of them.
    """
    sent, progressed = 0, False
    for waiter, blob, result in _waiters(transaction, claim, results):
        transaction.execute(
            _LAND,
            (
                result.state,
                result.sent,
                result.resumed,
                result.interruptions,
                result.form,
                result.seconds,
                claim.delivery_id,
                waiter["transfer"],
            ),
        )
        sent += result.sent - waiter["sent"]
        progressed |= result.state.landed and _settle(transaction, claim, waiter, result.state, now)
        _tell_finished(transaction, claim, blob, result, now)
    if progressed:
        life.move(transaction)
    transaction.execute(_SENT, (sent, progressed, claim.delivery_id))


def _waiters(
    transaction: Transaction, claim: Claim, results: Collection[tuple[Descriptor, TransferResult]]
) -> Iterator[tuple[sqlite3.Row, Descriptor, TransferResult]]:
    """Give each result with the delivery's need for it: looked for, or for several at once read in one pass."""
    found: dict[str, sqlite3.Row] = {}
    if len(results) > 1:
        found = {row["digest"]: row for row in transaction.execute(_WAITERS, (claim.delivery_id,)).fetchall()}
    for blob, result in results:
        digest = str(blob.digest)
        waiter = found.get(digest) or transaction.execute(_WAITER, (claim.delivery_id, digest)).fetchone()
        if waiter is None:
            raise LookupError(f"{blob.digest} is not in the plan of delivery {claim.delivery_id}")
        yield waiter, blob, result


def _settle(transaction: Transaction, claim: Claim, waiter: sqlite3.Row, state: TransferState, now: datetime) -> bool:
    """Forget the upload of a blob that landed, and remember where it is; give whether that is progress.

    Found there as before is none: in every life of a daemon that crashes it is found there again.
    """
    _forget(transaction, waiter["transfer"])
    key = TransferKey(
        registry=claim.registry,
        repository=waiter["repository"],
        digest=Digest.parse(waiter["digest"]),
        credential=waiter["credential"],
        uid=claim.uid,
    )
    news = state is not TransferState.PRESENT or not known_blobs.known(transaction.connection, key)
    known_blobs.remember(transaction, key, now)
    return news


def _tell_finished(
    transaction: Transaction, claim: Claim, blob: Descriptor, result: TransferResult, now: datetime
) -> None:
    transaction.tell(
        TRANSFER_FINISHED,
        now,
        _about(claim),
        digest=str(blob.digest),
        destination=claim.destination,
        registry=claim.registry,
        media_type=blob.media_type,
        size=blob.size,
        state=result.state.value,
        sent=result.sent,
        seconds=round(result.seconds, 3),
        resumed=result.resumed,
        interruptions=result.interruptions,
        form=result.form,
        attempt=claim.attempt,
        uid=claim.uid,
        credential=claim.credential,
    )


def checkpoint(
    transaction: Transaction, claim: Claim, key: TransferKey, checkpoint: Checkpoint | None, now: datetime
) -> None:
    """Save, or with None forget, where an upload session stands.

    Raises:
        LookupError: the delivery was not planned to need that transfer.
    """
    row = transaction.execute(_WAITED_FOR, (*_columns(key), claim.delivery_id)).fetchone()
    if row is None:
        raise LookupError(f"{key.digest} to {key.repository} is not in the plan of delivery {claim.delivery_id}")
    if checkpoint is None:
        _forget(transaction, row["id"])
        return
    transaction.execute(
        _SAVE,
        (
            row["id"],
            checkpoint.location,
            checkpoint.offset,
            checkpoint.chunk_size,
            checkpoint.form,
            claim.epoch,
            seconds(now),
        ),
    )


def recall(connection: sqlite3.Connection, key: TransferKey) -> Checkpoint | None:
    """Read where an upload session stands."""
    row = connection.execute(_RECALL, _columns(key)).fetchone()
    return None if row is None else _checkpoint(row)


def _checkpoint(row: sqlite3.Row) -> Checkpoint:
    return Checkpoint(row["location"], row["offset"], row["chunk_size"], Form(row["form"]))


def _forget(transaction: Transaction, transfer: int) -> None:
    transaction.execute("DELETE FROM upload_sessions WHERE transfer = ?", (transfer,))


def _about(claim: Claim) -> About:
    return About(claim.uid, claim.job_id, claim.delivery_id, trace_id(claim.traceparent))


def _columns(key: TransferKey) -> tuple[str, str, str, str, int]:
    return key.registry, key.repository, str(key.digest), key.credential, key.uid
