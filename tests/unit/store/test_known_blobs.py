from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.job import TransferState
from pushd.work import TransferResult
from tests.unit.store.samples import PLENTY, blob, claimed, submission, transfer_key

if TYPE_CHECKING:
    from pushd.store import Store
    from pushd.work import Claim
    from tests.unit.store.samples import Clock

A, B = blob("a"), blob("b")
UPLOADED = TransferResult(state=TransferState.UPLOADED)


async def begun(store: Store, repository: str, *, registry: str = "registry.test") -> Claim:
    """Begin the delivery of A and B to a repository."""
    await store.submit(submission(repository, f"{registry}/{repository}:1"), limit=PLENTY)
    claim = await claimed(store)
    await store.plan(claim, credential="anonymous", repository=repository, blobs=[A, B], manifests=1)
    return claim


async def landed(store: Store, repository: str, *, registry: str = "registry.test") -> Claim:
    claim = await begun(store, repository, registry=registry)
    await store.land(claim, (A, UPLOADED))
    return claim


@pytest.mark.parametrize("state", [state for state in TransferState if state.landed])
async def test_a_blob_that_landed_is_a_candidate_for_other_repositories(store: Store, state: TransferState) -> None:
    claim = await begun(store, "base")
    await store.land(claim, (A, TransferResult(state=state)))
    assert await store.mount_candidate(transfer_key(claim, A, repository="app")) == "base"
    assert await store.mount_candidate(transfer_key(claim, B, repository="app")) is None


async def test_a_blob_that_failed_is_no_candidate(store: Store) -> None:
    claim = await begun(store, "base")
    await store.land(claim, (A, TransferResult(state=TransferState.FAILED)))
    assert await store.mount_candidate(transfer_key(claim, A, repository="app")) is None


async def test_a_repository_is_no_candidate_for_itself(store: Store) -> None:
    claim = await landed(store, "base")
    assert await store.mount_candidate(transfer_key(claim, A, repository="base")) is None


async def test_the_repository_seen_last_is_the_candidate(store: Store, clock: Clock) -> None:
    first = await landed(store, "first")
    clock.pass_time(1)
    await landed(store, "second")
    key = transfer_key(first, A, repository="app")
    assert await store.mount_candidate(key) == "second"
    clock.pass_time(1)
    await store.land(first, (A, TransferResult(state=TransferState.PRESENT)))
    assert await store.mount_candidate(key) == "first"


async def test_nothing_is_believed_across_registries_principals_or_credentials(store: Store) -> None:
    claim = await landed(store, "base")
    key = transfer_key(claim, A, repository="app")
    assert await store.mount_candidate(replace(key, registry="other.test")) is None
    assert await store.mount_candidate(replace(key, uid=1001)) is None
    assert await store.mount_candidate(replace(key, credential="docker-config:alice")) is None


async def test_what_is_forgotten_is_forgotten_of_that_repository_alone(store: Store, clock: Clock) -> None:
    await landed(store, "old")
    clock.pass_time(1)
    claim = await landed(store, "gone")
    await store.land(claim, (B, UPLOADED))
    await store.forget(claim, credential="anonymous", repository="gone", digests={A.digest})
    assert await store.mount_candidate(transfer_key(claim, A, repository="app")) == "old"
    assert await store.mount_candidate(transfer_key(claim, B, repository="app")) == "gone"


async def test_forgetting_crosses_neither_credentials_nor_registries(store: Store) -> None:
    claim = await landed(store, "base")
    other = await begun(store, "else", registry="other.test")
    await store.forget(claim, credential="docker-config:alice", repository="base", digests=[A.digest])
    await store.forget(other, credential="anonymous", repository="base", digests=[A.digest])
    assert await store.mount_candidate(transfer_key(claim, A, repository="app")) == "base"
