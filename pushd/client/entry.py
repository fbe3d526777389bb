"""An entry of the daemon's spool, as whoever fills it sees it: files brought to it over whatever breaks on the way."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pushd.client import targets
from pushd.client.conversation import Patience
from pushd.client.documents import JSON
from pushd.client.exchange import Broken, Bytes, Request
from pushd.errors import Code, OffsetError, PushdError, RequestError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.client.conversation import Conversation
    from pushd.client.exchange import Body, Connection

_REMOVED_WITHIN: Final = 5.0  # seconds; what is not removed goes by itself, and nobody is kept waiting for it
_COMMIT_WITHIN: Final = 120.0  # seconds; the last byte is followed by an fdatasync of all of them


class GoneError(Exception):
    """The daemon has forgotten the entry, or some of what it had taken: what was brought is to be brought again."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file of the entry.

    Attributes:
        name: its digest once it is complete.
        offset: bytes that are there.
    """

    name: str
    offset: int
    complete: bool


class Part(Protocol):
    """A stretch of a file on its way: all of it, or as much as is at hand."""

    @property
    def start(self) -> int:
        """Where in the file it begins."""

    @property
    def stop(self) -> int:
        """Where in the file it ends."""

    def body(self, at: int) -> Body:
        """Give its bytes from the place `at` of the file on."""


class Entry:
    """One entry. Threads may share it, each with a connection of its own.

    Attributes:
        id: the daemon's name for it.
        reserved: bytes it may hold.
    """

    def __init__(self, conversation: Conversation, entry_id: str, reserved: int) -> None:
        self.id = entry_id
        self.reserved = reserved
        self._conversation = conversation

    @classmethod
    def create(cls, conversation: Conversation, size: int) -> Entry:
        """Have an entry made, with `size` bytes reserved.

        A reply that is lost leaves an entry nobody will fill; it goes when its time is over.

        Raises:
            RequestError: `request.limit`.
            StoreError: `store.budget`, `store.full`.
        """
        body = json.dumps({"size": size}).encode()
        request = Request(method="POST", target=targets.path("spool"), headers=JSON, body=body)
        return conversation.ask(request, lambda document: cls(conversation, str(document["id"]), size))

    def resize(self, size: int) -> None:
        """Reserve another number of bytes.

        Raises:
            GoneError: there is no such entry any more.
            RequestError, StoreError: as `create` does.
        """
        body = json.dumps({"size": size}).encode()
        request = Request(method="PATCH", target=self._target(), headers=JSON, body=body)
        try:
            self._conversation.ask(request, lambda _: None)
        except RequestError as error:
            if error.code is Code.REQUEST_NOT_FOUND:
                raise GoneError from error
            raise
        self.reserved = size

    @contextmanager
    def at_hand(self, *, keep: bool) -> Iterator[None]:
        """Fill and use it in the block; what nobody needs is removed afterwards.

        With `keep` it stays when the block succeeds: a job has it then. It also stays when nobody knows, because the
        daemon fell silent.
        """
        try:
            yield
        except GoneError:
            raise
        except BaseException as error:
            if not (isinstance(error, PushdError) and error.code is Code.DAEMON_UNREACHABLE):
                self.remove()
            raise
        if not keep:
            self.remove()

    def remove(self) -> None:
        """Have it removed if that is possible at once; otherwise it goes when its time is over."""
        request = Request(method="DELETE", target=self._target(), answer_within=_REMOVED_WITHIN)
        with suppress(Broken, PushdError):
            self._conversation.ask_once(request, lambda _: None)

    def bring(self, connection: Connection, name: str, part: Part, *, last: bool) -> Arrived:
        """Bring a part of a file, over breaks of the connection and restarts of the daemon.

        What ends the file is brought until the daemon has it whole, and has compared its digest.

        Args:
            connection: to bring it by.
            name: the file's digest, or another name when that is not known.
            part: what follows what was brought before.
            last: whether the file ends with it.

        Returns:
            The file as it is then.

        Raises:
            GoneError: the entry, or what came before the part, is not there any more.
            RequestError: `request.invalid_digest`, `request.limit`, and whatever else is refused.
            StoreError: `store.full`.
            DaemonError: `daemon.unreachable`, for longer than the conversation's patience.
            PushdError: what reading the part raises.
        """
        patience = Patience(self._conversation)
        at, lost = part.start, False
        while True:
            # After a break nothing is sent at first: the answer says where the file ends, or that it is whole.
            body = Bytes(b"") if lost else part.body(at)
            try:
                arrived = self._send(connection, name, body, at, last=last and not lost)
            except OffsetError as error:
                arrived = Arrived(name, error.offset, complete=False)
            except Broken as broken:
                patience.spend(broken)
                lost = True
                continue
            if arrived.complete or (arrived.offset == part.stop and not last):
                return arrived
            if not part.start <= arrived.offset <= part.stop:
                raise GoneError
            if arrived.offset > at:
                patience.renew()
            elif not lost:  # what broke before may still be on its way into the file
                patience.spend(Broken("the daemon takes no more of a file"))
            at, lost = arrived.offset, False

    def _send(self, connection: Connection, name: str, body: Body, offset: int, *, last: bool) -> Arrived:
        """Send bytes once."""
        request = Request(
            method="PATCH",
            target=targets.path("spool", self.id, "files", name),
            headers={
                "Content-Type": "application/octet-stream",
                "Upload-Offset": str(offset),
                "Upload-Complete": "?1" if last else "?0",
            },
            body=body,
            answer_within=_COMMIT_WITHIN,
        )
        try:
            return self._conversation.ask_once(request, _arrived, connection)
        except RequestError as error:
            if error.code is Code.REQUEST_NOT_FOUND:
                raise GoneError from error
            raise
        except StoreError as error:
            if error.code is Code.STORE_UNAVAILABLE:  # it stops, and said so while it could
                raise Broken(error.detail) from error
            raise

    def _target(self) -> str:
        return targets.path("spool", self.id)


def _arrived(document: Any) -> Arrived:
    name, offset, complete = document["name"], document["offset"], document["complete"]
    if not isinstance(name, str) or type(offset) is not int or type(complete) is not bool:
        raise TypeError(document)
    return Arrived(name, offset, complete)
