from __future__ import annotations

import asyncio
import re
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, PushdError, RequestError, StoreError
from tests.unit.spool.conftest import ALICE, BOB, NOON, bring, made

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pushd.spool import Spool
    from tests.unit.spool.conftest import House


async def refused(work: Awaitable[object]) -> PushdError:
    with pytest.raises(PushdError) as caught:
        await work
    return caught.value


async def test_an_entry_is_made_with_its_bytes_reserved_and_its_time_to_live(spool: Spool, house: House) -> None:
    entry = await spool.create(uid=ALICE, size=700, ttl=None)

    assert (entry.size, entry.created_at, entry.files) == (700, NOON, ())
    assert entry.expires_at == NOON + timedelta(hours=1)
    assert spool.size == 700
    assert house.admitted == [700]
    assert await spool.get(entry.id, uid=ALICE) == entry


async def test_nobody_guesses_an_entrys_name(spool: Spool) -> None:
    names = {await made(spool, 0) for _ in range(20)}

    assert len(names) == 20
    assert all(re.fullmatch(r"[0-9a-f]{24}", name) for name in names)


async def test_a_caller_may_ask_for_a_shorter_life_but_for_no_longer_one(spool: Spool) -> None:
    assert (await spool.create(uid=ALICE, size=0, ttl=60)).expires_at == NOON + timedelta(seconds=60)
    assert (await spool.create(uid=ALICE, size=0, ttl=1e9)).expires_at == NOON + timedelta(hours=1)


