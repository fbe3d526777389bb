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
what changes something carries an idempotency key or is idempotent by itself. A `Client` may be used by several
threads; it keeps a few connections, until it is closed or dropped.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, TypeVar

from pushd.client import targets
from pushd.client.conversation import LONGEST_PAUSE, Conversation
from pushd.client.documents import job_of
from pushd.client.exchange import Request
from pushd.client.handing import handed_over
from pushd.client.own import own_credential, own_credentials, own_files
from pushd.client.sources import absolute
from pushd.client.submission import sourced, wishes
from pushd.errors import Code, PushdError
from pushd.job import AUTO, DeliveryState, Retain, Verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Delivery, Job, JobState, Spooled
    from pushd.work import Handed

T = TypeVar("T")

__all__ = ["Client", "default_socket_path"]

SYSTEM_SOCKET: Final = "/run/pushd/pushd.sock"

_POLL: Final = 30.0  # seconds the daemon is asked to hold a wait
_GRACE: Final = 30.0  # seconds on top of what the daemon was asked to hold
_SUBMIT_WITHIN: Final = 300.0  # the daemon reads and checks the whole source's structure before it answers
_TRY_WITHIN: Final = 300.0  # it waits for registries that may not answer, several times
_PAGE: Final = 100
_JSON: Final = {"Content-Type": "application/json"}
_OUT_OF_REACH: Final = frozenset(
    {Code.SOURCE_NOT_FOUND, Code.SOURCE_UNREADABLE, Code.SOURCE_FORBIDDEN, Code.REQUEST_PATH_REFUSED}
)
"""What the daemon says of a path that only the caller can open."""


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

    All methods may raise:
        DaemonError: `daemon.unreachable`, no daemon, or none that lets the caller in; `daemon.socket`, the path
            cannot be a socket's; `daemon.internal`, the answer makes no sense.
        PushdError: what the daemon answered, as the subclass of its code.

    What is said of a job that is not there is also said of one that is not the caller's.
    """

    def __init__(self, socket_path: str | None = None, *, patience: float = 60.0) -> None:
        """Talk to the daemon at `socket_path`, or at `default_socket_path()`.

        A daemon that answered before and does not now is tried for `patience` seconds more; one that never answered
        for at most 5 s, and not at all when there is no socket.
        """
        self._conversation = Conversation(socket_path or default_socket_path(), patience)

    def close(self) -> None:
        """Close the connections that are kept. Idempotent, and no end: the next call connects again."""
        self._conversation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def socket_path(self) -> str:
        """Where the daemon is looked for."""
        return self._conversation.socket_path

    @property
    def patience(self) -> float:
        """Seconds to go on trying while a daemon that answered before does not."""
        return self._conversation.patience

    # ------------------------------------------------------------------------------------------------ handing over

    def submit(  # noqa: PLR0913 (what may be asked of a job; by keyword)
        self,
        source: str,
        destinations: Sequence[str],
        *,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        deadline: float | None = None,
        verify: Verify = Verify.TAG,
        not_before: datetime | None = None,
        if_tag: str | None = None,
        retain: Retain = Retain.SOURCE,
        credential: str = AUTO,
        idempotency_key: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Job:
        """Hand over a job. When this returns it is on the daemon's disk and will be delivered, whatever happens here.

        The daemon is given the path. Where it cannot or may not read what is there, the image is opened here, as the
        caller, and its bytes are brought to the daemon's spool; when this returns they are there, all of them.

        Args:
            source: `oci:DIR[:REF]` or `oci-archive:FILE[:REF]`; a relative path is taken from this process's
                directory, because the daemon's is another.
            destinations: references, at least one.
            priority: larger goes first.
            labels: the caller's own words, returned and never interpreted.
            deadline: seconds from now after which what is unfinished fails; None for the daemon's default.
            verify: what is read back before a destination counts as done.
            not_before: when it may begin at the earliest, with a time zone; None for at once.
            if_tag: what each destination's tag must name when it is put: `pushd.job.ABSENT`, or a digest; None for
                whatever it may be.
            retain: where the bytes are kept until the job ends.
            credential: what the destinations are spoken to with: `pushd.job.AUTO`, the caller's own, which is looked
                up here and handed over, else one they stored, else the daemon's; `pushd.job.DAEMON`;
                `pushd.job.ANONYMOUS`; or the name of one they stored with `login`.
            idempotency_key: 1 to 255 printable ASCII characters; submitting again with the same key gives the same
                job. One is made up when none is given.
            progress: told the bytes brought so far, and how many there are, while bytes are brought; by whichever
                thread brought them, one at a time.

        Raises:
            RequestError: the request was refused: `request.limit` and `request.forbidden` among others;
                `request.idempotency_conflict`, the key was used for something else.
            RegistryError: a file in which the caller keeps credentials, or a helper it names, cannot be used; nothing
                was sent.
            SourceError: the image is missing, malformed, not what it says it is, or not the caller's to read.
            StoreError: `store.budget`, `store.full`; the daemon has no room for it now.
        """
        wanted = wishes(
            destinations,
            priority=priority,
            labels=labels,
            deadline=deadline,
            verify=verify,
            not_before=not_before,
            if_tag=if_tag,
            retain=retain,
            credential=credential,
        )
        name, key = absolute(source), idempotency_key or _new_key()
        handed = _own(destinations, credential)
        return self._with_source(
            name,
            lambda spooled: self._post_job(sourced(wanted, name, spooled, handed), key),
            progress=progress,
            keep=True,
        )

    def submit_stream(  # noqa: PLR0913 (what may be asked of a job; by keyword)
        self,
        stream: BinaryIO,
        destinations: Sequence[str],
        *,
        reference: str = "",
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        deadline: float | None = None,
        verify: Verify = Verify.TAG,
        not_before: datetime | None = None,
        if_tag: str | None = None,
        retain: Retain = Retain.SOURCE,
        credential: str = AUTO,
        idempotency_key: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Job:
        """Hand over a job whose image comes down a pipe. When this returns it will be delivered, as with `submit`.

        Args:
            stream: an OCI archive or one that `docker save`, `podman save` or `skopeo copy` wrote, plain or compressed
                with gzip. Read once, forwards, to its end; not closed.
            destinations: references, at least one.
            reference: which image of the archive, by name, or `@N` for the one at position N, from 0; empty for the
                only one.
            priority: as `submit` has it; so are `labels`, `deadline`, `verify`, `not_before`, `if_tag`, `retain`,
                `credential` and `idempotency_key`.
            labels: see there.
            deadline: see there.
            verify: see there.
            not_before: see there.
            if_tag: see there.
            retain: see there.
            credential: see there.
            idempotency_key: see there.
            progress: told the bytes brought so far, and None, for nobody knows how many will come.

        Raises:
            SourceError: `source.archive_invalid`, it is damaged, cut off, or no such archive; `source.ambiguous`,
                `source.reference_unknown`, `source.blob_missing` and others, the image is not there, or not whole.
            RequestError, RegistryError, StoreError: as `submit` does; `request.not_found`, the daemon forgot what was
                brought.
        """
        wanted = wishes(
            destinations,
            priority=priority,
            labels=labels,
            deadline=deadline,
            verify=verify,
            not_before=not_before,
            if_tag=if_tag,
            retain=retain,
            credential=credential,
        )
        key = idempotency_key or _new_key()
        handed = _own(destinations, credential)
        from pushd.client.piped import bring_stream  # noqa: PLC0415 (tarfile, zlib, hashlib: a job by path needs none)

        def hand_over(name: str, spooled: Spooled) -> Job:
            return self._post_job(sourced(wanted, f"-:{name}" if name else "-", spooled, handed), key)

        return bring_stream(self._conversation, stream, reference, hand_over, progress=progress)

    def plan(
        self,
        source: str,
        destinations: Sequence[str],
        *,
        verify: Verify = Verify.TAG,
        if_tag: str | None = None,
        credential: str = AUTO,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Mapping[str, Any]:
        """Tell what submitting this would do; nothing changes at any registry.

        Where the daemon cannot read the source its bytes are brought, as `submit` does, and removed afterwards. What
        is asked for, `credential` too, means what it means there.

        Returns:
            `source`, `digest`, `media_type`, `size` (bytes), and `destinations`: for each its `action` (`nothing`,
            `push` or `fail`), the digest its `tag` names now, how many bytes are `present`, would be `mount`ed and
            `send`t, `blobs` one by one, and the `failure`.

        Raises:
            RequestError, RegistryError, SourceError, StoreError: as `submit` does.
        """
        wanted = wishes(destinations, verify=verify, if_tag=if_tag, credential=credential)
        name = absolute(source)
        handed = _own(destinations, credential)

        def ask(spooled: Spooled | None) -> Mapping[str, Any]:
            body = json.dumps(sourced(wanted, name, spooled, handed)).encode()
            target = targets.path("plan")
            request = Request(method="POST", target=target, headers=_JSON, body=body, answer_within=_TRY_WITHIN)
            return self._conversation.ask(request, dict)

        return self._with_source(name, ask, progress=progress, keep=False)

    # --------------------------------------------------------------------------------------------------------- jobs

    def get(self, job_id: str) -> Job:
        """Give one job as it is now, with the progress of its transfers.

        Raises:
            RequestError: `request.not_found`.
        """
        return self._conversation.ask(Request(method="GET", target=targets.path("jobs", job_id)), job_of)

    def list(
        self,
        *,
        states: Collection[JobState] = (),
        labels: Mapping[str, str] | None = None,
        registry: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Give jobs, newest first and without their transfers, page by page as they are taken.

        Args:
            states: only jobs in one of these; all when empty.
            labels: only jobs that carry all of these.
            registry: only jobs with a destination at this `host[:port]`.
            limit: at most so many; None for all there are.
        """
        asked = [
            *(("state", state.value) for state in states),
            *(("label", f"{key}={value}") for key, value in (labels or {}).items()),
            *([("registry", registry)] if registry is not None else []),
        ]
        after: list[tuple[str, str]] = []
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            query = targets.query([*asked, ("limit", str(size)), *after])
            jobs, last = self._conversation.ask(Request(method="GET", target=targets.path("jobs") + query), _page_of)
            yield from jobs
            if last is None:
                return
            after = [("after", last)]
            left = None if left is None else left - len(jobs)

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
            target = targets.path("jobs", job_id, "wait") + targets.query([("timeout", f"{poll:.3f}")])
            job = self._conversation.ask(Request(method="GET", target=target, answer_within=poll + _GRACE), job_of)
            now = time.monotonic()
            if job.state.terminal or (until is not None and now >= until):
                return job
            if now - asked_at < poll / 2:  # a daemon that stops lets its waiters go early; do not race it
                time.sleep(min(LONGEST_PAUSE, poll))

    def cancel(self, job_id: str) -> Job:
        """End what is not finished of a job, and give the job as it is then: what runs may take a moment to stop.

        Raises:
            RequestError: `request.not_found`.
        """
        return self._touch(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Stop what runs of a job where that loses nothing, and begin nothing more; its deadline waits with it.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """
        return self._touch(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """
        return self._touch(job_id, "resume")

    def retry(self, job_id: str, *, credential: str = AUTO) -> Job:
        """Try again what failed or was cancelled of a job, and nothing else, with all of its time anew.

        Args:
            job_id: which.
            credential: with `pushd.job.AUTO` the caller's own is handed over anew; with any other nothing is, and the
                job goes on with what it has.

        Raises:
            RequestError: `request.not_found`; `request.state`, its bytes were in the spool and are gone.
            RegistryError: as `submit` does.
        """
        handed: Sequence[Handed] = ()
        # Read first only where there is something to hand over, and only for a job of the caller's: nobody's credential
        # goes with somebody else's job. Who they are is the daemon's to say.
        if credential == AUTO and own_files() and (job := self.get(job_id)).uid == self.status()["uid"]:
            handed = own_credentials(one.destination for one in job.deliveries if _lacks_credential(one))
        return self._touch(job_id, "retry", handed)

    # --------------------------------------------------------------------------------------------------- registries

    def pause_registry(self, name: str) -> Mapping[str, Any]:
        """Have nothing more sent to a registry, `host[:port]`; give it as `registry`, and `paused_since`.

        Raises:
            RequestError: `request.forbidden`, the caller is no administrator.
        """
        return self._registry(name, "pause")

    def resume_registry(self, name: str) -> Mapping[str, Any]:
        """Have a paused registry served again; likewise."""
        return self._registry(name, "resume")

    def cancel_registry(self, name: str) -> Mapping[str, Any]:
        """Cancel everything that goes to a registry and has not ended, of everybody's jobs.

        Returns:
            `registry`, how many deliveries were `cancelled`, and how many that run are `stopping`.

        Raises:
            RequestError: `request.forbidden`, the caller is no administrator.
        """
        return self._registry(name, "cancel")

    def diagnose(
        self, target: str, *, credential: str = AUTO, handed: Sequence[Handed] | None = None
    ) -> Mapping[str, Any]:
        """Have the daemon try how a registry is spoken to, and with what result.

        Args:
            target: `host[:port]`, or `host[:port]/repository`: then the right to push there is tried as well, with an
                upload that is taken back.
            credential: as `submit` has it.
            handed: the caller's own where they were looked up before; None to do that now.

        Returns:
            `target`, and `checks` in the order they were made: `check`, `ok` (None: it could not be told), `detail`,
            and a `hint` where something is to be done.

        Raises:
            RequestError: `request.invalid_reference`, `request.forbidden`.
            RegistryError: as `submit` does.
        """
        name, _, repository = target.partition("/")
        document: dict[str, Any] = {"repository": repository} if repository else {}
        if credential != AUTO:
            document["credential"] = credential
        elif handed is None:
            own = own_credential(target)
            handed = [] if own is None else [own]
        return self._registry(name, "diagnose", document | handed_over(handed or ()))

    # ------------------------------------------------------------------------------------------------------- logins

    def login(
        self,
        registry: str,
        *,
        name: str | None = None,
        username: str | None = None,
        password: str | None = None,
        identity_token: str | None = None,
        expires_in: float | None = None,
    ) -> Mapping[str, Any]:
        """Store a credential of the caller's with the daemon, for all their jobs; it is tried at the registry first.

        Deliveries of theirs that wait for one go on with it. What had the same name is replaced.

        Args:
            registry: `host[:port]`, or a part of that registry, `host[:port]/path`.
            name: what jobs may call it; made from the registry when None.
            username: goes with the password; may go with a token.
            password: either that,
            identity_token: or an OAuth2 refresh token.
            expires_in: seconds until it is forgotten; None for as long as the daemon keeps one.

        Returns:
            `name`, `registry`, `created_at`, `expires_at`, whether it is `usable`, whether the registry takes it
            (`verified`; None: that could not be told), and how many deliveries go on (`resumed`).

        Raises:
            RequestError: `request.credential_refused`, the registry does not take it and nothing was stored;
                `request.malformed`, `request.invalid_reference`.
        """
        from pushd.client.logins import login_name, storing  # noqa: PLC0415 (a job handed over needs none)

        request = storing(
            login_name(registry) if name is None else name,
            registry,
            username=username,
            password=password,
            identity_token=identity_token,
            expires_in=expires_in,
            answer_within=_TRY_WITHIN,
        )
        return self._conversation.ask(request, dict)

    def logins(self) -> Sequence[Mapping[str, Any]]:
        """Give what the caller has stored, without what is in it.

        Returns:
            For each `name`, `registry`, `created_at`, `expires_at`, and whether it is `usable` still.
        """
        request = Request(method="GET", target=targets.path("logins"))
        return self._conversation.ask(request, lambda document: [*map(dict, document["logins"])])

    def logout(self, name: str) -> None:
        """Have a stored credential forgotten.

        Raises:
            RequestError: `request.not_found`.
        """
        self._conversation.ask(Request(method="DELETE", target=targets.path("logins", name)), lambda _: None)

    # ------------------------------------------------------------------------------------------------ what goes on

    def status(self) -> Mapping[str, Any]:
        """Give what the daemon says of itself: version, queue, uploads, registries, the slowest transfers.

        Administrators are also told its limits and its disk; others what concerns their own jobs.
        """
        return self._conversation.ask(Request(method="GET", target=targets.path("status")), dict)

    def events(self, after: int = 0, *, job: str | None = None, follow: bool = True) -> Iterator[Mapping[str, Any]]:
        """Give events as they happen: numbered ones under `seq`, each once and in order, with progress in between.

        When the connection breaks or the daemon restarts, the stream goes on after the last number given, so nothing
        numbered is missed or doubled.

        Args:
            after: the number after which to begin; 0 for everything the daemon still has.
            job: only this job's events; with `follow` they end when the job has.
            follow: whether to go on at the present, and not end there.

        Raises:
            RequestError: `request.not_found`; `request.events_gone`, what followed `after` is past its time, or the
                daemon's database was restored meanwhile and counts anew; `request.malformed`, there was no such number.
        """
        from pushd.client.events import EventStream  # noqa: PLC0415 (a job handed over needs none)

        stream = EventStream(self._conversation, after, job)
        yield from stream.read(follow=follow, ended=lambda: job is not None and self.get(job).state.terminal)

    # ------------------------------------------------------------------------------------------------------ private

    def _with_source(
        self,
        name: str,
        ask: Callable[[Spooled | None], T],
        *,
        progress: Callable[[int, int | None], None] | None,
        keep: bool,
    ) -> T:
        """Ask something about a source: by its path, or where the daemon cannot open that, with the bytes brought."""
        try:
            return ask(None)
        except PushdError as error:
            if error.code not in _OUT_OF_REACH:
                raise
        from pushd.client.bringing import bring_source  # noqa: PLC0415 (a job by path needs none of what it imports)

        return bring_source(self._conversation, name, ask, progress=progress, keep=keep)

    def _post_job(self, document: Mapping[str, Any], key: str) -> Job:
        request = Request(
            method="POST",
            target=targets.path("jobs"),
            headers={**_JSON, "Idempotency-Key": key},
            body=json.dumps(document).encode(),
            answer_within=_SUBMIT_WITHIN,
        )
        return self._conversation.ask(request, job_of)

    def _touch(self, job_id: str, verb: str, handed: Sequence[Handed] = ()) -> Job:
        body = json.dumps(handed_over(handed)).encode() if handed else b""
        target = targets.path("jobs", job_id, verb)
        return self._conversation.ask(
            Request(method="POST", target=target, headers=_JSON if body else {}, body=body), job_of
        )

    def _registry(self, name: str, verb: str, document: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        body = b"" if document is None else json.dumps(document).encode()
        request = Request(
            method="POST",
            target=targets.path("registries", name, verb),
            headers=_JSON if body else {},
            body=body,
            answer_within=_TRY_WITHIN,
        )
        return self._conversation.ask(request, dict)


def _own(destinations: Sequence[str], credential: str) -> Sequence[Handed]:
    """Look the caller's own up where they are wanted."""
    return own_credentials(destinations) if credential == AUTO else ()


def _lacks_credential(delivery: Delivery) -> bool:
    """Whether a delivery goes on, or begins again, with a credential that is handed over now."""
    failure = delivery.failure
    waits = failure is not None and failure.code == Code.REGISTRY_NEEDS_CREDENTIAL
    return waits or delivery.state in (DeliveryState.FAILED, DeliveryState.CANCELLED)


def _new_key() -> str:
    """Make up an idempotency key: what `secrets.token_hex` does, without importing it and what it imports."""
    return os.urandom(16).hex()


def _page_of(document: Mapping[str, Any]) -> tuple[Sequence[Job], str | None]:
    return [job_of(job) for job in document["jobs"]], document["next"]
