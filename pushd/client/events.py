"""The stream of events, followed over restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pushd.client import targets
from pushd.client.conversation import Patience
from pushd.client.exchange import Broken, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pushd.client.conversation import Conversation

_SILENCE: Final = 90.0  # seconds without even a bookmark or a keep-alive
_BOOKMARK: Final = "stream.bookmark"
_END: Final = "job.finished"


class EventStream:
    """One reader's place in the stream.

    Attributes:
        after: the number up to which everything was given.
    """

    def __init__(self, conversation: Conversation, after: int, job: str | None) -> None:
        """Begin after the event numbered `after`; with `job`, give only that job's events."""
        self.after = after
        self._conversation = conversation
        self._job = job
        self._stream: str | None = None

    def read(self, *, follow: bool, ended: Callable[[], bool]) -> Iterator[Mapping[str, Any]]:
        """Give events, each numbered one once and in order.

        Args:
            follow: whether to go on at the present.
            ended: asked when a stream that is followed ended by itself: whether what is left is the last there is.

        Raises:
            PushdError: what the daemon answered; `daemon.unreachable`.
        """
        patience = Patience(self._conversation)
        while True:
            try:
                for event in self._once(follow=follow):
                    patience.renew()
                    if event is None:
                        continue
                    yield event
                    if follow and self._job is not None and event["event"] == _END:
                        return
            except Broken as broken:
                patience.spend(broken)
            else:
                if not follow:
                    return
                patience.spend(Broken("the daemon ended the stream"))
                # The end may have been told while nobody listened: then what is left is read, and no more awaited.
                follow = not ended()

    def _once(self, *, follow: bool) -> Iterator[Mapping[str, Any] | None]:
        """Give what one connection brings; None for signs of life."""
        asked = [
            ("after", str(self.after)),
            ("follow", str(int(follow))),
            *([("job", self._job)] if self._job is not None else []),
            *([("stream", self._stream)] if self._stream is not None else []),
        ]
        request = Request(method="GET", target=targets.path("events") + targets.query(asked), answer_within=_SILENCE)
        for line in self._conversation.lines(request):
            event = self._conversation.decode(line, _event) if line.strip() else None
            yield None if event is None else self._placed(event)

    def _placed(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Move on by one event, and give it, when it is new and for the reader."""
        seq = event.get("seq")
        if event["event"] == _BOOKMARK:
            self.after = max(self.after, seq or 0)
            self._stream = str(event["stream"]) if event.get("stream") else None
            return None
        if seq is None:
            return event
        if seq <= self.after:
            return None
        self.after = seq
        return event


def _event(document: Any) -> Mapping[str, Any]:
    if not isinstance(document["event"], str) or not isinstance(document.get("seq"), int | None):
        raise TypeError(document)
    return dict(document)
