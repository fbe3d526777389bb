"""A job whose plain layers are compressed: until then and from then on, and whatever ends the daemon in between."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError, StoreError
from pushd.job import Compress, DeliveryState, JobState
from pushd.oci.compression import Encoding
from pushd.store import open_store
from pushd.telemetry.events import IMAGE_COMPRESSED, JOB_FINISHED, JOB_SUBMITTED
from pushd.work import Compressed, JobQuery
from tests.unit.store.samples import CANCELLED, FAILED, NOON, PLENTY, claimed, image, next_claim, submission, succeeded

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.job import Job
    from pushd.store import Store
    from pushd.telemetry.events import Event

PLAIN, PACKED = image("plain"), image("packed")
THERE = ("a.test/app:1", "b.test/app:1")
COMPRESSED = Compressed(image=PACKED, spool="entry", layers=2, reused=1, before=5000, after=1700, seconds=1.23456)


async def take(store: Store, job_id: str = "job", **more: object) -> Job:
    asked = submission(job_id, *THERE, of=PLAIN, encoding=Encoding.ZSTD, **more)  # type: ignore[arg-type]  # as the test says
    return await store.submit(asked, limit=PLENTY)


async def read(store: Store, job_id: str = "job") -> Job:
    job = await store.get(job_id)
    assert job is not None
    return job


async def test_until_then_nobody_is_told_a_digest(store: Store, published: list[Event]) -> None:
    taken = await take(store)
    (listed,) = await store.list(JobQuery())
    for job in (taken, await read(store), listed):
        assert (job.digest, job.size, job.compress) == (None, PLAIN.size, Compress.ZSTD)
    assert await store.compressed("job") is None
    assert await store.image("job") == PLAIN
    for event in published:
        assert event.kind is not JOB_SUBMITTED or event.fields["digest"] is None
    claim = await claimed(store)
    assert (claim.encoding, claim.spool) == (Encoding.ZSTD, None)


async def test_from_then_on_its_image_is_another_and_the_spool_has_it(store: Store, published: list[Event]) -> None:
    await take(store, spool="before")
    claim = await claimed(store)

    await store.compress(claim, COMPRESSED)

    job, root = await read(store), PACKED.root.descriptor
    assert (job.digest, job.media_type, job.size) == (str(root.digest), root.media_type, PACKED.size)
    assert await store.image("job") == PACKED
    assert await store.compressed("job") == "entry"
    assert set(await store.spooled()) == {"entry"}
    (event,) = [event for event in published if event.kind is IMAGE_COMPRESSED]
    assert (event.job, event.uid, event.seq is not None) == ("job", 1000, True)
    assert event.fields == {
        "layers": 2, "reused": 1, "bytes_before": 5000, "bytes_after": 1700, "seconds": 1.235, "encoding": "zstd",
        "digest": str(root.digest),
    }  # fmt: skip
    other = await next_claim(store, NOON, default=8)
    assert other is not None
    assert (other.encoding, other.spool) == (None, "entry")


async def test_a_job_that_never_is_ends_without_a_digest_and_begins_anew(store: Store, published: list[Event]) -> None:
    await take(store)
    for _ in THERE:
        await store.finish(await claimed(store), FAILED, NOON)
    assert [event.fields["digest"] for event in published if event.kind is JOB_FINISHED] == [None]
    await store.retry("job", NOON, by=1000)
    assert (await claimed(store)).encoding is Encoding.ZSTD


async def test_ended_it_is_gone_from_the_spool_and_cannot_be_tried_again(store: Store) -> None:
    await take(store)
    claim = await claimed(store)
    await store.compress(claim, COMPRESSED)
    await store.finish(claim, FAILED, NOON)
    assert set(await store.unneeded(["entry"])) == set()
    await store.finish(await claimed(store), CANCELLED, NOON)
    assert set(await store.unneeded(["entry"])) == {"entry"}
    with pytest.raises(RequestError) as caught:
        await store.retry("job", NOON, by=1000)
    assert caught.value.code is Code.REQUEST_STATE


async def test_a_manifest_that_another_job_has_stays(store: Store) -> None:
    await take(store)
    await take(store, "other")
    await store.compress(await claimed(store), COMPRESSED)
    assert await store.image("other") == PLAIN
    assert (await read(store, "other")).digest is None
    assert await store.image("job") == PACKED


async def test_whoever_has_lost_their_claim_changes_nothing(store: Store, published: list[Event]) -> None:
    await take(store)
    claim = await claimed(store)
    with pytest.raises(StoreError) as caught:
        await store.compress(replace(claim, attempt=claim.attempt + 1), COMPRESSED)
    assert caught.value.code is Code.STORE_CLAIM_LOST
    assert (await read(store)).digest is None
    assert await store.image("job") == PLAIN
    assert IMAGE_COMPRESSED not in {event.kind for event in published}


@pytest.mark.parametrize("compressed", [False, True])
async def test_after_a_crash_it_is_done_again_unless_it_was_done(tmp_path: Path, *, compressed: bool) -> None:
    store = await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)
    await take(store)
    claim = await claimed(store)
    if compressed:
        await store.compress(claim, COMPRESSED)
    await store.close()

    store = await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)
    claim = await claimed(store)
    job = await read(store)
    assert (claim.encoding, claim.spool) == ((None, "entry") if compressed else (Encoding.ZSTD, None))
    assert await store.image("job") == (PACKED if compressed else PLAIN)
    assert job.digest == (str(PACKED.root.descriptor.digest) if compressed else None)
    await store.finish(claim, succeeded(), NOON)
    await store.finish(await claimed(store), succeeded(), NOON)
    assert (await read(store)).state is JobState.SUCCEEDED
    await store.close()


async def test_what_was_compressed_is_progress_and_no_crash_after_it_counts(tmp_path: Path) -> None:
    for life in range(12):
        store = await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)
        if life == 0:
            await take(store)
        claim = await claimed(store)
        if life == 8:
            await store.compress(claim, COMPRESSED)
        await store.close()
    store = await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)
    assert {delivery.state for delivery in (await read(store)).deliveries} == {DeliveryState.QUEUED}
    await store.close()
