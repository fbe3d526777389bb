"""The upload session against a model of a registry, under faults and crashes of every kind.

`Registry` is what registries are said to be (a choice of moods), `Executor` does what the session asks for exactly as
it is asked, holds it to its promises at every step, and suffers the faults of a plan.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.error_body import ErrorEntry
from pushd.oci.reply import Reply
from pushd.oci.upload import (
    Broken,
    Cancel,
    Checkpoint,
    Done,
    Fail,
    Form,
    Head,
    Landing,
    Limits,
    Open,
    Patch,
    Put,
    Ranges,
    Rehash,
    Restart,
    Save,
    Single,
    Status,
    Stream,
    UploadSession,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pushd.errors import PushdError
    from pushd.oci.upload import (
        Action,
        Outcome,
    )

FORMS = (Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC)
SENDS = (Patch, Stream, Single, Put)


def passes(error: PushdError) -> bool:
    """Whether a later attempt may go on where this one ended, with another credential perhaps."""
    return error.retryable or error.code is Code.REGISTRY_UNAUTHORIZED


# ------------------------------------------------------------------------------------------------- the registry


class Break(Enum):
    """What becomes of an upload session whose request broke off midway."""

    KEEPS = auto()
    """What arrived stays (distribution 3.x)."""
    BREAKS = auto()
    """No Location works any more, though the session is there (distribution 2.8)."""
    DELETES = auto()
    """The session is gone (zot)."""


@dataclass(frozen=True)
class Mood:
    """How one registry differs from another.

    Attributes:
        ranges: what its `Range` counts; where that is unreliable it stays at the first chunk.
        empty_put: whether a PUT without bytes closes a session that has some; else it is answered with 500.
        late: how many further requests it takes until the bytes of a broken one are seen.
        refuses: what it answers to the first request of a form it does not take.
    """

    on_break: Break = Break.KEEPS
    newest_only: bool = False
    checks_range: bool = True
    tells_range: bool = True
    ranges: Ranges = Ranges.OF_BLOB
    empty_put: bool = True
    late: int = 0
    chunk_min: int = 0
    chunk_max: int = 0
    refuses: tuple[tuple[Form, int], ...] = ()


@dataclass
class _Session:
    data: bytes = b""
    first: int = 0
    newest: int = 0
    locations: list[str] = field(default_factory=list)
    broken: bool = False
    draining: bytes = b""
    drained_in: int = 0

    def counted(self, ranges: Ranges) -> str:
        """Say what is there, as this registry says it."""
        counts = {Ranges.OF_BLOB: len(self.data), Ranges.OF_CHUNK: self.newest, Ranges.UNRELIABLE: self.first}
        return f"0-{max(counts[ranges] - 1, 0)}"

    def drain(self) -> None:
        self.data, self.draining = self.data + self.draining, b""


class Registry:
    """One repository, in one mood. It knows nothing of faults: those happen on the way."""

    def __init__(self, mood: Mood, digest: Digest) -> None:
        self.mood = mood
        self.digest = digest
        self.blob: bytes | None = None
        self.sessions: list[_Session] = []
        self._numbers = itertools.count(1)

    def answer(self, action: Action, body: bytes = b"", *, whole: bool = True) -> Reply:
        """Take a request; with `whole` false its body ended too early, and nobody will read the reply."""
        for session in self.sessions:
            session.drained_in -= 1
            if session.drained_in <= 0:
                session.drain()
        if isinstance(action, Head):
            return Reply(200, length=len(self.blob)) if self.blob is not None else Reply(404)
        if isinstance(action, Open):
            session = _Session()
            self.sessions.append(session)
            return Reply(
                202,
                location=self._moved(session),
                range="0-0",
                chunk_min=self.mood.chunk_min,
                chunk_max=self.mood.chunk_max,
            )
        assert isinstance(action, Patch | Stream | Single | Put | Status | Cancel)
        known = self.find(action.location)
        if known is None:
            return Reply(404, errors=(ErrorEntry("BLOB_UPLOAD_UNKNOWN", "", ""),))
        if isinstance(action, SENDS):
            return self._take(known, action, body, whole=whole)
        return self._ask(known, action)

    def _ask(self, session: _Session, action: Status | Cancel) -> Reply:
        if isinstance(action, Status):
            return Reply(204, location=self._moved(session), range=session.counted(self.mood.ranges))
        self.sessions.remove(session)
        return Reply(204)

    def find(self, location: str) -> _Session | None:
        """Give the session a Location works for."""
        for session in self.sessions:
            accepted = session.locations[-1:] if self.mood.newest_only else session.locations
            if location in accepted and not session.broken:
                return session
        return None

    def _moved(self, session: _Session) -> str:
        session.locations.append(f"https://registry.example/upload/{next(self._numbers)}?_state=secret")
        return session.locations[-1]

    def _take(self, session: _Session, action: Patch | Stream | Single | Put, body: bytes, *, whole: bool) -> Reply:
        if isinstance(action, Put) and not body and session.data and not self.mood.empty_put:
            return Reply(500)
        form = {Patch: Form.CHUNKED, Stream: Form.STREAMED, Single: Form.MONOLITHIC}.get(type(action), Form.CHUNKED)
        for refused, status in self.mood.refuses:
            if refused is form and (body or not isinstance(action, Put)):
                return Reply(status)
        session.drain()  # the request before is done with before the next one's bytes are looked at
        if isinstance(action, Patch) and self.mood.checks_range and action.start != len(session.data):
            return Reply(416)
        if not whole:
            self._break_off(session, body)
            return Reply(499)
        session.data += body
        session.first, session.newest = session.first or len(body), len(body)
        if isinstance(action, Single | Put):
            return self._commit(session)
        said = session.counted(self.mood.ranges) if self.mood.tells_range else None
        return Reply(202, location=self._moved(session), range=said)

    def _break_off(self, session: _Session, body: bytes) -> None:
        if self.mood.on_break is Break.DELETES:
            self.sessions.remove(session)
        elif self.mood.on_break is Break.BREAKS:
            session.broken = True
        else:
            session.draining, session.drained_in = body, self.mood.late
            if not self.mood.late:
                session.drain()

    def _commit(self, session: _Session) -> Reply:
        self.sessions.remove(session)
        if not self.digest.matches(session.data):
            return Reply(400, errors=(ErrorEntry("DIGEST_INVALID", "", ""),))
        self.blob = session.data
        return Reply(201, digest=str(self.digest))


# ------------------------------------------------------------------------------------------------- the executor


class Fault(Enum):
    """What goes wrong with one action."""

    NONE = auto()
    BEFORE = auto()
    """The request never arrived."""
    MIDWAY = auto()
    """A part of the body arrived. Of a request without one: nothing."""
    AFTER = auto()
    """It was done, and the reply was lost."""
    ERROR = auto()
    """500, and nothing done."""
    THROTTLED = auto()
    """429 with Retry-After, and nothing done."""
    UNAUTHORIZED = auto()
    """401, of a request with a body or of the closing PUT; a part of the body may have been read."""
    CRASH_BEFORE = auto()
    """The daemon was killed before it did what it was asked."""
    CRASH_AFTER = auto()
    """The daemon was killed when it was done, before it knew."""


CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
WORDS = {Fault.ERROR: Reply(500), Fault.THROTTLED: Reply(429, retry_after=1.0), Fault.UNAUTHORIZED: Reply(401)}


class CrashedError(Exception):
    """The daemon was killed."""


@dataclass
class Executor:
    """Does what one session after the other asks for. What is here survives a crash as a disk does."""

    content: bytes
    limits: Limits
    registry: Registry
    plan: Iterator[tuple[Fault, int]]
    disk: Checkpoint | None = None
    faults: int = 0
    actions: int = 0
    newest: str = ""
    """The newest Location that any reply brought."""
    out_of_reach: bool = False
    """A session was left that nobody can delete: its Location, or its deletion, was lost."""
    chunk_size: int = 0
    position: int = 0
    """Where the hash stands."""

    def attempt(self, *, at_most: int) -> UploadSession:
        """Drive one session to its end, or until the daemon is killed.

        Raises:
            CrashedError: it was.
        """
        self.position = 0
        self.newest = self.disk.location if self.disk is not None else ""
        self.chunk_size = self.disk.chunk_size if self.disk is not None else 0
        session = UploadSession(
            self.registry.digest,
            len(self.content),
            subject="the blob",
            limits=self.limits,
            rng=lambda: 0.5,
            checkpoint=self.disk,
        )
        first = self.actions
        while not isinstance(session.action, Done | Fail):
            self.actions += 1
            assert self.actions - first <= at_most, "it does not come to an end"
            session.feed(self.do(session.action, session))
        self.check_end(session)
        return session

    def do(self, action: Action, session: UploadSession) -> Outcome:
        """Do one action, as the plan lets it happen."""
        self.check(action, session)
        fault, amount = next(self.plan, (Fault.NONE, 0))
        local = isinstance(action, Save | Rehash | Wait | Restart)
        if fault is not Fault.NONE and (fault in CRASHES or not local):
            self.faults += 1
        if fault is Fault.CRASH_BEFORE:
            self.out_of_reach = True
            raise CrashedError
        outcome: Outcome = None
        if local:
            self._here(action)
        else:
            outcome = self._there(action, fault, amount)
        if fault is Fault.CRASH_AFTER:
            self.out_of_reach = True
            raise CrashedError
        return outcome

    def _here(self, action: Action) -> None:
        if isinstance(action, Save):
            self.disk = action.checkpoint
        elif isinstance(action, Rehash):
            self.position = action.offset

    def _there(self, action: Action, fault: Fault, amount: int) -> Reply | Broken:
        if isinstance(action, SENDS) and not (isinstance(action, Put) and action.start == action.stop):
            return self._send(action, fault, amount)
        if fault is Fault.UNAUTHORIZED and not isinstance(action, Put):
            fault = Fault.BEFORE  # the client asks again with a fresh token whatever has no body
        lost = fault in (Fault.BEFORE, Fault.MIDWAY, *WORDS)
        reply = None if lost else self.registry.answer(action)
        return self._told(action, fault, reply)

    def _send(self, action: Patch | Stream | Single | Put, fault: Fault, amount: int) -> Reply | Broken:
        body = self.content[action.start : action.stop]
        self.position = action.stop
        if fault in (Fault.MIDWAY, Fault.UNAUTHORIZED):
            amount %= len(body) + 1
            self.position = action.start + amount
            self.registry.answer(action, body[:amount], whole=False)
            return self._told(action, fault, None)
        reply = None if fault in (Fault.BEFORE, *WORDS) else self.registry.answer(action, body)
        return self._told(action, fault, reply)

    def _told(self, action: Action, fault: Fault, reply: Reply | None) -> Reply | Broken:
        if fault in WORDS:
            reply = WORDS[fault]
        elif fault not in (Fault.NONE, *CRASHES):
            reply = None
        if reply is None or (fault in WORDS and isinstance(action, Cancel)):
            self.out_of_reach |= isinstance(action, Open | Cancel)
        if reply is None:
            return Broken(RegistryError(Code.REGISTRY_INTERRUPTED, "the blob", "the connection failed"))
        if reply.location is not None:
            self.newest = reply.location
        if isinstance(action, Open) and reply.status == 202:
            wanted = max(self.limits.chunk_size, self.registry.mood.chunk_min)
            self.chunk_size = min(wanted, self.registry.mood.chunk_max or wanted)
        return reply

    # ---------------------------------------------------------------------------------------------- the promises

    def check(self, action: Action, session: UploadSession) -> None:
        """Hold an action to what was promised of it."""
        assert session.form in self.limits.forms
        assert 0 <= session.offset <= len(self.content)
        if isinstance(action, Put) and action.start == action.stop:
            assert self.position == len(self.content), "all bytes went through the hash before the digest is put"
        elif isinstance(action, SENDS):
            self._check_send(action)
        elif isinstance(action, Save) and action.checkpoint is not None:
            assert action.checkpoint.location == self.newest
            assert 0 <= action.checkpoint.offset <= len(self.content)
            assert action.checkpoint.form is session.form is not Form.MONOLITHIC
            assert self.limits.resumable, "nothing is kept of a session that cannot be gone on with"
        elif isinstance(action, Rehash):
            assert 0 <= action.offset <= len(self.content)
        elif isinstance(action, Wait):
            assert 0 <= action.seconds <= self.limits.pause_max
        self._check_location(action)

    def _check_location(self, action: Action) -> None:
        if isinstance(action, Patch | Stream | Single | Put | Status | Cancel):
            assert action.location == self.newest, "the newest Location is used, and no other"
        if isinstance(action, Status):
            assert self.limits.resumable, "no session is asked about that cannot be gone on with"
        if isinstance(action, Patch | Stream | Put | Status) and self.limits.resumable:
            assert self.disk is not None, "nothing is asked of a session that is not on disk"
            assert self.disk.location == action.location, "a Location is on disk before it is used"

    def _check_send(self, action: Patch | Stream | Single | Put) -> None:
        size = len(self.content)
        assert self.position == action.start, "the hash stands where the bytes start"
        if isinstance(action, Single):
            assert (action.start, action.stop) == (0, size)
        elif isinstance(action, Stream):
            assert action.start < action.stop == size
        else:
            assert self.disk is None or self.disk.chunk_size == self.chunk_size, (
                "the chunk size of a session is constant"
            )
            assert isinstance(action, Put) == (self.limits.last_in_put and action.stop == size)
            assert action.stop == min(action.start + self.chunk_size, size), "only the last chunk is smaller"
            assert action.start < action.stop, "no chunk is empty"

    def check_end(self, session: UploadSession) -> None:
        """Hold the end to what was promised of it."""
        if isinstance(session.action, Done):
            assert self.registry.blob == self.content, "what was committed is the blob"
            return
        assert isinstance(session.action, Fail)
        if not passes(session.action.error) or not self.limits.resumable:
            assert self.disk is None, "what is over leaves no checkpoint"
            assert self.out_of_reach or self.registry.find(self.newest) is None, "what is over leaves no session"


# ------------------------------------------------------------------------------------------------ the strategies


@st.composite
def moods(draw: st.DrawFn, forms: tuple[Form, ...], ranges: Ranges) -> Mood:
    refused = draw(st.sets(st.sampled_from(forms), max_size=len(forms) - 1)) if len(forms) > 1 else set()
    return Mood(
        on_break=draw(st.sampled_from(Break)),
        newest_only=draw(st.booleans()),
        checks_range=draw(st.booleans()),
        tells_range=draw(st.booleans()),
        ranges=ranges,
        empty_put=ranges is not Ranges.UNRELIABLE or Form.STREAMED in forms,
        late=draw(st.integers(0, 4)),
        chunk_min=draw(st.sampled_from((0, 0, 7))),
        chunk_max=draw(st.sampled_from((0, 0, 5, 9))),
        refuses=tuple(
            (form, draw(st.sampled_from((400, 404, 405, 411, 413, 415, 416, 501)))) for form in sorted(refused)
        ),
    )


def plans(max_size: int, faults: Iterable[Fault] = Fault) -> st.SearchStrategy[list[tuple[Fault, int]]]:
    kinds = st.one_of(st.just(Fault.NONE), st.sampled_from(tuple(faults)))
    return st.lists(st.tuples(kinds, st.integers(0, 60)), max_size=max_size)


@st.composite
def executors(draw: st.DrawFn, faults: Iterable[Fault] = Fault) -> Executor:
    content = bytes(range(draw(st.integers(0, 50))))
    forms = tuple(draw(st.permutations(FORMS)))[: draw(st.integers(1, 3))]
    ranges = draw(st.sampled_from(Ranges))
    limits = Limits(
        forms=forms,
        last_in_put=ranges is Ranges.UNRELIABLE or draw(st.booleans()),
        ranges=ranges,
        resumable=draw(st.booleans()),
        chunk_size=draw(st.integers(1, 20)),
        single_max=draw(st.sampled_from((0, 10))),
        retries=draw(st.integers(0, 4)),
        restarts=draw(st.integers(1, 3)),  # what an earlier life left may be of no use
        pause=1.0,
        pause_max=5.0,
    )
    registry = Registry(draw(moods(forms, ranges)), Digest.of(content))
    return Executor(content, limits, registry, iter(draw(plans(60, faults))))


# A session has at most 50 bytes to make progress with, 4 failures between two of them, and 8 actions around each; it
# begins again at most 5 times.
ENOUGH = 8 * 51 * 5 * 6


# ----------------------------------------------------------------------------------------------------- the tests


@given(executors())
@settings(max_examples=800, deadline=None)
def test_whatever_breaks_the_blob_arrives_whole_once_nothing_breaks_any_more(executor: Executor) -> None:
    """Attempt follows attempt, as a delivery's do, from what the disk knows; only faults make one fail."""
    while True:
        faults = executor.faults
        try:
            session = executor.attempt(at_most=ENOUGH)
        except CrashedError:
            continue
        if isinstance(session.action, Done):
            break
        assert executor.faults > faults, f"nothing broke, and yet: {session.action}"
    assert executor.registry.blob == executor.content


