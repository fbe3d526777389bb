from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, PushdError, StoreError
from pushd.oci.digest import Digest
from pushd.work import SpoolFile
from tests.unit.spool.conftest import ALICE, BOB, bring, made

if TYPE_CHECKING:
    from tests.unit.spool.conftest import House


async def test_after_a_restart_all_is_as_it_was(house: House) -> None:
    async with house.open() as spool:
        entry = await made(spool, 300)
        await bring(spool, entry, b"whole")
        await bring(spool, entry, b"named", name="layer-0")
        await bring(spool, entry, b"half", name="layer-1", complete=False)
        before = await spool.get(entry, uid=ALICE)
        await made(spool, 100, uid=BOB)
    async with house.open() as spool:
        assert await spool.get(entry, uid=ALICE) == before
        assert spool.size == 400
        assert house.admitted == [300, 100]
        again = await bring(spool, entry, b"", name="layer-0", offset=5)
        assert again == SpoolFile(name=str(Digest.of(b"named")), offset=5, complete=True)
        with pytest.raises(PushdError, match=f"{house.per_user - 300} of"):
            await made(spool, house.per_user)


async def test_the_length_of_a_file_is_its_offset_whatever_else_is_said(house: House) -> None:
    async with house.open() as spool:
        entry = await made(spool)
        await bring(spool, entry, b"abc", name="layer-0", complete=False)
    with (house.directory / entry / "incoming" / "layer-0").open("ab") as file:
        file.write(b"def")  # written, and killed before anybody was told
    async with house.open() as spool:
        (listed,) = (await spool.get(entry, uid=ALICE)).files
        assert listed.offset == 6
        file_ = await bring(spool, entry, b"g", name="layer-0", offset=6)
        assert file_.name == str(Digest.of(b"abcdefg"))


async def test_a_crash_after_a_name_was_given_and_before_the_file_was_moved_costs_nothing(house: House) -> None:
    async with house.open() as spool:
        entry = await made(spool)
        await bring(spool, entry, b"abc", name="layer-0", complete=False)
    (house.directory / entry / "names" / "layer-0").symlink_to("../blobs/sha256/" + Digest.of(b"abc").encoded)
    async with house.open() as spool:
        file = await bring(spool, entry, b"", name="layer-0", offset=3)
        assert file == SpoolFile(name=str(Digest.of(b"abc")), offset=3, complete=True)


async def test_what_a_crash_left_half_made_or_half_removed_is_freed(house: House) -> None:
    async with house.open() as spool:
        entry = await made(spool)
    shutil.copytree(house.directory / entry, house.directory / f".gone-{entry}")
    shutil.copytree(house.directory / entry, house.directory / f".new-{entry}")
    async with house.open() as spool:
        assert spool.size == 1000
        await spool.sweep(house.now, set())
        assert [path.name for path in house.directory.iterdir()] == [entry]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"uid":1}', b"\xff" * 5000])
async def test_a_damaged_entry_is_nobodys_and_goes_with_a_word_unless_a_job_needs_it(
    house: House, content: bytes | None
) -> None:
    async with house.open() as spool:
        good, bad = await made(spool), await made(spool)
        await bring(spool, bad, b"bytes")
    record = house.directory / bad / "entry.json"
    record.unlink() if content is None else record.write_bytes(content)
    async with house.open() as spool:
        with pytest.raises(PushdError) as caught:
            await spool.get(bad, uid=ALICE)
        assert caught.value.code is Code.REQUEST_NOT_FOUND
        assert spool.size == 1000 + len(b"bytes")
        await spool.sweep(house.now, {bad})
        assert (house.directory / bad).is_dir()
        await spool.sweep(house.now, set())
        assert [path.name for path in house.directory.iterdir()] == [good]
        assert house.told[-1].fields == {"entry": bad, "uid": None, "reason": "its record is damaged"}
        assert spool.size == 1000


async def test_what_does_not_belong_there_is_let_alone_and_no_link_is_followed(house: House) -> None:
    async with house.open() as spool:
        entry = await made(spool)
    secret = house.directory.parent / "secret"
    secret.write_bytes(b"not for you")
    (house.directory / "lost+found").mkdir()
    (house.directory / entry / "incoming" / "layer-0").symlink_to(secret)
    (house.directory / entry / "names" / "layer-1").symlink_to(secret)
    async with house.open() as spool:
        assert (await spool.get(entry, uid=ALICE)).files == ()
        with pytest.raises(StoreError):
            await bring(spool, entry, b"overwritten", name="layer-0")
        await spool.sweep(house.now, set())
    assert secret.read_bytes() == b"not for you"
    assert (house.directory / "lost+found").is_dir()


async def test_an_entry_past_its_time_goes_after_a_restart_unless_a_job_needs_it(house: House) -> None:
    async with house.open() as spool:
        await made(spool)
        needed = await made(spool)
    house.later(4000)
    async with house.open() as spool:
        await spool.sweep(house.now, {needed})
        assert [path.name for path in house.directory.iterdir()] == [needed]


async def test_two_daemons_do_not_share_a_spool(house: House) -> None:
    async with house.open():
        with pytest.raises(StoreError) as caught:
            async with house.open():
                pass
    assert caught.value.code is Code.STORE_UNAVAILABLE
    assert "another daemon" in str(caught.value)
    async with house.open():
        pass


async def test_a_directory_that_was_open_to_others_is_closed(house: House) -> None:
    house.directory.mkdir(mode=0o755)
    async with house.open():
        assert house.directory.stat().st_mode & 0o777 == 0o700


async def test_a_spool_that_cannot_be_there_is_said_so(house: House) -> None:
    house.directory.write_text("a file")
    with pytest.raises(StoreError) as caught:
        async with house.open():
            pass
    assert caught.value.code is Code.STORE_UNAVAILABLE


async def test_a_thousand_entries_are_read_at_once(house: House) -> None:
    async with house.open() as spool:
        first = await made(spool, 1)
    for number in range(1000):
        shutil.copytree(house.directory / first, house.directory / f"{number:024x}")
    async with house.open() as spool:
        assert spool.size == 1001
