from __future__ import annotations

from typing import TYPE_CHECKING, cast

import anyio
import pytest

from pushd.errors import Code, StoreError
from pushd.job import TransferState
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.push.landings import Landings
from pushd.work import TransferResult

if TYPE_CHECKING:
    from pushd.push.ports.store import JobStore
    from pushd.work import Claim

UPLOADED = TransferResult(state=TransferState.UPLOADED)
BLOBS = [Descriptor("application/octet-stream", Digest.of(bytes([number])), 1) for number in range(4)]
CLAIM = cast("Claim", object())


class Store:
    """Writes down who landed together."""

    def __init__(self, error: StoreError | None = None) -> None:
        self.landed: list[set[Descriptor]] = []
        self._error = error

    async def land(self, claim: Claim, *results: tuple[Descriptor, TransferResult]) -> None:
        assert claim is CLAIM
        if self._error is not None:
            raise self._error
        self.landed.append({blob for blob, _ in results})


def landings(store: Store, expected: int) -> Landings:
    return Landings(cast("JobStore", store), CLAIM, expected=expected)


async def test_those_that_land_together_are_written_down_together() -> None:
    store = Store()
    house = landings(store, len(BLOBS))
    async with anyio.create_task_group() as landing:
        for blob in BLOBS:
            landing.start_soon(house.add, blob, UPLOADED)
    assert store.landed == [set(BLOBS)]


async def test_nobody_waits_for_long_for_those_that_take_their_time() -> None:
    store = Store()
    with anyio.fail_after(20):
        await landings(store, 2).add(BLOBS[0], UPLOADED)
    assert store.landed == [{BLOBS[0]}]


async def test_each_moment_is_written_down_for_itself() -> None:
    store = Store()
    house = landings(store, 3)
    await house.add(BLOBS[0], UPLOADED)
    await house.add(BLOBS[1], UPLOADED)
    await house.add(BLOBS[2], UPLOADED)
    assert store.landed == [{blob} for blob in BLOBS[:3]]


async def test_large_ones_are_not_waited_for() -> None:
    store = Store()
    house = landings(store, 2)
    house.pass_over()
    with anyio.fail_after(20):
        await house.add(BLOBS[0], UPLOADED)
    assert store.landed == [{BLOBS[0]}]


async def test_what_landed_is_written_down_though_its_delivery_is_cut_short() -> None:
    store = Store()
    with anyio.move_on_after(0.01) as cut:
        await landings(store, 2).add(BLOBS[0], UPLOADED)
    assert cut.cancelled_caught
    assert store.landed == [{BLOBS[0]}]


async def test_what_cannot_be_written_down_is_an_error() -> None:
    store = Store(StoreError(Code.STORE_FULL, "disk", "no room"))
    with pytest.raises(StoreError):
        await landings(store, 1).add(BLOBS[0], UPLOADED)
