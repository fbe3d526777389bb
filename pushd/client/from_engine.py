"""An image brought to the daemon's spool out of a container engine, through the caller's hands and never onto a disk.

Who may open an engine's socket is as good as root on the machine, and can have any image in it. So the daemon, though
it may be able to, does that for administrators alone; here the caller opens it, and gets what they could get without.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, TypeVar

from pushd.client.engine import Export
from pushd.client.engine_sockets import engine_sockets
from pushd.client.piped import bring_stream
from pushd.errors import Code, SourceError
from pushd.source.engine_answer import answered, blamed
from pushd.source.engine_name import image_in_engine
from pushd.source.forward import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushd.client.conversation import Conversation
    from pushd.client.piped import Piped
    from pushd.job import Spooled
    from pushd.source.assembly import Apart
    from pushd.source.saved import Documents, Indexed

T = TypeVar("T")

_READ_AHEAD: Final = 64 << 10


def bring_from_engine(
    conversation: Conversation,
    source: str,
    use: Callable[[Spooled], T],
    *,
    platforms: Collection[str],
    progress: Callable[[int, int | None], None] | None,
    keep: bool,
) -> T:
    """Ask an engine for the image that `source` names, and bring what it answers; otherwise as `bringing.bring_source`.

    `progress` is told of no bytes at all before the engine is asked, for that may take long, and a total at the end.

    Raises:
        RequestError: `request.invalid_reference`, `source` names no single image.
        SourceError: `source.not_found`, `source.unreadable`, `source.unsupported`, the image is not to be had (see
            `Export.ask` and `engine_sockets`); and what `piped.bring_stream` raises.
        PushdError: the daemon's refusals, and what `use` raises.
    """
    image = image_in_engine(source)
    told = _Told(progress)

    def all_there(_: Piped, spooled: Spooled) -> T:
        told.complete()
        return use(spooled)

    def find(documents: Documents) -> Indexed | Apart:
        return answered(documents, image)

    sockets = engine_sockets()
    told(0, None)
    with Export.ask(image, sockets) as export:
        stream = io.BufferedReader(export, _READ_AHEAD)
        try:
            return bring_stream(conversation, stream, find, all_there, platforms=platforms, progress=told, keep=keep)
        except SourceError as error:
            if not error.subject.endswith(SUBJECT):
                raise
            said = export.regret() if error.code is Code.SOURCE_ARCHIVE_INVALID else ""
            raise blamed(error, image, export.engine, said) from error


class _Told:
    """Passes on how much was brought, and at the end that it was all."""

    def __init__(self, progress: Callable[[int, int | None], None] | None) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        self._done = done
        if self._progress is not None:
            self._progress(done, total)

    def complete(self) -> None:
        self(self._done, self._done)
