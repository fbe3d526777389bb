from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, OffsetError, PushdError, RequestError, StoreError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.source.spooled import SpooledSource
from pushd.spool import account, intake
from pushd.spool import entry as entries
from pushd.spool.record import Record
from pushd.work import SpoolFile
from tests.unit.spool.conftest import ALICE, NOON, bring, made, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from pushd.spool import Spool
    from tests.unit.spool.conftest import House

CONTENT = bytes(range(256)) * 3
DIGEST = Digest.of(CONTENT)


async def refused(work: Awaitable[object]) -> PushdError:
    with pytest.raises(PushdError) as caught:
        await work
    return caught.value


async def listed(spool: Spool, entry: str) -> list[tuple[str, int, bool]]:
    return [(file.name, file.offset, file.complete) for file in (await spool.get(entry, uid=ALICE)).files]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
async def test_a_file_is_found_under_its_digest(spool: Spool, house: House, algorithm: str, content: bytes) -> None:
    digest = Digest.of(content, algorithm)
    entry = await made(spool)

    file = await bring(spool, entry, content, name=str(digest))

    assert file == SpoolFile(name=str(digest), offset=len(content), complete=True)
    assert house.on_disk(entry) == {f"blobs/{algorithm}/{digest.encoded}": content}
    assert await listed(spool, entry) == [(str(digest), len(content), True)]


async def test_a_file_whose_digest_nobody_knew_gets_it_in_the_end(spool: Spool, house: House) -> None:
    entry = await made(spool)

    assert await bring(spool, entry, CONTENT[:5], name="layer-0", complete=False) == SpoolFile(
        name="layer-0", offset=5, complete=False
    )
    file = await bring(spool, entry, CONTENT[5:], name="layer-0", offset=5)

    assert file == SpoolFile(name=str(DIGEST), offset=len(CONTENT), complete=True)
    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}
    assert await bring(spool, entry, CONTENT[5:], name="layer-0", offset=5) == file


async def test_the_push_need_not_hash_again_what_was_checked_on_the_way_in(spool: Spool, house: House) -> None:
    entry = await made(spool)
    await bring(spool, entry, CONTENT)

    ((identity, digest),) = house.checked
    source = SpooledSource(house.directory / entry, None)
    reader = source.open(Descriptor("application/octet-stream", DIGEST, len(CONTENT)))
    assert (digest, identity) == (DIGEST, reader.identity)
    reader.close()
    source.close()


async def test_that_the_check_cannot_be_written_down_costs_the_push_a_hash_and_nobody_else_anything(
    spool: Spool, house: House
) -> None:
    house.forgets = StoreError(Code.STORE_FULL, "database", "is full")

    assert (await bring(spool, await made(spool), CONTENT)).complete


@pytest.mark.parametrize("name", [str(DIGEST), "layer-0"])
@pytest.mark.parametrize("at", [0, 1, 255, len(CONTENT) - 1, len(CONTENT)])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_file_goes_on_where_it_ended(house: House, name: str, at: int, *, restarted: bool) -> None:
    async with house.open() as spool:
        entry = await made(spool)
        assert (await bring(spool, entry, CONTENT[:at], name=name, complete=False)).offset == at
        assert await listed(spool, entry) == [(name, at, False)]
        if not restarted:
            assert (await bring(spool, entry, CONTENT[at:], name=name, offset=at)).complete
    if restarted:
        async with house.open() as spool:
            assert await listed(spool, entry) == [(name, at, False)]
            assert (await bring(spool, entry, CONTENT[at:], name=name, offset=at)).complete

    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}


@pytest.mark.parametrize("offset", [0, 2, 4, 10**17])
async def test_bytes_that_do_not_belong_at_the_end_are_refused_with_where_it_is(spool: Spool, offset: int) -> None:
    entry = await made(spool)
    await bring(spool, entry, b"abc", name="layer-0", complete=False)

    error = await refused(bring(spool, entry, b"def", name="layer-0", offset=offset))

    assert isinstance(error, OffsetError)
    assert (error.code, error.offset) == (Code.REQUEST_OFFSET, 3)
    assert await listed(spool, entry) == [("layer-0", 3, False)]


