"""The Python client of the daemon, on the standard library alone, because a person's command must start fast.

    from pushd.client import Client

    client = Client()
    job = client.submit("oci:/srv/builds/app:1.4", ["registry.example.com/team/app:1.4"], labels={"build": "4711"})
    print(job.id, job.digest)                       # on the daemon's disk: this image will be delivered
    for event in client.events(job=job.id):         # goes on over a restart of the daemon; ends with the job
        print(event["at"], event["message"])
    job = client.get(job.id)
    for delivery in job.deliveries:
        print(delivery.destination, delivery.state, delivery.failure or delivery.digest)

Every call blocks. A call on a daemon that has gone away is tried again until `patience` runs out; that is safe, since
what changes something carries an idempotency key or is idempotent by itself. A `Client` keeps no connection and may
be used by several threads.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pushd.client.documents import error_of, job_of
from pushd.client.exchange import Broken, Request, send
from pushd.client.sources import absolute
from pushd.errors import Code, DaemonError
from pushd.job import Verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from pushd.client.exchange import Response
    from pushd.errors import PushdError
    from pushd.job import Job, JobState

T = TypeVar("T")

__all__ = ["Client", "default_socket_path"]

SYSTEM_SOCKET: Final = "/run/pushd/pushd.sock"
_HOW_TO_START: Final = "start it with `systemctl start pushd` or `python -m pushd`, or name its socket in PUSHD_SOCKET"

_FIRST_CONTACT: Final = 5.0  # seconds; a daemon never heard of is more likely absent than restarting
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_POLL: Final = 30.0  # seconds the daemon is asked to hold a wait
_GRACE: Final = 30.0  # seconds on top of what the daemon was asked to hold
_SUBMIT_WITHIN: Final = 300.0  # the daemon reads and checks the whole source's structure before it answers
_STREAM_SILENCE: Final = 90.0  # seconds without even a keep-alive
_PAGE: Final = 100
_SUCCESS: Final = range(200, 300)


def default_socket_path(environ: Mapping[str, str] = os.environ) -> str:
    """Give the socket to talk to: `$PUSHD_SOCKET`, the user's own daemon's if it is there, or the system's."""
    if named := environ.get("PUSHD_SOCKET"):
        return named
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        own = f"{runtime}/pushd/pushd.sock"
        if os.path.exists(own):  # noqa: PTH110 (pathlib would be imported for this alone)
            return own
    return SYSTEM_SOCKET


