from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import StoreError
from pushd.job import Transfer, TransferState
from pushd.oci.upload import Checkpoint, Form
from pushd.telemetry.events import DELIVERY_PLANNED, TRANSFER_FINISHED
from pushd.work import TransferResult
from tests.unit.store.samples import (
    LAYER,
    PLENTY,
    THROTTLED,
    after,
    blob,
    claimed,
    submission,
    transfer_key,
)

if TYPE_CHECKING:
    from pushd.store import Store
    from pushd.telemetry.events import Event
    from pushd.work import Claim
    from tests.unit.store.samples import Clock

A, B = blob("a", 1000), blob("b", 50)
HALFWAY = Checkpoint("https://registry.test/v2/team/app/blobs/uploads/1?_state=secret", 500, 100, Form.CHUNKED)


async def planned(store: Store, job_id: str = "job1", *, uid: int = 1000, credential: str = "anonymous") -> Claim:
    await store.submit(submission(job_id, uid=uid), limit=PLENTY)
    claim = await claimed(store)
    await store.plan(claim, credential=credential, repository="team/app", blobs=[A, B], manifests=1)
    return claim


async def transfers(store: Store, job_id: str = "job1") -> tuple[Transfer, ...]:
    job = await store.get(job_id)
    assert job is not None
    return job.deliveries[0].transfers


async def test_a_plan_lists_what_is_needed_in_order_all_pending(store: Store, published: list[Event]) -> None:
    claim = await planned(store)
    assert await transfers(store) == (
        Transfer(digest=str(A.digest), media_type=LAYER, size=1000, state=TransferState.PENDING),
        Transfer(digest=str(B.digest), media_type=LAYER, size=50, state=TransferState.PENDING),
    )
    event = published[-1]
    assert (event.kind, event.job, event.delivery) == (DELIVERY_PLANNED, "job1", claim.delivery_id)
    assert event.fields == {
        "destination": claim.destination,
        "registry": "registry.test",
        "blobs": 2,
        "size": 1050,
        "manifests": 1,
    }


async def test_a_new_plan_takes_the_place_of_the_old(store: Store) -> None:
    claim = await planned(store)
    await store.land(claim, (A, TransferResult(state=TransferState.UPLOADED, sent=1000)))
    await store.plan(claim, credential="other", repository="team/app", blobs=[B], manifests=1)
    assert await transfers(store) == (
        Transfer(digest=str(B.digest), media_type=LAYER, size=50, state=TransferState.PENDING),
    )


async def test_a_landed_blob_is_done_and_told_with_its_facts(
    store: Store, published: list[Event], clock: Clock
) -> None:
    claim = await planned(store)
    clock.pass_time(4)
    result = TransferResult(
        state=TransferState.UPLOADED, sent=1100, resumed=200, interruptions=2, form="chunked", seconds=3.14159
    )
    await store.land(claim, (A, result))
    landed, pending = await transfers(store)
    assert (landed.state, landed.done, landed.sent) == (TransferState.UPLOADED, 1000, 1100)
    assert pending.state is TransferState.PENDING
    event = published[-1]
    assert (event.kind, event.at, event.delivery) == (TRANSFER_FINISHED, after(4), claim.delivery_id)
    assert event.fields == {
        "digest": str(A.digest),
        "destination": claim.destination,
        "registry": "registry.test",
        "media_type": LAYER,
        "size": 1000,
        "state": "uploaded",
        "sent": 1100,
        "seconds": 3.142,
        "resumed": 200,
        "interruptions": 2,
        "form": "chunked",
        "attempt": 1,
        "uid": 1000,
        "credential": "auto",
    }


async def test_what_was_not_planned_cannot_land(store: Store, published: list[Event]) -> None:
    claim = await planned(store)
    count = len(published)
    with pytest.raises(LookupError, match="not in the plan"):
        await store.land(claim, (blob("other"), TransferResult(state=TransferState.PRESENT)))
    assert len(published) == count