async def test_a_file_not_begun_begins_at_its_beginning_and_a_refusal_begins_none(spool: Spool, house: House) -> None:
    entry = await made(spool)

    error = await refused(bring(spool, entry, b"def", name="layer-0", offset=1))

    assert isinstance(error, OffsetError)
    assert error.offset == 0
    assert house.on_disk(entry) == {}


async def test_a_file_that_is_whole_is_answered_with_whatever_is_brought_and_nothing_is_read(spool: Spool) -> None:
    entry = await made(spool)
    await bring(spool, entry, CONTENT)

    async def untouched() -> AsyncIterator[bytes]:
        yield pytest.fail("read")

    for offset, complete in ((0, True), (5, False), (len(CONTENT), True)):
        file = await spool.receive(entry, str(DIGEST), uid=ALICE, offset=offset, pieces=untouched(), complete=complete)
        assert file == SpoolFile(name=str(DIGEST), offset=len(CONTENT), complete=True)


async def test_a_file_that_is_not_what_its_name_says_is_gone_and_may_be_sent_again(spool: Spool, house: House) -> None:
    entry = await made(spool, len(CONTENT))
    wrong = CONTENT[:-1] + b"\0"

    error = await refused(bring(spool, entry, wrong, name=str(DIGEST)))

    assert error.code is Code.REQUEST_INVALID_DIGEST
    assert str(Digest.of(wrong)) in str(error)
    assert (house.on_disk(entry), house.checked) == ({}, [])
    assert (await bring(spool, entry, CONTENT)).complete


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a_b", "A", "a" * 65, "layer\0", "\x1b[2J", "layer-é", "entry.json", "x" * 9000,
     "sha256:", "sha256:zz", "sha256:../../x", "md5:d41d8cd98f00b204e9800998ecf8427e", f"sha256:{'A' * 64}"],
)  # fmt: skip
async def test_a_hostile_name_is_refused_before_anything_is_touched(spool: Spool, house: House, name: str) -> None:
    entry = await made(spool)

    error = await refused(bring(spool, entry, CONTENT, name=name))

    assert error.code in (Code.REQUEST_MALFORMED, Code.REQUEST_INVALID_DIGEST)
    assert str(error).isprintable()
    assert len(str(error)) < 300
    assert house.on_disk(entry) == {}


async def test_more_than_was_reserved_is_refused_and_what_fits_stays(spool: Spool, house: House) -> None:
    entry = await made(spool, 10)
    await bring(spool, entry, b"1234", name="one")

    error = await refused(bring(spool, entry, b"123456789", name="two"))

    assert error.code is Code.REQUEST_LIMIT
    assert house.on_disk(entry)["incoming/two"] == b"123456"
    assert (await refused(bring(spool, entry, b"7", name="two", offset=6))).code is Code.REQUEST_LIMIT
    await spool.resize(entry, uid=ALICE, size=20)
    assert (await bring(spool, entry, b"789", name="two", offset=6)).complete


async def test_a_body_that_breaks_off_keeps_what_arrived(spool: Spool, house: House) -> None:
    entry = await made(spool)
    gone = RequestError(Code.REQUEST_MALFORMED, "body", "broke off")

    with pytest.raises(RequestError) as caught:
        await spool.receive(
            entry, "layer-0", uid=ALICE, offset=0, pieces=stream(b"ab", b"cd", fails=gone), complete=True
        )

    assert caught.value is gone
    assert house.on_disk(entry) == {"incoming/layer-0": b"abcd"}
    assert (await bring(spool, entry, b"ef", name="layer-0", offset=4)).name == str(Digest.of(b"abcdef"))


async def test_a_caller_that_is_cancelled_leaves_what_arrived_and_nobody_waiting(spool: Spool, house: House) -> None:
    entry = await made(spool)
    taken = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"ab"
        taken.set()
        await asyncio.Event().wait()

    receiving = asyncio.create_task(spool.receive(entry, "layer-0", uid=ALICE, offset=0, pieces=slow(), complete=True))
    await taken.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving

    assert house.on_disk(entry) == {"incoming/layer-0": b"ab"}
    assert (await bring(spool, entry, b"c", name="layer-0", offset=2)).name == str(Digest.of(b"abc"))