class Client:
    """Talks to the daemon behind one socket.

    Attributes:
        socket_path: where it is looked for.
        patience: seconds to go on trying while a daemon that answered before does not; one that never
            answered is given at most 5 s, and none when there is no socket at all.

    All methods may raise:
        DaemonError: `daemon.unreachable`, no daemon, or none that lets the caller in; `daemon.socket`, the path
            cannot be a socket's; `daemon.internal`, the answer makes no sense.
        PushdError: what the daemon answered, as the subclass of its code.
    """

    def __init__(self, socket_path: str | None = None, *, patience: float = 60.0) -> None:
        self.socket_path = socket_path or default_socket_path()
        self.patience = patience
        self._reached = False

    def submit(
        self,
        source: str,
        destinations: Sequence[str],
        *,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        deadline: float | None = None,
        verify: Verify = Verify.TAG,
        idempotency_key: str | None = None,
    ) -> Job:
        """Hand over a job. When this returns it is on the daemon's disk and will be delivered, whatever happens here.

        Args:
            source: `oci:DIR[:REF]` or `oci-archive:FILE[:REF]`; a relative path is taken from this process's
                directory, because the daemon's is another.
            destinations: references, at least one.
            priority: larger goes first.
            labels: the caller's own words, returned and never interpreted.
            deadline: seconds from now after which what is unfinished fails; None for the daemon's default.
            verify: what is read back before a destination counts as done.
            idempotency_key: 1 to 255 printable ASCII characters; submitting again with the same key gives the same
                job. One is made up when none is given.

        Raises:
            RequestError: the request was refused.
            SourceError: the image is missing, malformed, or not what it says it is.
        """
        document = {
            "source": absolute(source),
            "destinations": list(destinations),
            "priority": priority,
            "labels": dict(labels or {}),
            "deadline": deadline,
            "verify": verify,
        }
        request = Request(
            method="POST",
            target="/v1/jobs",
            headers={
                "Content-Type": "application/json",
                # What `secrets.token_hex` does, without importing it and what it imports.
                "Idempotency-Key": idempotency_key or os.urandom(16).hex(),
            },
            body=json.dumps(document).encode(),
            answer_within=_SUBMIT_WITHIN,
        )
        return self._ask(request, job_of)

    def get(self, job_id: str) -> Job:
        """Give one job as it is now, with the progress of its transfers.

        Raises:
            RequestError: `request.not_found`.
        """
        return self._ask(Request(method="GET", target=_job_path(job_id)), job_of)

    def list(self, *, states: Collection[JobState] = ()) -> Iterator[Job]:
        """Give jobs, newest first and without their transfers, page by page as they are taken.

        Args:
            states: only jobs in one of these; all when empty.
        """
        after: str | None = None
        while True:
            query = [*(("state", state.value) for state in states), ("limit", str(_PAGE))]
            if after is not None:
                query.append(("after", after))
            jobs, after = self._ask(Request(method="GET", target=f"/v1/jobs?{_query(query)}"), _page_of)
            yield from jobs
            if after is None:
                return

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job has ended, over restarts of the daemon too.

        Args:
            job_id: which.
            timeout: seconds to wait at most; None for as long as it takes.

        Returns:
            The job; not terminal when `timeout` passed first.

        Raises:
            RequestError: `request.not_found`.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            asked_at = time.monotonic()
            poll = _POLL if until is None else max(0.0, min(_POLL, until - asked_at))
            target = f"{_job_path(job_id)}/wait?timeout={poll:.3f}"
            job = self._ask(Request(method="GET", target=target, answer_within=poll + _GRACE), job_of)
            now = time.monotonic()
            if job.state.terminal or (until is not None and now >= until):
                return job
            if now - asked_at < poll / 2:  # a daemon that stops lets its waiters go early; do not race it
                time.sleep(min(_LONGEST_PAUSE, poll))

    def cancel(self, job_id: str) -> Job:
        """End what is not finished of a job, and give the job as it is then: what runs may take a moment to stop.

        Raises:
            RequestError: `request.not_found`.
        """
        return self._ask(Request(method="POST", target=f"{_job_path(job_id)}/cancel"), job_of)

    def status(self) -> Mapping[str, Any]:
        """Give what the daemon says of itself: version, limits, queue, uploads, registries."""
        return self._ask(Request(method="GET", target="/v1/status"), dict)

    def events(self, after: int = 0, *, job: str | None = None, follow: bool = True) -> Iterator[Mapping[str, Any]]:
        """Give events as they happen: numbered ones under `seq`, each once and in order, with progress in between.

        When the connection breaks or the daemon restarts, the stream goes on after the last number given, so nothing
        numbered is missed or doubled.

        Args:
            after: the number after which to begin; 0 for everything the daemon still has.
            job: only this job's events; with `follow` they end when the job has.
            follow: whether to go on at the present, and not end there.

        Raises:
            RequestError: `request.not_found`.
        """
        patience = _Patience(self)
        while True:
            try:
                for event in self._stream(after, job, follow):
                    patience.renew()
                    if event is None:
                        continue
                    seq = event.get("seq")
                    if seq is not None:
                        if seq <= after:
                            continue
                        after = seq
                    yield event
                    if follow and job is not None and event["event"] == "job.finished":
                        return
            except Broken as broken:
                patience.spend(broken)
            else:
                if not follow:
                    return
                patience.spend(Broken("the daemon ended the stream"))
                # The end may have been told while nobody listened: then what is left is read, and no more awaited.
                follow = job is None or not self.get(job).state.terminal

    def _stream(self, after: int, job: str | None, follow: bool) -> Iterator[Mapping[str, Any] | None]:  # noqa: FBT001 (private, named by its caller)
        query = [("after", str(after)), ("follow", str(int(follow)))]
        if job is not None:
            query.append(("job", job))
        request = Request(method="GET", target=f"/v1/events?{_query(query)}", answer_within=_STREAM_SILENCE)
        with send(self.socket_path, request) as response:
            self._reached = True
            if response.status not in _SUCCESS:
                raise _refusal(response)
            for line in response.lines():
                yield self._decode(line, dict) if line.strip() else None

    def _ask(self, request: Request, read: Callable[[Any], T]) -> T:
        patience = _Patience(self)
        while True:
            try:
                with send(self.socket_path, request) as response:
                    self._reached = True
                    if response.status not in _SUCCESS:
                        raise _refusal(response)
                    return self._decode(response.body(), read)
            except Broken as broken:
                patience.spend(broken)

    def _decode(self, body: bytes, read: Callable[[Any], T]) -> T:
        try:
            return read(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DaemonError(
                Code.DAEMON_INTERNAL, self.socket_path, "the answer is not one this client understands",
                hint="is the daemon another version? `pushctl status` and `pushctl --version` tell",
            ) from error  # fmt: skip


class _Patience:
    """How long a call goes on trying: counted from when the daemon was last heard."""

    def __init__(self, client: Client) -> None:
        self._client = client
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
        client = self._client
        now = time.monotonic()
        if self._since is None:
            self._since = now
        known = client._reached  # noqa: SLF001 (a part of the client)
        limit = client.patience if known else 0.0 if broken.absent else min(client.patience, _FIRST_CONTACT)
        if now - self._since + self._pause > limit:
            raise DaemonError(
                Code.DAEMON_UNREACHABLE, client.socket_path, f"no daemon answers: {broken.reason}", hint=_HOW_TO_START
            ) from broken
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def _refusal(response: Response) -> PushdError:
    after = response.headers.get("retry-after", "")
    try:
        document = json.loads(response.body())
    except ValueError:
        document = None
    return error_of(
        response.status,
        document if isinstance(document, dict) else {},
        retry_after=float(after) if after.isdecimal() else None,
    )


def _page_of(document: Mapping[str, Any]) -> tuple[Sequence[Job], str | None]:
    return [job_of(job) for job in document["jobs"]], document["next"]


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{_quote(job_id)}"


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{name}={_quote(value)}" for name, value in pairs)


def _quote(text: str) -> str:
    """Percent-encode all but unreserved characters (RFC 3986, 2.3); `urllib.parse` is slow to import."""
    safe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~"
    octets = text.encode(errors="surrogateescape")
    return "".join(chr(octet) if chr(octet) in safe else f"%{octet:02X}" for octet in octets)
