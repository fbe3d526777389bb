"""What each user has in the spool, and may have."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FILES: Final = 200_000
"""Files of one user, an entry counting as one: inodes are worth something too. An image has about ten."""
_RECEIVING: Final = 16
"""Files of one user that are received at once. Each costs about four mebibytes of memory; who waits costs little."""


@dataclass(slots=True)
class Account:
    """One user's.

    Attributes:
        size: bytes reserved.
        files: files and entries there are.
        receiving: places for files on their way in.
    """

    size: int = 0
    files: int = 0
    receiving: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_RECEIVING))


class Accounts:
    """Everybody's.

    Args:
        per_user: bytes one user may have reserved.
        admit: refuses bytes for which the daemon has no room, with StoreError `store.budget`.

    Attributes:
        per_user: as it was given; may be changed.
        admit: as it was given.
        size: bytes reserved, by all together.
    """

    def __init__(self, *, per_user: int, admit: Callable[[int], None]) -> None:
        self.per_user = per_user
        self.admit = admit
        self._by_uid: dict[int, Account] = {}
        self.size = 0

    def of(self, uid: int) -> Account:
        """Give a user's."""
        return self._by_uid.setdefault(uid, Account())

    def reserve(self, uid: int, size: int) -> None:
        """Reserve `size` more bytes.

        Raises:
            RequestError: `request.limit`, the user has not so many left.
            StoreError: `store.budget`, the daemon has not.
        """
        left = max(self.per_user - self.of(uid).size, 0)
        if size > left:
            raise RequestError(
                Code.REQUEST_LIMIT,
                "spool",
                f"uid {uid} has {left} of {self.per_user} bytes left, and {size} are needed",
                hint="what jobs need is freed when they end; the administrator sets the quota (per_user in [spool])",
            )
        self.admit(size)
        self.add(uid, size)

    def add(self, uid: int, size: int) -> None:
        """Count `size` bytes more, or with a negative number less, whatever the limits are."""
        self.of(uid).size += size
        self.size += size

    def admit_files(self, uid: int, files: int) -> None:
        """Count `files` more.

        Raises:
            RequestError: `request.limit`.
        """
        account = self.of(uid)
        if account.files + files > MAX_FILES:
            detail = f"uid {uid} has {account.files} files there, and more than {MAX_FILES} nobody may have"
            raise RequestError(Code.REQUEST_LIMIT, "spool", detail, hint="let jobs end, or remove entries")
        account.files += files