async def test_a_second_writer_waits_for_the_first_and_is_told_where_the_file_ends_then(spool: Spool) -> None:
    entry = await made(spool)
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        await go.wait()
        yield b"abc"

    first = asyncio.create_task(spool.receive(entry, "layer-0", uid=ALICE, offset=0, pieces=slow(), complete=False))
    await asyncio.sleep(0)
    second = asyncio.create_task(bring(spool, entry, b"xyz", name="layer-0"))
    await asyncio.sleep(0.01)
    assert not second.done()
    go.set()

    assert (await first).offset == 3
    error = await refused(second)
    assert isinstance(error, OffsetError)
    assert error.offset == 3


async def test_two_who_bring_the_same_file_both_end_up_with_it(spool: Spool) -> None:
    entry = await made(spool, len(CONTENT))

    both = await asyncio.gather(bring(spool, entry, CONTENT), bring(spool, entry, CONTENT))

    assert both[0] == both[1] == SpoolFile(name=str(DIGEST), offset=len(CONTENT), complete=True)


async def test_content_that_is_there_already_is_charged_once(spool: Spool, house: House) -> None:
    entry = await made(spool, 2 * len(CONTENT))
    await bring(spool, entry, CONTENT)

    file = await bring(spool, entry, CONTENT, name="layer-1")

    assert file == SpoolFile(name=str(DIGEST), offset=len(CONTENT), complete=True)
    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}
    assert await bring(spool, entry, b"", name="layer-1", offset=len(CONTENT)) == file
    assert (await spool.resize(entry, uid=ALICE, size=0)).size == len(CONTENT)


async def test_a_half_of_what_came_under_another_name_meanwhile_is_dropped(spool: Spool, house: House) -> None:
    entry = await made(spool, 2 * len(CONTENT))
    await bring(spool, entry, CONTENT[:100], name=str(DIGEST), complete=False)

    await bring(spool, entry, CONTENT, name="layer-1")

    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}
    assert await listed(spool, entry) == [(str(DIGEST), len(CONTENT), True)]
    assert (await spool.resize(entry, uid=ALICE, size=0)).size == len(CONTENT)


async def test_a_half_that_broke_off_after_its_content_came_under_another_name_is_dropped_when_asked_for(
    spool: Spool, house: House
) -> None:
    entry = await made(spool, 2 * len(CONTENT))
    begun, go = asyncio.Event(), asyncio.Event()

    async def breaking() -> AsyncIterator[bytes]:
        yield CONTENT[:100]
        begun.set()
        await go.wait()
        raise RequestError(Code.REQUEST_MALFORMED, "body", "broke off")

    half = asyncio.create_task(spool.receive(entry, str(DIGEST), uid=ALICE, offset=0, pieces=breaking(), complete=True))
    await begun.wait()
    await bring(spool, entry, CONTENT, name="layer-1")
    go.set()
    assert (await refused(half)).code is Code.REQUEST_MALFORMED
    assert await listed(spool, entry) == [(str(DIGEST), len(CONTENT), True)]

    assert (await bring(spool, entry, CONTENT[100:], offset=100, name=str(DIGEST))).complete
    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}
    assert (await spool.resize(entry, uid=ALICE, size=0)).size == len(CONTENT)


async def test_the_same_content_under_many_names_at_once_is_one_file(spool: Spool, house: House) -> None:
    entry = await made(spool, 10 * len(CONTENT))

    files = await asyncio.gather(*(bring(spool, entry, CONTENT, name=f"layer-{n}") for n in range(8)))

    assert set(files) == {SpoolFile(name=str(DIGEST), offset=len(CONTENT), complete=True)}
    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}
    assert (await spool.resize(entry, uid=ALICE, size=0)).size == len(CONTENT)


