"""Events as bytes on a stream: NDJSON, or server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pushd.api.documents import event_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pushd.telemetry.events import Event

NDJSON: Final = "application/x-ndjson"
SSE: Final = "text/event-stream"
PIECE: Final = 32 << 10
"""Bytes written at once, unless one event alone is more."""

_KEPT: Final = 1024


def ndjson(event: Event) -> bytes:
    """Give an event as a line."""
    return event_document(event) + b"\n"


def sse(event: Event) -> bytes:
    """Give an event as a server-sent event (WHATWG HTML, 9.2.5).

    What has no number has no `id` either: the reader's last one stays what it is.
    """
    number = b"" if event.seq is None else b"id: %d\n" % event.seq
    return b"%sevent: %s\ndata: %s\n\n" % (number, event.kind.name.encode(), event_document(event))


FORMS: Final = {NDJSON: ndjson, SSE: sse}


class Lines:
    """Encodes each event once, however many read it: they are all given the same object.

    The last few are kept, with the event itself: as long as it is here, nothing else has its identity.
    """

    def __init__(self, form: Callable[[Event], bytes]) -> None:
        self._form = form
        self._kept: dict[int, tuple[Event, bytes]] = {}

    def pieces(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Give events as bytes to write one after the other, each piece of at most `PIECE` bytes."""
        gathered: list[bytes] = []
        size = 0
        for line in map(self._line, events):
            if gathered and size + len(line) > PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
            gathered.append(line)
            size += len(line)
        if gathered:
            yield b"".join(gathered)

    def _line(self, event: Event) -> bytes:
        kept = self._kept.get(id(event))
        if kept is not None:
            return kept[1]
        line = self._form(event)
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[id(event)] = (event, line)
        return line
