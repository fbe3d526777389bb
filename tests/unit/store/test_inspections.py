"""What was found in a job's layers is written down once, for all its deliveries and all lives of the daemon."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.job import Validate
from pushd.store import open_store
from pushd.telemetry.events import IMAGE_VALIDATED
from pushd.work import Inspection
from tests.unit.store.samples import PLENTY, claimed, image, submission

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.store import Store
    from pushd.telemetry.events import Event

GOOD = Inspection(layers=3, skipped=1, size=4096, seconds=0.25)
BAD = Inspection(code="source.layer_invalid", message="layer sha256:ab: has a name with .. in it")


async def test_a_claim_says_how_far_its_image_is_to_be_looked_into(store: Store) -> None:
    for number, validate in enumerate(Validate):
        await store.submit(submission(f"job{number}", validate=validate), limit=PLENTY)
        claim = await claimed(store)
        assert claim.validate is validate
        assert await store.inspection(claim.job_id) is None


@pytest.mark.parametrize("found", [GOOD, BAD])
async def test_what_was_found_is_there_for_every_delivery_and_after_a_restart(
    store: Store, tmp_path: Path, found: Inspection
) -> None:
    await store.submit(submission("job1", "a.test/x:1", "b.test/x:1"), limit=PLENTY)
    await store.submit(submission("job2"), limit=PLENTY)
    await store.inspected(await claimed(store), found)
    assert await store.inspection("job1") == found
    assert await store.inspection("job2") is None
    await store.close()
    again = await open_store(tmp_path / "state", publish=lambda _: None)
    assert await again.inspection("job1") == found
    await again.close()


async def test_what_is_good_is_told_and_what_is_not_the_deliveries_tell(store: Store, published: list[Event]) -> None:
    for number, found in enumerate((GOOD, BAD)):
        await store.submit(submission(f"job{number}"), limit=PLENTY)
        await store.inspected(await claimed(store), found)
    (told,) = [event for event in published if event.kind is IMAGE_VALIDATED]
    assert (told.job, told.uid) == ("job0", 1000)
    digest = str(image().root.descriptor.digest)
    assert told.fields == {"digest": digest, "layers": 3, "skipped": 1, "size": 4096, "seconds": 0.25}
    assert told.message == "job job0: 3 layers are as they should be, 4096 bytes in 0.25 s"


async def test_who_lost_the_claim_writes_nothing(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    with pytest.raises(StoreError) as caught:
        await store.inspected(replace(claim, attempt=claim.attempt + 1), GOOD)
    assert caught.value.code is Code.STORE_CLAIM_LOST
    assert await store.inspection("job1") is None
