from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.store import open_store
from tests.unit.store.samples import FAILED, NOON, PLENTY, claimed, image, submission

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.store import Store
    from pushd.work import Claim

TAG = "registry.test/team/app:1.4"
DIGEST = image().root.descriptor.digest


async def claims(store: Store, *destinations: str) -> list[Claim]:
    """Submit a job for each destination, in order, and claim all of them."""
    found = []
    for number, destination in enumerate(destinations):
        await store.submit(submission(f"job{number}", destination), limit=PLENTY)
        claim = await claimed(store)
        found.append(claim)
    return found


async def test_tags_are_put_in_the_order_of_submission(store: Store) -> None:
    older, newer = await claims(store, TAG, TAG)
    assert await store.tagging(older)
    assert await store.tagging(newer)


async def test_an_older_job_that_comes_late_does_not_tag(store: Store) -> None:
    older, newer = await claims(store, TAG, TAG)
    assert await store.tagging(newer)
    assert not await store.tagging(older)
    assert await store.tagging(newer)


async def test_a_delivery_that_tags_again_may(store: Store) -> None:
    (claim,) = await claims(store, TAG)
    assert await store.tagging(claim)
    assert await store.tagging(claim)


async def test_a_newer_job_that_did_not_come_to_its_tag_is_in_nobodys_way(store: Store) -> None:
    older, newer = await claims(store, TAG, TAG)
    await store.finish(newer, FAILED, NOON)
    assert await store.tagging(older)


@pytest.mark.parametrize(
    "other", ["registry.test/team/app:1.5", "registry.test/team/other:1.4", "mirror.test/team/app:1.4"]
)
async def test_other_tags_have_an_order_of_their_own(store: Store, other: str) -> None:
    older, newer = await claims(store, TAG, other)
    assert await store.tagging(newer)
    assert await store.tagging(older)


async def test_a_tag_is_the_same_with_and_without_a_digest_beside_it(store: Store) -> None:
    older, newer = await claims(store, TAG, f"{TAG}@{DIGEST}")
    assert await store.tagging(newer)
    assert not await store.tagging(older)


async def test_what_is_put_by_its_digest_alone_has_no_order(store: Store) -> None:
    older, newer = await claims(store, *[f"registry.test/team/app@{DIGEST}"] * 2)
    assert await store.tagging(newer)
    assert await store.tagging(older)


async def test_the_order_outlives_the_daemon(tmp_path: Path) -> None:
    store = await open_store(tmp_path, publish=lambda _: None)
    older, newer = await claims(store, TAG, TAG)
    assert await store.tagging(newer)
    await store.close()
    store = await open_store(tmp_path, publish=lambda _: None)
    again = await claimed(store)
    assert again.delivery_id == older.delivery_id
    assert not await store.tagging(again)
    await store.close()
