from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.oci.digest import Digest
from tests.unit.spool.conftest import ALICE, bring, made, stream

if TYPE_CHECKING:
    from pushd.spool import Spool
    from tests.unit.spool.conftest import House

CONTENTS = [bytes([n]) * (n * 50) for n in range(5)]


async def step(spool: Spool, entry: str, rng: random.Random) -> None:
    """Bring some bytes of some file, at the right place or not, to their end or not."""
    content = rng.choice(CONTENTS)
    name = rng.choice([str(Digest.of(content)), f"layer-{rng.randrange(4)}"])
    there = {file.name: file.offset for file in (await spool.get(entry, uid=ALICE)).files}
    offset = rng.choice([there.get(name, 0), there.get(name, 0), rng.randrange(200)])
    pieces = [content[offset:][start : start + 30] for start in range(0, len(content), 30)]
    fails = rng.choice([None, None, RequestError(Code.REQUEST_MALFORMED, "body", "broke off")])
    keep = rng.randrange(len(pieces) + 1) if fails is not None else len(pieces)
    refused: Code | None = None
    try:
        await spool.receive(
            entry,
            name,
            uid=ALICE,
            offset=offset,
            pieces=stream(*pieces[:keep], fails=fails),
            complete=rng.random() < 0.7,
        )
    except RequestError as error:
        refused = error.code
    assert refused in (
        None,
        Code.REQUEST_OFFSET,
        Code.REQUEST_MALFORMED,
        Code.REQUEST_INVALID_DIGEST,
        Code.REQUEST_LIMIT,
    )


async def check(spool: Spool, house: House, entry: str) -> None:
    """What is said of an entry is what is on the disk, and its owner is charged for that."""
    disk = house.on_disk(entry)
    said = await spool.get(entry, uid=ALICE)
    for file in said.files:
        algorithm, _, encoded = file.name.partition(":")
        path = f"blobs/{algorithm}/{encoded}" if file.complete else f"incoming/{file.name}"
        assert len(disk[path]) == file.offset
        assert not file.complete or str(Digest.of(disk[path])) == file.name
    assert {str(digest) for _, digest in house.checked} >= {file.name for file in said.files if file.complete}
    used = sum(map(len, disk.values()))
    assert used <= said.size
    assert spool.size == said.size
    assert (await spool.resize(entry, uid=ALICE, size=0)).size == used
    await spool.resize(entry, uid=ALICE, size=said.size)
    # Behind the door: nobody is told how many files they are charged for, until it is one too many.
    assert spool._accounts.of(ALICE).files == 1 + len(disk)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_what_is_said_is_what_is_there(house: House, seed: int) -> None:
    rng = random.Random(seed)
    async with house.open() as spool:
        entry = await made(spool, rng.choice([300, 700, 5000]))
    for _ in range(6):
        async with house.open() as spool:
            for _ in range(8):
                await asyncio.gather(*(step(spool, entry, rng) for _ in range(rng.randrange(1, 5))))
                await check(spool, house, entry)
    async with house.open() as spool:
        await spool.remove(entry, uid=ALICE)
        assert (spool.size, spool._accounts.of(ALICE).files) == (0, 0)
        assert (await bring(spool, await made(spool, 10), b"x")).complete
