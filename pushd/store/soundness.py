"""Whether the database file is what the last life left when it ended in good order: then it is not checked again.

A check reads all of it, 2 s for a GiB: a long history would hold up every start. What the kernel tells of a file
changes with every write to it, a backup that is restored included; as for blobs, that is believed (`validated_files`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Soundness:
    """What is written down, beside the database, of a file that was checked and closed.

    Args:
        database: the file; `-sound` is added for the name of ours.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._record = database.with_name(f"{database.name}-sound")

    def vouched(self) -> bool:
        """Whether the file is as it was when `vouch` was called. That is forgotten: it is about to be changed.

        Raises:
            OSError: it cannot be told, or not forgotten.
        """
        try:
            recorded = self._record.read_bytes()
        except FileNotFoundError:
            return False
        self._record.unlink()
        return recorded == self._look()

    def vouch(self) -> None:
        """Write down how the file looks, which was closed and found no fault with. One that cannot be is no loss."""
        with suppress(OSError):
            file = os.open(self._record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(file, "wb") as record:  # noqa: PTH123 (of a descriptor: the mode is ours)
                record.write(self._look())

    def _look(self) -> bytes:
        """Give what a change of the file changes. A log beside it that was not moved into it is one."""
        status = self._database.stat()
        log = Path(f"{self._database}-wal")
        facts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, log.exists())
        return " ".join(str(int(fact)) for fact in facts).encode()
