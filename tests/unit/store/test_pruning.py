from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pushd.job import DeliveryState, JobState, TransferState
from pushd.oci.upload import Checkpoint, Form
from pushd.store import pruning
from pushd.store.pruning import over
from pushd.work import FileIdentity, JobQuery, Pruned, Retention, TransferResult
from tests.unit.store.samples import (
    FAILED,
    NOON,
    PLENTY,
    THROTTLED,
    after,
    blob,
    claimed,
    image,
    index,
    submission,
    transfer_key,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.store import Store
    from tests.unit.store.samples import Clock

FOR_EVER = Retention(job_age=1e12, job_count=1_000_000, event_age=1e12, event_count=1_000_000)
AN_HOUR = Retention(job_age=3600, job_count=1_000_000, event_age=1e12, event_count=1_000_000)
DAY = 86_400.0


def few(jobs: int = 1_000_000, events: int = 1_000_000) -> Retention:
    return Retention(job_age=1e12, job_count=jobs, event_age=1e12, event_count=events)


async def ended(store: Store, job_id: str, at: float, *destinations: str) -> None:
    await store.submit(submission(job_id, *destinations), limit=PLENTY)
    await store.cancel(job_id, after(at))


async def ids(store: Store) -> list[str]:
    return [job.id for job in await store.list(JobQuery())]


async def count(store: Store, *tables: str) -> list[int]:
    return await store._reads.send(
        lambda connection: [int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables]
    )


# -------------------------------------------------------------------------------------------------------- jobs


async def test_jobs_go_when_they_ended_long_enough_ago(store: Store) -> None:
    await ended(store, "job1", 0)
    await ended(store, "job2", 100)
    await store.submit(submission("job3"), limit=PLENTY)
    assert await store.prune(after(3600), AN_HOUR) == Pruned(jobs=0, events=0, more=False)
    assert await store.prune(after(3601), AN_HOUR) == Pruned(jobs=1, events=0, more=False)
    assert await ids(store) == ["job3", "job2"]


async def test_jobs_beyond_the_count_go_the_first_to_end_first(store: Store) -> None:
    for number, at in enumerate((30, 10, 20, 40)):
        await ended(store, f"job{number}", at)
    await store.submit(submission("job9"), limit=PLENTY)
    assert await store.prune(after(50), few(jobs=2)) == Pruned(jobs=2, events=0, more=False)
    assert await ids(store) == ["job9", "job3", "job0"]


async def test_a_job_that_has_not_ended_is_never_touched(store: Store) -> None:
    await store.submit(submission("queued"), limit=PLENTY)
    await store.submit(submission("paused"), limit=PLENTY)
    await store.pause("paused", NOON, by=7)
    await store.submit(submission("partly", "a.test/app:1", "b.test/app:1", priority=9), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, NOON)
    await store.hold(await claimed(store), after(1e8), THROTTLED)
    await store.submit(submission("running", priority=9), limit=PLENTY)
    claim = await claimed(store)
    nothing = Retention(job_age=0, job_count=0, event_age=0, event_count=0)
    await store.prune(after(1e9), nothing)
    assert await ids(store) == ["running", "partly", "paused", "queued"]
    await store.finish(claim, FAILED, NOON)
    assert (await store.prune(after(1e9), nothing)).jobs == 1


async def test_a_job_that_is_retried_is_not_past_its_time_any_more(store: Store) -> None:
    await ended(store, "job1", 0)
    await store.retry("job1", after(1e6), by=7)
    assert (await store.prune(after(2e6), AN_HOUR)).jobs == 0
    await store.cancel("job1", after(2e6))
    assert (await store.prune(after(2e6 + 3600), AN_HOUR)).jobs == 0
    assert (await store.prune(after(2e6 + 3601), AN_HOUR)).jobs == 1


async def test_all_that_hangs_from_a_job_goes_with_it(store: Store) -> None:
    asked = submission("job1", labels={"a": "b"}, idempotency_key="key", of=index("amd64", "arm64"))
    await store.submit(asked, limit=PLENTY)
    await store.hold(await claimed(store), NOON, THROTTLED)
    claim = await claimed(store)
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=[blob("a"), blob("b")], manifests=1)
    key = transfer_key(claim, blob("b"))
    await store.checkpoint(claim, key, Checkpoint("https://registry.test/upload", 5, 10, Form.CHUNKED))
    await store.tagging(claim)
    await store.finish(claim, FAILED, NOON)
    assert await store.prune(after(3601), AN_HOUR) == Pruned(jobs=1, events=0, more=False)
    tables = (
        "jobs", "deliveries", "labels", "documents", "manifests", "waiters", "transfers", "upload_sessions",
        "history", "idempotency_keys", "tags",
    )  # fmt: skip
    assert dict(zip(tables, await count(store, *tables), strict=True)) == dict.fromkeys(tables, 0)
    assert await store.get("job1") is None
    assert (await store.submit(submission("job2", idempotency_key="key", fingerprint=b"new"), limit=1)).id == "job2"


