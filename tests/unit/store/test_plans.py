"""No statement of the store walks through what grows, whatever is asked: SQLite says so itself, for each there is.

What a statement walks through is told by EXPLAIN QUERY PLAN (https://www.sqlite.org/eqp.html): SCAN reads it all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pushd.job import JobState, Tags, TransferState
from pushd.oci.upload import Checkpoint, Form
from pushd.store import crashes, open_store
from pushd.work import FileIdentity, JobQuery, Retention, TransferResult
from tests.unit.store.samples import (
    FAILED,
    NEEDY,
    NOON,
    PLENTY,
    THROTTLED,
    after,
    blob,
    claimed,
    image,
    sealed,
    submission,
    succeeded,
    transfer_key,
)

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from pushd.store import Store

SMALL = {
    "meta", "paused_registries", "submitters", "backlog", "sqlite_sequence",
    # Parts of a statement, and lists handed to it.
    "json_each", "gone", "waiting", "heads", "CONSTANT", "(subquery-1)",
}  # fmt: skip
"""What grows with users and registries at most."""

WHAT_RUNS = "USING INDEX deliveries_running"
"""Of which there are as many as places."""
NEWEST = "SELECT number FROM jobs WHERE TRUE ORDER BY number DESC LIMIT 100"
"""Walks from the end of the jobs, and stops where its page is full."""

IDENTITY = FileIdentity(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5, offset=0, length=3)
UPLOADED = TransferResult(state=TransferState.UPLOADED)
A, B = "a.test/team/app:1", "b.test/team/app:1"


async def deliver(store: Store) -> None:
    """Do what a delivery that succeeds asks for, step by step."""
    await store.submit(submission("done", A, idempotency_key="k", labels={"a": "1"}), limit=PLENTY)
    await store.submit(submission("done", A, idempotency_key="k"), limit=PLENTY)
    await store.repeated(1000, "k", b"body")
    claim = await claimed(store)
    await store.image("done")
    blobs = image().blobs
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=blobs, manifests=1)
    for one in blobs:
        key = transfer_key(claim, one)
        await store.recall(key)
        await store.mount_candidate(key)
        await store.validated(IDENTITY)
        await store.checkpoint(claim, key, Checkpoint("/upload", 0, 100, Form.CHUNKED))
        await store.checkpoint(claim, key, None)
    await store.land(claim, (blobs[0], UPLOADED))
    await store.land(claim, *[(one, UPLOADED) for one in blobs[1:]])
    await store.vouch(IDENTITY, blobs[0].digest)
    await store.validate(IDENTITY, blobs[0].digest, NOON)
    await store.forget(claim, credential="anonymous", repository="team/app", digests=[blob("x").digest])
    await store.tagging(claim)
    await store.finish(claim, succeeded(), NOON)


async def stumble(store: Store) -> None:
    """Do what is asked for where things go wrong, or somebody steps in."""
    for name in ("needy", "held", "released", "failed"):
        await store.submit(submission(name, A, B), limit=PLENTY)
    await store.hold(await claimed(store), after(60), NEEDY)
    await store.hold(await claimed(store), after(60), THROTTLED)
    await store.release(await claimed(store))
    await store.finish(await claimed(store), FAILED, NOON)
    await store.store_login(1000, "mine", sealed("a.test", until=after(50)), NOON, limit=9)
    await store.retry("needy", NOON, by=1000, handed=[sealed("b.test")])
    await store.handed("needy")
    (login,) = await store.logins(1000)
    await store.spend(login.sealed.number, NOON)
    await store.remove_login(1000, "mine", NOON)
    for name in ("needy", "held", "released", "failed"):
        await store.pause(name, NOON, by=0)
        await store.resume(name, NOON, by=0)
    await store.cancel("failed", NOON)
    await store.retry("failed", NOON, by=0)
    await store.pause_registry("b.test", NOON, by=0)
    await store.cancel_registry("b.test", NOON)
    await store.resume_registry("b.test", NOON, by=0)
    await store.met("a.test")
    await store.expire(after(100_000))
    await store.prune(after(1), Retention(job_age=1e6, job_count=1, event_age=1e6, event_count=5))


async def together(store: Store) -> None:
    """Do what is asked for where tags move together, or do not."""
    for name in ("fails", "moves"):
        await store.submit(submission(name, A, B, tags=Tags.TOGETHER, uid=2), limit=PLENTY)
        first, second = [await claimed(store) for _ in range(2)]
        await store.ready(first, NOON)
        if name == "fails":
            await store.finish(second, FAILED, NOON)
            continue
        await store.pause_registry("a.test", NOON, by=0)
        await store.ready(second, NOON)
        await store.resume_registry("a.test", NOON, by=0)
    await store.claim_all(NOON, free={}, default=0, most=9)
    await store.retry("fails", NOON, by=2)
    await store.cancel("fails", NOON)


async def ask(store: Store) -> None:
    """Ask whatever can be asked."""
    for query in (
        JobQuery(),
        JobQuery(uid=1000),
        JobQuery(states=(JobState.QUEUED, JobState.FAILED)),
        JobQuery(states=(JobState.QUEUED,), uid=1000),
        JobQuery(labels={"a": "1", "b": "2"}, registry="a.test", uid=1000, states=(JobState.FAILED,)),
        JobQuery(registry="a.test", uid=1000, states=(JobState.FAILED,)),
    ):
        await store.list(query)
    await store.get("held")
    await store.claim_all(NOON, free={}, default=0, most=1)
    await store.deadline()
    await store.paused_registries()
    await store.spooled()
    await store.unneeded(["a"])
    await store.told()
    for job_id, uid in ((None, None), ("held", None), ("held", 1000), (None, 1000)):
        await store.events(0, job_id=job_id, uid=uid)
    for uid in (None, 1000):
        await store.queue(uid)
        await store.oldest(uid)
    await store.late(after(100))
    await store.backlog()


def walks(connection: sqlite3.Connection, statements: set[str]) -> dict[str, list[str]]:
    """Give the statements that walk through what grows, with how."""
    found = {}
    for sql in statements:
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        scans = [
            step
            for step in steps
            if step.startswith("SCAN") and step.split()[1] not in SMALL and not step.endswith(WHAT_RUNS)
        ]
        if scans and sql != NEWEST:
            found[" ".join(sql.split())] = scans
    return found


async def test_no_statement_walks_through_what_grows(tmp_path: Path) -> None:
    store = await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)
    told: set[str] = set()

    def note(sql: str) -> None:
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", sql):
            told.add(sql)

    for connection in (store._opened.writer, store._opened.reader):
        connection.set_trace_callback(note)
    await deliver(store)
    await stumble(store)
    await together(store)
    await ask(store)
    await store._writes.send(lambda transaction: crashes.recover(transaction, NOON))
    for connection in (store._opened.writer, store._opened.reader):
        connection.set_trace_callback(None)
    assert len(told) > 100
    found = await store._writes.send(lambda transaction: walks(transaction.connection, told))
    await store.close()
    assert found == {}
