"""Questions to the daemon, asked again while it restarts, and its answers as values or errors."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pushd.client.documents import error_of
from pushd.client.exchange import Broken, Connection, send
from pushd.errors import Code, DaemonError, OffsetError, PushdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushd.client.exchange import Request, Response

T = TypeVar("T")

_HOW_TO_START: Final = "start it with `systemctl start pushd` or `python -m pushd`, or name its socket in PUSHD_SOCKET"
_FIRST_CONTACT: Final = 5.0  # seconds; a daemon never heard of is more likely absent than restarting
_FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries, at most."""
TRY_WITHIN: Final = 300.0
"""Seconds for an answer the daemon must ask registries for: they may not answer, several times."""
_SUCCESS: Final = range(200, 300)
_KEPT: Final = 8
"""Connections kept at the most."""


class Conversation:
    """Talks to the daemon behind one socket. Threads may share it, each question has a connection to itself.

    Connections are kept for the questions that follow. A process that was forked has none of its parent's.

    Attributes:
        socket_path: where it is looked for.
        patience: seconds to go on trying, see `Patience`.
        reached: whether it ever answered.
    """

    def __init__(self, socket_path: str, patience: float) -> None:
        self.socket_path = socket_path
        self.patience = patience
        self.reached = False
        self._idle: list[Connection] = []
        self._process = os.getpid()

    def close(self) -> None:
        """Close what is kept. Idempotent, and no end: the next question connects again."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        # Whoever drops a client owes the daemon no good-bye, and is owed no warning of open sockets.
        self.close()

    def ask(self, request: Request, read: Callable[[Any], T]) -> T:
        """Ask until there is an answer, and give what `read` makes of its JSON.

        Raises:
            PushdError: what the daemon answered; `daemon.unreachable`, nothing for too long; `daemon.internal`, the
                answer makes no sense.
        """
        patience = Patience(self)
        while True:
            try:
                return self.ask_once(request, read)
            except Broken as broken:
                patience.spend(broken)

    def ask_once(self, request: Request, read: Callable[[Any], T], connection: Connection | None = None) -> T:
        """Ask once, over `connection` where one is given. Otherwise as `ask`.

        Raises:
            Broken: there is no answer; worth another try.
        """
        if connection is None:
            with self._connected() as kept:
                return self.ask_once(request, read, kept)
        with connection.exchange(request) as response:
            self._check(response)
            return self.decode(response.body(), read)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Give a connection for one question, which is kept when that went well."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.close()  # our ends of them: the parent goes on with its own
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self.socket_path)
        try:
            yield connection
        except PushdError:  # an answer, too
            self._keep(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def lines(self, request: Request) -> Iterator[bytes]:
        """Ask once, and give the answer line by line as it comes.

        Raises:
            Broken: there is no answer, or no end of it; worth another try.
            PushdError: what the daemon answered.
        """
        with send(self.socket_path, request) as response:
            self._check(response)
            yield from response.lines()

    def decode(self, body: bytes, read: Callable[[Any], T]) -> T:
        """Give what `read` makes of a JSON document.

        Raises:
            DaemonError: `daemon.internal`, it is none, or not what `read` expects.
        """
        try:
            return read(json.loads(body) if body else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DaemonError(
                Code.DAEMON_INTERNAL, self.socket_path, "the answer is not one this client understands",
                hint="is the daemon another version? `pushctl status` and `pushctl --version` tell",
            ) from error  # fmt: skip

    def _check(self, response: Response) -> None:
        self.reached = True
        if response.status not in _SUCCESS:
            raise _refusal(response)


class Speaker:
    """Whoever speaks to the daemon in one conversation: what the parts of `Client` share."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation


class Patience:
    """How long a call goes on trying: counted from when the daemon was last heard.

    A daemon that answered before is given the conversation's patience; one that never did at most 5 s, and none when
    there is no socket at all.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.renew()

    def renew(self) -> None:
        """The daemon was heard: begin anew."""
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def spend(self, broken: Broken) -> None:
        """Pause before another try, each time longer.

        Raises:
            DaemonError: `daemon.unreachable`, there has been enough of it.
        """
        it = self._conversation
        now = time.monotonic()
        if self._since is None:
            self._since = now
        limit = it.patience if it.reached else 0.0 if broken.absent else min(it.patience, _FIRST_CONTACT)
        if now - self._since + self._pause > limit:
            raise DaemonError(
                Code.DAEMON_UNREACHABLE, it.socket_path, f"no daemon answers: {broken.reason}", hint=_HOW_TO_START
            ) from broken
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _refusal(response: Response) -> PushdError:
    after = response.headers.get("retry-after", "")
    where = response.headers.get("upload-offset", "")
    try:
        document = json.loads(response.body())
    except ValueError:
        document = None
    error = error_of(
        response.status,
        document if isinstance(document, dict) else {},
        retry_after=float(after) if after.isdecimal() else None,
    )
    if error.code is Code.REQUEST_OFFSET and where.isdecimal():
        return OffsetError("", int(where))
    return error
