"""Opening the spool: what is on the disk is read, and is the truth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pushd.spool.account import Accounts
from pushd.spool.faults import disk
from pushd.spool.intake import Intake
from pushd.spool.kept import Kept
from pushd.spool.record import utcnow
from pushd.spool.shelf import Shelf
from pushd.spool.spool import Spool
from pushd.spool.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from concurrent.futures import Executor
    from datetime import datetime
    from pathlib import Path

    from pushd.oci.digest import Digest
    from pushd.spool.limits import Limits
    from pushd.spool.shelf import Found
    from pushd.telemetry.events import Event
    from pushd.work import FileIdentity


async def open_spool(
    directory: Path,
    *,
    limits: Limits,
    admit: Callable[[int], None],
    bound: Callable[[], Awaitable[Collection[str]]],
    validated: Callable[[FileIdentity, Digest], Awaitable[None]],
    emit: Callable[[Event], object],
    threads: Executor,
    now: Callable[[], datetime] = utcnow,
) -> Spool:
    """Open the spool, and read what is there.

    Args:
        directory: where it is; made if it is not there, and used by this daemon alone.
        limits: how much it may hold, until `configure` says otherwise.
        admit: refuses bytes for which the daemon has no room, with StoreError `store.budget`.
        bound: gives the ids of the entries that jobs need which have not ended.
        validated: told of each file whose digest was checked, once it is durable. Nobody changes it after that.
        emit: told of entries that come and go.
        threads: where files are read, written and hashed.
        now: gives the time.

    Raises:
        StoreError: `store.unavailable`; the directory cannot be used, or another daemon has it.
    """
    stock = await in_thread(threads, partial(_open, directory, await bound(), limits.keep))
    shelf, kept = stock.shelf, stock.kept
    accounts = Accounts(per_user=limits.per_user, admit=admit)
    intake = Intake(shelf, accounts, validated=validated, threads=threads)
    spool = Spool(shelf, accounts, intake, kept, ttl=limits.ttl, bound=bound, emit=emit, threads=threads, now=now)
    spool.take_in(stock.found, orphans=stock.orphans, left=stock.left)
    return spool


class _Stock(NamedTuple):
    """What is on the disk.

    Attributes:
        found: the entries.
        orphans: those that were made for jobs which never came to know of them: the daemon ended before.
        left: names of what is to be freed.
    """

    shelf: Shelf
    found: Sequence[Found]
    orphans: Sequence[Found]
    left: Sequence[str]
    kept: Kept


def _open(directory: Path, bound: Collection[str], keep: int) -> _Stock:
    shelf = Shelf(directory)
    try:
        found: list[Found] = []
        orphans: list[Found] = []
        for it in shelf.scan():
            orphaned = it.record is not None and it.record.own and it.id not in bound
            (orphans if orphaned else found).append(it)
        for it in orphans:
            shelf.put_away(it.id)
        with disk(directory):
            kept = Kept(directory / "packed", keep)
        return _Stock(shelf, found, orphans, shelf.leftovers(), kept)
    except BaseException:
        shelf.close()
        raise