async def test_what_another_job_needs_stays(store: Store) -> None:
    await store.submit(submission("job1", of=index("amd64", "arm64")), limit=PLENTY)
    await store.submit(submission("job2", of=image("amd64")), limit=PLENTY)
    first, second = await claimed(store), await claimed(store)
    for claim in (first, second):
        await store.plan(claim, credential="anonymous", repository="team/app", blobs=[blob("a")], manifests=1)
    checkpoint = Checkpoint("https://registry.test/upload", 5, 10, Form.CHUNKED)
    await store.checkpoint(second, transfer_key(second, blob("a")), checkpoint)
    await store.finish(first, FAILED, NOON)
    assert (await store.prune(after(3601), AN_HOUR)).jobs == 1
    assert await store.image("job2") == image("amd64")
    assert await store.recall(transfer_key(second, blob("a"))) == checkpoint
    assert await count(store, "manifests", "transfers") == [1, 1]
    await store.land(second, (blob("a"), TransferResult(state=TransferState.UPLOADED)))


async def test_an_older_job_comes_late_for_its_tag_however_much_was_pruned(store: Store) -> None:
    await store.submit(submission("old"), limit=PLENTY)
    old = await claimed(store)
    await store.submit(submission("new"), limit=PLENTY)
    new = await claimed(store)
    assert await store.tagging(new)
    await store.finish(new, FAILED, NOON)
    await store.submit(submission("newest"), limit=PLENTY)
    assert (await store.prune(after(3601), AN_HOUR)).jobs == 1
    assert not await store.tagging(old)
    await store.finish(old, FAILED, NOON)
    await store.prune(after(3601), AN_HOUR)
    assert await count(store, "tags") == [0]


async def test_a_round_takes_so_many_deliveries_and_says_that_there_is_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_DELIVERIES", 3)
    for number in range(4):
        await ended(store, f"job{number}", number)
    await ended(store, "large", 9, *(f"registry.test/app:{number}" for number in range(5)))
    rounds = [await store.prune(after(1e6), AN_HOUR) for _ in range(4)]
    assert [(one.jobs, one.more) for one in rounds] == [(3, True), (1, True), (1, False), (0, False)]


@pytest.mark.parametrize(
    ("ended", "before", "excess", "room", "chosen"),
    [
        ([], 10, 0, 5, ([], False)),
        ([(1, 5.0, 1), (2, 10.0, 1)], 10, 0, 5, ([1], False)),
        ([(1, 5.0, 1), (2, 10.0, 1)], 0, 1, 5, ([1], False)),
        ([(1, 5.0, 1), (2, 10.0, 1)], 0, 5, 5, ([1, 2], False)),
        ([(1, 5.0, 1), (2, 10.0, 1)], 0, -5, 5, ([], False)),
        ([(1, 5.0, 3), (2, 6.0, 2), (3, 6.0, 1)], 10, 0, 5, ([1, 2], True)),
        ([(1, 5.0, 64), (2, 6.0, 1)], 10, 0, 5, ([1], True)),
    ],
)
def test_those_go_that_are_too_old_or_too_many_as_far_as_there_is_room(
    ended: Sequence[tuple[int, float, int]], before: float, excess: int, room: int, chosen: tuple[list[int], bool]
) -> None:
    assert over(ended, before=before, excess=excess, room=room) == chosen


# ------------------------------------------------------------------------------------------------------ events


async def test_events_go_by_age_and_leave_no_gap(store: Store) -> None:
    for number in range(4):
        await store.submit(submission(f"job{number}", at=after(100 * number)), limit=PLENTY)
    an_hour = Retention(job_age=1e12, job_count=9, event_age=3600, event_count=1000)
    assert await store.prune(after(3750), an_hour) == Pruned(jobs=0, events=2, more=False)
    assert await store.told() == (3, 4)
    assert [event.seq for event in await store.events(0)] == [3, 4]
    assert await store.get("job0") is not None


