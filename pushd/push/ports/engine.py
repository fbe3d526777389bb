"""What is needed of container engines: images in them, brought to the spool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushd.job import Spooled


class Fetch(Protocol):
    """Fetch an image out of an engine."""

    async def __call__(self, source: str, /, *, uid: int, platforms: Collection[str]) -> Spooled:
        """Bring the image that `source` names, `docker-daemon:IMAGE`, to an entry of the spool; give where it is.

        Of an index only what is for `platforms`, if there are any. Cancelled or failed, nothing is left of it.

        Raises:
            RequestError: `request.invalid_reference`; `request.limit`, the quota of `uid` is used up.
            SourceError: `source.not_found`, `source.unreadable`, and their kind.
            StoreError: `store.full`, `store.budget`.
        """