async def test_a_checkpoint_is_recalled_as_it_was_saved(store: Store) -> None:
    claim = await planned(store)
    key = transfer_key(claim, A)
    assert await store.recall(key) is None
    await store.checkpoint(claim, key, HALFWAY)
    assert await store.recall(key) == HALFWAY
    newer = replace(HALFWAY, location="https://registry.test/2", offset=600, form=Form.STREAMED)
    await store.checkpoint(claim, key, newer)
    assert await store.recall(key) == newer
    assert await store.recall(transfer_key(claim, B)) is None


async def test_a_blob_whose_upload_has_begun_runs_as_far_as_it_is_known(store: Store) -> None:
    claim = await planned(store)
    await store.checkpoint(claim, transfer_key(claim, A), HALFWAY)
    moving, waiting = await transfers(store)
    assert (moving.state, moving.done) == (TransferState.RUNNING, 500)
    assert (waiting.state, waiting.done) == (TransferState.PENDING, 0)
    await store.hold(claim, after(60), THROTTLED)
    moving, _ = await transfers(store)
    assert (moving.state, moving.done) == (TransferState.PENDING, 500)


async def test_a_forgotten_checkpoint_is_gone(store: Store) -> None:
    claim = await planned(store)
    key = transfer_key(claim, A)
    await store.checkpoint(claim, key, HALFWAY)
    await store.checkpoint(claim, key, None)
    await store.checkpoint(claim, key, None)
    assert await store.recall(key) is None


async def test_a_checkpoint_goes_when_its_blob_landed_and_stays_when_it_failed(store: Store) -> None:
    claim = await planned(store)
    for one in (A, B):
        await store.checkpoint(claim, transfer_key(claim, one), HALFWAY)
    await store.land(claim, (A, TransferResult(state=TransferState.UPLOADED)))
    await store.land(claim, (B, TransferResult(state=TransferState.FAILED)))
    assert await store.recall(transfer_key(claim, A)) is None
    assert await store.recall(transfer_key(claim, B)) == HALFWAY


async def test_a_later_job_of_the_same_principal_finds_where_the_upload_stands(store: Store) -> None:
    first = await planned(store, "job1")
    await store.checkpoint(first, transfer_key(first, A), HALFWAY)
    second = await planned(store, "job2")
    assert await store.recall(transfer_key(second, A)) == HALFWAY
    newer = replace(HALFWAY, offset=900)
    await store.checkpoint(second, transfer_key(second, A), newer)
    assert await store.recall(transfer_key(first, A)) == newer


async def test_an_upload_is_never_shared_across_principals_or_credentials(store: Store) -> None:
    mine = await planned(store, "job1", uid=1000)
    await store.checkpoint(mine, transfer_key(mine, A), HALFWAY)
    theirs = await planned(store, "job2", uid=1001)
    assert await store.recall(transfer_key(theirs, A)) is None
    other = await planned(store, "job3", uid=1000, credential="docker-config:alice")
    assert await store.recall(transfer_key(other, A, credential="docker-config:alice")) is None


async def test_a_delivery_cannot_move_an_upload_it_does_not_wait_for(store: Store) -> None:
    mine = await planned(store, "job1", uid=1000)
    theirs = await planned(store, "job2", uid=1001)
    with pytest.raises(LookupError, match="not in the plan"):
        await store.checkpoint(theirs, transfer_key(mine, A), HALFWAY)
    assert await store.recall(transfer_key(mine, A)) is None


async def test_a_registry_is_met_once_a_delivery_to_it_was_planned(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    assert not await store.met(claim.registry)
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=[A], manifests=1)
    assert await store.met(claim.registry)
    assert not await store.met("other.test")