async def test_events_go_by_count(store: Store) -> None:
    for number in range(5):
        await store.submit(submission(f"job{number}"), limit=PLENTY)
    assert await store.prune(NOON, few(events=2)) == Pruned(jobs=0, events=3, more=False)
    assert await store.told() == (4, 5)
    assert await store.prune(NOON, few(events=0)) == Pruned(jobs=0, events=2, more=False)
    assert await store.told() == (6, 5)
    assert await store.prune(NOON, few(events=0)) == Pruned(jobs=0, events=0, more=False)
    await store.submit(submission("job5"), limit=PLENTY)
    assert await store.told() == (6, 6)


async def test_an_event_told_while_the_clock_was_ahead_keeps_those_after_it_until_they_are_too_many(
    store: Store,
) -> None:
    for number, at in enumerate((0, 1e6, 0, 0)):
        await store.submit(submission(f"job{number}", at=after(at)), limit=PLENTY)
    an_hour = Retention(job_age=1e12, job_count=9, event_age=3600, event_count=3)
    assert (await store.prune(after(3601), an_hour)).events == 1
    assert await store.told() == (2, 4)
    fewer = Retention(job_age=1e12, job_count=9, event_age=3600, event_count=1)
    assert (await store.prune(after(3601), fewer)).events == 3


async def test_a_round_takes_so_many_events_and_says_that_there_is_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_EVENTS", 2)
    for number in range(5):
        await store.submit(submission(f"job{number}"), limit=PLENTY)
    rounds = [await store.prune(NOON, few(events=1)) for _ in range(3)]
    assert [(one.events, one.more) for one in rounds] == [(2, True), (2, True), (0, False)]


# ----------------------------------------------------------------------------------------------------- beliefs


async def test_what_was_believed_and_not_seen_again_is_forgotten_after_ninety_days(store: Store, clock: Clock) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=[blob("a"), blob("b")], manifests=1)
    await store.land(claim, (blob("a"), TransferResult(state=TransferState.UPLOADED)))
    clock.pass_time(DAY)
    await store.land(claim, (blob("b"), TransferResult(state=TransferState.UPLOADED)))
    identity = FileIdentity(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5, offset=0, length=3)
    await store.validate(identity, blob("a").digest, NOON)
    await store.validate(FileIdentity(**{**_fields(identity), "inode": 9}), blob("b").digest, after(DAY))
    assert await store.prune(after(90 * DAY), FOR_EVER) == Pruned(jobs=0, events=0, more=False)
    assert await count(store, "known_blobs", "validated_files") == [2, 2]
    await store.prune(after(90 * DAY + 1), FOR_EVER)
    assert await count(store, "known_blobs", "validated_files") == [1, 1]
    assert await store.validated(identity) is None
    assert await store.mount_candidate(transfer_key(claim, blob("b"), repository="other")) == "team/app"


def _fields(identity: FileIdentity) -> dict[str, int]:
    return {name: getattr(identity, name) for name in FileIdentity.__dataclass_fields__}


async def test_a_round_forgets_so_much_and_says_that_there_is_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BELIEFS", 2)
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    blobs = [blob(name) for name in "abc"]
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=blobs, manifests=1)
    for one in blobs:
        await store.land(claim, (one, TransferResult(state=TransferState.UPLOADED)))
    rounds = [await store.prune(after(100 * DAY), FOR_EVER) for _ in range(2)]
    assert [one.more for one in rounds] == [True, False]
    assert await count(store, "known_blobs") == [0]
    job = await store.get("job1")
    assert job is not None
    assert (job.state, job.deliveries[0].state) == (JobState.RUNNING, DeliveryState.RUNNING)


async def test_no_table_of_the_history_is_read_through_to_prune(store: Store) -> None:
    plans = await store._reads.send(
        lambda connection: {
            sql: [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["[]"] * sql.count("?"))]
            for sql in (value for name, value in vars(pruning).items() if name.startswith(("_DROP", "_MANI", "_TRAN")))
        }
    )
    assert len(plans) >= 8
    for sql, steps in plans.items():
        scans = [step for step in steps if step.startswith("SCAN")]
        assert all(re.match("SCAN (json_each|gone|sqlite_sequence)", step) for step in scans), (sql, steps)
