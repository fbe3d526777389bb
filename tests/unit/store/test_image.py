from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError, StoreError
from tests.unit.store.samples import PLENTY, image, index, submission, with_signature

if TYPE_CHECKING:
    import sqlite3

    from pushd.store import Store


async def test_an_image_comes_back_byte_for_byte_children_first(store: Store) -> None:
    submitted = index("amd64", "arm64")
    await store.submit(submission("job1", of=submitted), limit=PLENTY)
    assert await store.image("job1") == submitted


async def test_so_does_what_refers_to_it_with_its_tags(store: Store) -> None:
    submitted = with_signature()
    job = await store.submit(submission("job1", of=submitted, with_referrers=True), limit=PLENTY)
    assert await store.image("job1") == submitted
    assert job.referrers == 2
    assert await store.get("job1") == job


async def test_an_image_to_which_nothing_refers_has_none_and_one_nobody_asked_about_says_nothing(store: Store) -> None:
    none = await store.submit(submission("job1", with_referrers=True), limit=PLENTY)
    unasked = await store.submit(submission("job2"), limit=PLENTY)
    assert (none.referrers, unasked.referrers) == (0, None)
    assert await store.get("job1") == none
    assert await store.get("job2") == unasked


async def test_the_bytes_are_kept_once_however_many_jobs_push_them(store: Store) -> None:
    for number in range(3):
        await store.submit(submission(f"job{number}", of=index("amd64", "arm64")), limit=PLENTY)
    await store.submit(submission("job9", of=image("amd64")), limit=PLENTY)
    (count,) = await store._reads.send(
        lambda connection: connection.execute("SELECT count(*) FROM manifests").fetchone()
    )
    assert count == 3
    assert await store.image("job9") == image("amd64")


async def test_the_image_of_a_job_nobody_knows_is_not_found(store: Store) -> None:
    with pytest.raises(RequestError) as refused:
        await store.image("nobody")
    assert refused.value.code is Code.REQUEST_NOT_FOUND


async def test_a_manifest_whose_bytes_rotted_is_never_given(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)

    def rot(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE manifests SET content = CAST(content || ' ' AS BLOB)")

    await store._writes.send(lambda transaction: rot(transaction.connection))
    with pytest.raises(StoreError) as refused:
        await store.image("job1")
    assert refused.value.code is Code.STORE_DAMAGED
    assert refused.value.subject == str(image().root.descriptor.digest)