@given(executors(faults=(Fault.NONE,)))
@settings(max_examples=300, deadline=None)
def test_when_nothing_breaks_it_is_done_in_one_attempt_without_a_question(executor: Executor) -> None:
    session = executor.attempt(at_most=ENOUGH)
    assert session.action == Done(Landing.UPLOADED)
    assert session.interruptions == 0
    assert executor.registry.sessions == []
    # Each form that is refused costs an open, a save, a try, a deletion, a forgetting, a restart and a rehash.
    sizes = executor.limits.chunk_size, executor.registry.mood.chunk_max or 1 << 30
    chunks = -(-len(executor.content) // min(sizes))
    assert executor.actions <= 1 + 7 * 2 + 2 + 2 * chunks + 1


@given(
    executors(faults=(Fault.NONE,)),
    st.lists(st.tuples(st.sampled_from(Fault), st.integers(0, 60)), min_size=1, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_faults_without_end_fail_in_a_bounded_number_of_actions(
    executor: Executor, cycle: list[tuple[Fault, int]]
) -> None:
    executor.plan = itertools.cycle([step for step in cycle if step[0] not in CRASHES] or [(Fault.ERROR, 0)])
    session = executor.attempt(at_most=ENOUGH)
    if executor.faults == 0:
        assert session.action == Done(Landing.UPLOADED)


def replies() -> st.SearchStrategy[Reply]:
    return st.builds(
        Reply,
        status=st.sampled_from(
            (200, 201, 202, 202, 202, 204, 307, 400, 401, 403, 404, 405, 413, 416, 429, 500, 501, 503)
        ),
        location=st.sampled_from((None, "https://registry.example/a", "https://registry.example/b")),
        range=st.sampled_from((None, "0-0", "0--1", "x", *(f"0-{end}" for end in range(1, 31)))),
        length=st.sampled_from((None, 0, 30, 31)),
        chunk_min=st.sampled_from((0, 15)),
        chunk_max=st.sampled_from((0, 5)),
        retry_after=st.sampled_from((None, None, 1.0)),
        errors=st.sampled_from(
            (
                (),
                *(
                    (ErrorEntry(code, "", ""),)
                    for code in ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "NAME_INVALID")
                ),
            )
        ),
    )


FRIENDLY: dict[type[Action], Reply] = {Head: Reply(404), Open: Reply(202, location="https://registry.example/a")}


@given(
    st.lists(replies(), min_size=1, max_size=8),
    st.permutations(FORMS),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from((None, Checkpoint("https://registry.example/c", 10, 7, Form.CHUNKED))),
)
@settings(max_examples=1000, deadline=None)
def test_no_registry_can_keep_a_session_busy_for_ever(
    cycle: list[Reply], forms: list[Form], count: int, friendly: bool, checkpoint: Checkpoint | None
) -> None:
    """Replies that make no sense, over and over, from a registry that may at least let uploads be opened."""
    limits = Limits(forms=tuple(forms[:count]), chunk_size=10, single_max=0, retries=2, restarts=2, pause_max=5.0)
    session = UploadSession(
        Digest.of(b""), 30, subject="the blob", limits=limits, rng=lambda: 0.5, checkpoint=checkpoint
    )
    words = itertools.cycle(cycle)
    saved = checkpoint
    for _ in range(ENOUGH):
        action = session.action
        if isinstance(action, Done | Fail):
            break
        assert 0 <= session.offset <= 30
        outcome: Outcome = None
        if isinstance(action, Save):
            saved = action.checkpoint
        elif isinstance(action, Patch | Stream | Put | Status):
            assert saved is not None
            assert saved.location == action.location
        if not isinstance(action, Save | Rehash | Wait | Restart):
            outcome = next(words)
            if friendly:
                outcome = FRIENDLY.get(type(action), outcome)
        session.feed(outcome)
    else:
        raise AssertionError("it does not come to an end")
    if isinstance(session.action, Fail) and not passes(session.action.error):
        assert saved is None
