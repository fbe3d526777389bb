from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.oci.digest import Digest
from pushd.work import FileIdentity
from tests.unit.store.samples import NOON, after

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.store import Store

SECOND = 1_000_000_000
OLD = int(NOON.timestamp()) * SECOND - 60 * SECOND
FILE = FileIdentity(device=1, inode=2, size=4000, mtime_ns=OLD, ctime_ns=OLD, offset=512, length=1000)
DIGEST, OTHER = Digest.of(b"content"), Digest.of(b"other content")


async def test_a_file_is_known_as_long_as_it_is_the_same(store: Store) -> None:
    assert await store.validated(FILE) is None
    await store.validate(FILE, DIGEST, NOON)
    assert await store.validated(FILE) == DIGEST


@pytest.mark.parametrize("field", ["device", "inode", "size", "mtime_ns", "ctime_ns", "offset", "length"])
async def test_a_file_that_differs_in_anything_is_another(store: Store, field: str) -> None:
    await store.validate(FILE, DIGEST, NOON)
    different: int = getattr(FILE, field) + 1
    assert await store.validated(replace(FILE, **{field: different})) is None


async def test_a_changed_file_takes_the_place_of_what_it_was(store: Store) -> None:
    changed = replace(FILE, mtime_ns=OLD + 1)
    await store.validate(FILE, DIGEST, NOON)
    await store.validate(changed, OTHER, NOON)
    assert await store.validated(changed) == OTHER
    assert await store.validated(FILE) is None


async def test_the_members_of_an_archive_are_known_each_by_itself(store: Store) -> None:
    second = replace(FILE, offset=2048)
    await store.validate(FILE, DIGEST, NOON)
    await store.validate(second, OTHER, NOON)
    assert (await store.validated(FILE), await store.validated(second)) == (DIGEST, OTHER)


@pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns"])
async def test_a_file_changed_just_now_is_not_remembered(store: Store, field: str) -> None:
    now = int(NOON.timestamp()) * SECOND
    fresh = replace(FILE, **{field: now - 2 * SECOND + 1000})
    await store.validate(fresh, DIGEST, NOON)
    assert await store.validated(fresh) is None


@pytest.mark.parametrize(
    ("age_ns", "now", "expected"),
    [
        (2 * SECOND, NOON, True),
        (2 * SECOND - 1000, NOON, False),
        (2 * SECOND - 1000, after(1), True),
        (0, NOON, False),
        (-3600 * SECOND, NOON, False),
    ],
)
def test_a_file_is_settled_two_seconds_after_its_last_change(age_ns: int, now: datetime, expected: bool) -> None:
    changed = int(NOON.timestamp()) * SECOND - age_ns
    assert replace(FILE, mtime_ns=changed).settled(now) is expected
    assert replace(FILE, ctime_ns=changed).settled(now) is expected


async def test_numbers_as_large_as_a_filesystem_gives_them_are_kept(store: Store) -> None:
    large = replace(FILE, device=2**64 - 1, inode=2**64 - 2)
    await store.validate(large, DIGEST, NOON)
    assert await store.validated(large) == DIGEST
    assert await store.validated(replace(large, mtime_ns=2**70)) is None
    await store.validate(replace(large, mtime_ns=2**70), OTHER, NOON)
    assert await store.validated(large) == DIGEST
    ancient = replace(FILE, mtime_ns=-(10**18))
    await store.validate(ancient, OTHER, NOON)
    assert await store.validated(ancient) == OTHER


async def test_a_file_of_the_daemons_own_is_remembered_however_fresh_it_is(store: Store) -> None:
    now = int(NOON.timestamp()) * SECOND
    fresh = replace(FILE, mtime_ns=now, ctime_ns=now)
    await store.vouch(fresh, DIGEST)
    assert await store.validated(fresh) == DIGEST