async def test_nothing_is_looked_up_in_another_entry(spool: Spool, house: House) -> None:
    first, second = await made(spool), await made(spool)
    await bring(spool, first, CONTENT)

    assert (await bring(spool, second, CONTENT[:1], name=str(DIGEST), complete=False)).offset == 1
    assert house.on_disk(second) == {f"incoming/{DIGEST}": CONTENT[:1]}


async def test_many_pieces_are_written_in_few_writes_in_their_order(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.per_user = 64 << 20
    content = os.urandom(256 << 10) * 17 + b"end"
    digest = Digest.of(content)
    writes: list[int] = []
    whole = os.pwritev

    def counted(fd: int, buffers: list[memoryview], offset: int) -> int:
        writes.append(whole(fd, buffers, offset))
        return writes[-1]

    monkeypatch.setattr("os.pwritev", counted)
    pieces = [content[start : start + 10_000] for start in range(0, len(content), 10_000)]
    async with house.open() as spool:
        entry = await made(spool, len(content))
        file = await spool.receive(entry, str(digest), uid=ALICE, offset=0, pieces=stream(*pieces), complete=True)

    assert file.complete
    assert len(writes) == 5
    assert house.on_disk(entry) == {f"blobs/sha256/{digest.encoded}": content}


async def test_very_small_pieces_do_not_pile_up(spool: Spool, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    whole = os.pwritev

    def counted(fd: int, buffers: list[memoryview], offset: int) -> int:
        nonlocal most
        most = max(most, len(buffers))
        return whole(fd, buffers, offset)

    monkeypatch.setattr("os.pwritev", counted)
    entry = await made(spool, 3000)
    file = await spool.receive(entry, "layer-0", uid=ALICE, offset=0, pieces=stream(*[b"x"] * 3000), complete=True)

    assert file.offset == 3000
    assert most == 1024  # what Linux takes at once


async def test_writes_that_the_system_cuts_short_are_completed(
    spool: Spool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.pwritev
    monkeypatch.setattr("os.pwritev", lambda fd, buffers, offset: whole(fd, [buffers[0][:7]], offset))
    entry = await made(spool)

    assert (await bring(spool, entry, CONTENT)).complete
    assert house.on_disk(entry) == {f"blobs/sha256/{DIGEST.encoded}": CONTENT}


async def test_a_full_disk_is_told_and_what_is_there_stays(
    spool: Spool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await made(spool)
    await bring(spool, entry, CONTENT[:100], name=str(DIGEST), complete=False)
    whole = os.pwritev

    def full(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset >= 150:
            raise OSError(28, "No space left on device")
        return whole(fd, [buffers[0][: 150 - offset]], offset)

    with monkeypatch.context() as patch:
        patch.setattr("os.pwritev", full)
        error = await refused(bring(spool, entry, CONTENT[100:], name=str(DIGEST), offset=100))

    assert error.code is Code.STORE_FULL
    assert await listed(spool, entry) == [(str(DIGEST), 150, False)]
    assert (await bring(spool, entry, CONTENT[150:], name=str(DIGEST), offset=150)).complete
    assert (await spool.resize(entry, uid=ALICE, size=0)).size == len(CONTENT)


async def test_a_file_the_disk_did_not_make_durable_is_dropped_for_nobody_knows_what_of_it_is_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await made(spool)

    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", failing)
        error = await refused(bring(spool, entry, CONTENT))

    assert error.code is Code.STORE_UNAVAILABLE
    assert await listed(spool, entry) == []
    assert (await bring(spool, entry, CONTENT)).complete


async def test_a_file_that_could_not_be_moved_to_its_place_is_asked_for_again_without_its_bytes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await made(spool)

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", failing)
        error = await refused(bring(spool, entry, CONTENT))

    assert error.code is Code.STORE_FULL
    assert await listed(spool, entry) == [(str(DIGEST), len(CONTENT), False)]
    assert (await bring(spool, entry, b"", name=str(DIGEST), offset=len(CONTENT))).complete


async def test_bytes_that_come_make_an_entry_live_longer_and_that_is_seldom_written_down(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.open() as spool:
        entry = await made(spool)
        house.later(60)
        await bring(spool, entry, b"a", name="layer-0", complete=False)
        assert (await spool.get(entry, uid=ALICE)).expires_at == house.now + timedelta(hours=1)
    async with house.open() as spool:
        assert (await spool.get(entry, uid=ALICE)).expires_at == NOON + timedelta(hours=1)
        house.later(1000)
        await bring(spool, entry, b"b", name="layer-0", offset=1, complete=False)
    async with house.open() as spool:
        assert (await spool.get(entry, uid=ALICE)).expires_at == house.now + timedelta(hours=1)


async def test_a_body_that_takes_longer_than_the_time_to_live_keeps_its_entry_even_if_the_daemon_dies(
    spool: Spool, house: House
) -> None:
    entry = await made(spool)
    written: list[Record] = []

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x"
            house.later(1000)
            written.append(Record.parse((house.directory / entry / "entry.json").read_bytes()))

    await spool.receive(entry, "layer-0", uid=ALICE, offset=0, pieces=slow(), complete=False)

    assert house.now > NOON + timedelta(hours=1)
    assert all(record.expires_at > NOON + timedelta(seconds=1000 * n) for n, record in enumerate(written))


async def test_an_entry_removed_while_bytes_come_in_is_gone_for_who_brings_them(spool: Spool, house: House) -> None:
    entry = await made(spool)
    go, begun = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"abc"
        begun.set()
        await go.wait()

    receiving = asyncio.create_task(spool.receive(entry, "layer-0", uid=ALICE, offset=0, pieces=slow(), complete=True))
    await begun.wait()
    await spool.remove(entry, uid=ALICE)
    go.set()

    assert (await refused(receiving)).code is Code.REQUEST_NOT_FOUND
    assert (spool.size, list(house.directory.iterdir())) == (0, [])


async def test_an_entry_has_only_so_many_files(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_FILES", 2)
    entry = await made(spool)
    await bring(spool, entry, b"a", name="a", complete=False)
    await bring(spool, entry, b"b", name="b", complete=False)

    assert (await refused(bring(spool, entry, b"c", name="c"))).code is Code.REQUEST_LIMIT
    assert (await bring(spool, entry, b"b", name="b", offset=1)).complete


async def test_a_user_has_only_so_many_files_an_entry_counting_as_one(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "MAX_FILES", 3)
    entry = await made(spool)
    await bring(spool, entry, b"a", name="a", complete=False)
    other = await made(spool)

    assert (await refused(bring(spool, other, b"b"))).code is Code.REQUEST_LIMIT
    assert (await refused(made(spool))).code is Code.REQUEST_LIMIT
    await spool.remove(entry, uid=ALICE)
    assert (await bring(spool, other, b"b")).complete
    assert await made(spool)


async def test_files_beyond_what_a_user_may_bring_at_once_wait_their_turn(spool: Spool) -> None:
    entry = await made(spool, 1000)
    go, full = asyncio.Event(), asyncio.Event()
    started: list[int] = []

    async def slow(number: int) -> AsyncIterator[bytes]:
        started.append(number)
        if len(started) == 16:
            full.set()
        await go.wait()
        yield b"x"

    tasks = [
        asyncio.create_task(spool.receive(entry, f"f-{n}", uid=ALICE, offset=0, pieces=slow(n), complete=False))
        for n in range(20)
    ]
    await full.wait()
    await asyncio.sleep(0.02)
    assert len(started) == 16
    go.set()

    assert [file.offset for file in await asyncio.gather(*tasks)] == [1] * 20


async def test_hashes_that_were_not_kept_are_made_again_from_the_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_HASHERS", 1)
    monkeypatch.setattr(intake, "_SLICE", 100)
    entry = await made(spool, 2 * len(CONTENT))
    other = CONTENT[::-1]
    for start in range(0, len(CONTENT), 256):
        last = start + 256 == len(CONTENT)
        for name, content in (("one", CONTENT), ("two", other)):
            file = await bring(spool, entry, content[start : start + 256], name=name, offset=start, complete=last)
            assert file.name == (str(Digest.of(content)) if last else name)