async def test_only_the_daemon_sees_what_is_there(spool: Spool, house: House) -> None:
    entry = await made(spool)
    await bring(spool, entry, b"whole")
    await bring(spool, entry, b"half", name="layer-0", complete=False)

    for path in (house.directory, *house.directory.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert path.is_symlink() or mode == (0o700 if path.is_dir() else 0o600), path


async def test_an_entry_of_somebody_else_does_not_exist(spool: Spool) -> None:
    entry = await made(spool)
    answers = [
        await refused(spool.get(entry, uid=BOB)),
        await refused(spool.resize(entry, uid=BOB, size=0)),
        await refused(spool.remove(entry, uid=BOB)),
        await refused(bring(spool, entry, b"bytes", uid=BOB)),
        await refused(spool.get("0" * 24, uid=ALICE)),
    ]
    with pytest.raises(RequestError) as caught, spool.using(entry, uid=BOB):
        pass
    answers.append(caught.value)

    assert {error.code for error in answers} == {Code.REQUEST_NOT_FOUND}
    assert {error.detail for error in answers} == {"is not there, or is somebody else's"}
    assert (await spool.get(entry, uid=ALICE)).files == ()


@pytest.mark.parametrize(
    "entry", ["", ".", "..", "../spool", "/etc", "a/b", "0" * 23, "0" * 25, "\0", "A" * 24, "\x1b[31m", "x" * 9000]
)
async def test_a_hostile_entry_is_one_that_is_not_there(spool: Spool, entry: str) -> None:
    error = await refused(bring(spool, entry, b"bytes"))

    assert error.code is Code.REQUEST_NOT_FOUND
    assert str(error).isprintable()
    assert len(str(error)) < 200


async def test_a_user_reserves_no_more_than_their_quota_and_is_told_what_is_left(spool: Spool, house: House) -> None:
    await made(spool, house.per_user - 10)
    error = await refused(made(spool, 11))

    assert error.code is Code.REQUEST_LIMIT
    assert f"uid {ALICE} has 10 of {house.per_user} bytes left, and 11 are needed" in str(error)
    assert await made(spool, 10)
    assert await made(spool, house.per_user, uid=BOB)
    assert sorted(path.name for path in house.directory.iterdir() if path.name.startswith(".")) == []


async def test_what_the_daemon_has_no_room_for_is_not_reserved(spool: Spool, house: House) -> None:
    house.refuses = StoreError(Code.STORE_BUDGET, "spool", "is at its budget")
    assert (await refused(made(spool, 11))).code is Code.STORE_BUDGET
    house.refuses = None

    assert (spool.size, list(house.directory.iterdir())) == (0, [])
    assert await made(spool, house.per_user)


async def test_a_reservation_grows_and_shrinks_but_not_below_what_is_there(spool: Spool, house: House) -> None:
    entry = await made(spool, 100)
    await bring(spool, entry, b"x" * 60)

    assert (await spool.resize(entry, uid=ALICE, size=500)).size == spool.size == 500
    assert (await spool.resize(entry, uid=ALICE, size=10)).size == spool.size == 60
    assert house.admitted == [100, 400]


async def test_growing_is_refused_as_making_is_and_leaves_all_as_it_was(spool: Spool, house: House) -> None:
    entry = await made(spool, 100)
    over = await refused(spool.resize(entry, uid=ALICE, size=house.per_user + 1))
    house.refuses = StoreError(Code.STORE_BUDGET, "spool", "is at its budget")
    full = await refused(spool.resize(entry, uid=ALICE, size=101))

    assert (over.code, full.code) == (Code.REQUEST_LIMIT, Code.STORE_BUDGET)
    assert (await spool.get(entry, uid=ALICE)).size == spool.size == 100


async def test_a_removed_entry_is_gone_with_its_bytes_and_frees_what_it_had(spool: Spool, house: House) -> None:
    entry = await made(spool, house.per_user)
    await bring(spool, entry, b"bytes")
    await spool.remove(entry, uid=ALICE)

    assert (await refused(spool.get(entry, uid=ALICE))).code is Code.REQUEST_NOT_FOUND
    assert list(house.directory.iterdir()) == []
    assert spool.size == 0
    assert await made(spool, house.per_user)


async def test_an_entry_that_a_job_needs_is_not_removed_by_its_owner(spool: Spool, house: House) -> None:
    waiting, running = await made(spool), await made(spool)
    house.needed.add(waiting)

    assert (await refused(spool.remove(waiting, uid=ALICE))).code is Code.REQUEST_STATE
    with spool.using(running, uid=ALICE):
        assert (await refused(spool.remove(running, uid=ALICE))).code is Code.REQUEST_STATE
    assert (await spool.get(waiting, uid=ALICE)).id == waiting
    await spool.remove(running, uid=ALICE)


async def test_no_submission_takes_up_an_entry_while_it_is_asked_whether_it_may_go(spool: Spool, house: House) -> None:
    entry = await made(spool)
    house.asked = asyncio.Event()
    removing = asyncio.create_task(spool.remove(entry, uid=ALICE))
    await asyncio.sleep(0)

    with pytest.raises(RequestError), spool.using(entry, uid=ALICE):
        pass
    house.needed.add(entry)
    house.asked.set()

    assert (await refused(removing)).code is Code.REQUEST_STATE
    with spool.using(entry, uid=ALICE):
        pass


async def test_entries_expire_unless_they_are_used_or_needed(spool: Spool, house: House) -> None:
    idle, used, needed, young = [await made(spool) for _ in range(4)]
    house.later(3599)
    await bring(spool, young, b"bytes")
    house.later(2)
    with spool.using(used, uid=ALICE):
        await spool.sweep(house.now, {needed})

    assert (await refused(spool.get(idle, uid=ALICE))).code is Code.REQUEST_NOT_FOUND
    for entry in (used, needed, young):
        assert (await spool.get(entry, uid=ALICE)).id == entry
    assert [event.fields["entry"] for event in house.told if event.kind.name == "spool.removed"] == [idle]


async def test_an_entry_just_handed_to_a_job_is_not_swept_by_who_did_not_know_of_the_job_yet(
    spool: Spool, house: House
) -> None:
    entry = await made(spool)
    house.later(3600)
    with spool.using(entry, uid=ALICE):
        house.needed.add(entry)
    await spool.sweep(house.now, set())

    assert (await spool.get(entry, uid=ALICE)).expires_at == house.now + timedelta(hours=1)


async def test_an_entry_goes_with_its_job_and_going_twice_is_going_once(spool: Spool, house: House) -> None:
    entry = await made(spool)
    await spool.discard(entry, "job a has ended")
    await spool.discard(entry, "job a has ended")
    await spool.discard("0" * 24, "job a has ended")

    created, removed = house.told
    assert (created.kind.name, created.fields) == ("spool.created", {"entry": entry, "uid": ALICE, "size": 1000})
    assert (removed.kind.name, removed.uid) == ("spool.removed", ALICE)
    assert removed.fields == {"entry": entry, "uid": ALICE, "reason": "job a has ended"}


async def test_an_entry_that_two_jobs_need_goes_with_the_second(spool: Spool, house: House) -> None:
    entry = await made(spool)
    for _ in range(2):
        with spool.using(entry, uid=ALICE):
            house.needed.add(entry)
    await spool.discard(entry, "job a has ended")
    await spool.sweep(house.now, house.needed)
    assert (await spool.get(entry, uid=ALICE)).id == entry

    house.needed.clear()
    await spool.discard(entry, "job b has ended")
    assert list(house.directory.iterdir()) == []


async def test_an_entry_of_a_job_before_the_restart_that_another_job_took_up_goes_with_the_other(house: House) -> None:
    async with house.open() as spool:
        entry = await made(spool)
        with spool.using(entry, uid=ALICE):
            pass
    async with house.open() as spool:
        with spool.using(entry, uid=ALICE):
            house.needed.add(entry)
        await spool.discard(entry, "job a has ended")
        assert (await spool.get(entry, uid=ALICE)).id == entry


async def test_an_entry_discarded_while_a_submission_takes_it_up_is_left_to_the_sweep(
    spool: Spool, house: House
) -> None:
    entry = await made(spool)
    with spool.using(entry, uid=ALICE):
        await spool.discard(entry, "job a was not taken")
        await spool.sweep(house.now, set())
        assert (await spool.get(entry, uid=ALICE)).id == entry
    await spool.sweep(house.now, set())

    assert list(house.directory.iterdir()) == []


async def test_an_entry_that_cannot_be_made_leaves_nothing(
    spool: Spool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", full)
        error = await refused(made(spool))

    assert error.code is Code.STORE_FULL
    assert (spool.size, list(house.directory.iterdir())) == (0, [])


async def test_an_entry_that_cannot_be_removed_stays_what_it_is(
    spool: Spool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await made(spool)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        error = await refused(spool.remove(entry, uid=ALICE))

    assert error.code is Code.STORE_UNAVAILABLE
    await spool.remove(entry, uid=ALICE)
    assert spool.size == 0