async def test_the_upload_location_is_in_no_event(store: Store, published: list[Event]) -> None:
    claim = await planned(store)
    await store.checkpoint(claim, transfer_key(claim, A), HALFWAY)
    await store.land(claim, (A, TransferResult(state=TransferState.FAILED)))
    stored = await store._reads.send(
        lambda connection: [row["fields"] for row in connection.execute("SELECT fields FROM events")]
    )
    assert stored
    assert "secret" not in repr(stored) + repr(published)


async def test_an_error_about_a_checkpoint_does_not_repeat_its_location(store: Store) -> None:
    claim = await planned(store)
    broken = replace(HALFWAY, offset=1 << 70)
    with pytest.raises(OverflowError) as raised:
        await store.checkpoint(claim, transfer_key(claim, A), broken)
    assert "secret" not in repr(raised.value)
    with pytest.raises(LookupError) as missing:
        await store.checkpoint(claim, transfer_key(claim, blob("other")), HALFWAY)
    assert "secret" not in repr(missing.value)


# --------------------------------------------------------------------------- many blobs, one question and one answer


async def test_a_plan_tells_where_each_blobs_upload_stands_else_where_it_was_seen(store: Store) -> None:
    first = await planned(store, "job1")
    await store.checkpoint(first, transfer_key(first, A), HALFWAY)
    await store.land(first, (B, TransferResult(state=TransferState.UPLOADED)))
    await store.submit(submission("job2"), limit=PLENTY)
    second = await claimed(store)
    blobs = [A, B, blob("c")]

    there = await store.plan(second, credential="anonymous", repository="team/app", blobs=blobs, manifests=1)
    elsewhere = await store.plan(second, credential="anonymous", repository="other", blobs=blobs, manifests=1)

    assert there == {A.digest: HALFWAY, B.digest: "team/app"}
    assert elsewhere == {B.digest: "team/app"}


async def test_a_plan_tells_nothing_of_other_principals_or_credentials(store: Store) -> None:
    mine = await planned(store, "job1")
    await store.checkpoint(mine, transfer_key(mine, A), HALFWAY)
    await store.land(mine, (B, TransferResult(state=TransferState.UPLOADED)))
    await store.submit(submission("job2", uid=1001), limit=PLENTY)
    theirs = await claimed(store)
    for claim, credential, repository in (
        (theirs, "anonymous", "team/app"),
        (theirs, "anonymous", "other"),
        (mine, "docker-config:alice", "team/app"),
        (mine, "docker-config:alice", "other"),
    ):
        known = await store.plan(claim, credential=credential, repository=repository, blobs=[A, B], manifests=1)
        assert known == {}


async def test_several_blobs_land_as_each_would_alone(store: Store, published: list[Event]) -> None:
    claim = await planned(store)
    before = len(published)
    uploaded = TransferResult(state=TransferState.UPLOADED, sent=1000)
    await store.land(claim, *[(A, uploaded), (B, TransferResult(state=TransferState.FAILED, sent=20))])
    assert [one.state for one in await transfers(store)] == [TransferState.UPLOADED, TransferState.FAILED]
    told = published[before:]
    assert [(event.kind, event.fields["digest"], event.fields["sent"]) for event in told] == [
        (TRANSFER_FINISHED, str(A.digest), 1000),
        (TRANSFER_FINISHED, str(B.digest), 20),
    ]
    assert await store.mount_candidate(transfer_key(claim, A, repository="other")) == "team/app"


async def test_of_several_blobs_all_land_or_none_does(store: Store) -> None:
    claim = await planned(store)
    uploaded = TransferResult(state=TransferState.UPLOADED)
    with pytest.raises(LookupError, match="not in the plan"):
        await store.land(claim, *[(A, uploaded), (blob("other"), uploaded)])
    assert [one.state for one in await transfers(store)] == [TransferState.PENDING] * 2
    await store.release(claim)
    with pytest.raises(StoreError, match="no longer has this delivery"):
        await store.land(claim, *[(A, uploaded)])
