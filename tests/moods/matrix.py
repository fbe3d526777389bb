"""What is tried: each profile, at each step of a push, with each fault that step can suffer.

A case pushes an image of one layer; its config is there already, so that the n-th request of a kind is about the layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum, unique
from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.oci.upload import Form, Ranges
from pushd.registry.profiles import PROFILES
from tests.fakes.behaviour import KNOWN, Bearer, Broken
from tests.fakes.faults import (
    Answer,
    AnswerBody,
    Cut,
    CutBody,
    CutReply,
    Header,
    RelativeLocation,
    SlowBody,
    Stall,
    StallBody,
    When,
    error_body,
    page,
    throttle,
)
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushd.registry.profiles import Profile
    from tests.fakes.behaviour import Behaviour
    from tests.fakes.faults import Action
    from tests.fakes.registry import FakeRegistry

SCALE = 1024
"""By how much everything is smaller than at home: a chunk of 32 MiB is one of 32 KiB."""
LAYER = 80_000
"""Bytes of the layer: three chunks where nothing is known, twenty at GHCR."""
CONFIG = 1000
"""Bytes of the config at most."""
MIDST = 500
"""Bytes of a body after which something happens to it."""


def scaled(profile: Profile) -> Profile:
    """Give a profile for registries that are as much smaller, and with pauses as short."""
    limits = profile.limits
    return replace(
        profile,
        limits=replace(
            limits,
            chunk_size=limits.chunk_size // SCALE,
            chunk_max=limits.chunk_max and limits.chunk_max // SCALE,
            put_max=limits.put_max and limits.put_max // SCALE,
            single_max=limits.single_max // SCALE,
            pause=0.02,
        ),
    )


SMALL = tuple(scaled(profile) for profile in PROFILES)
"""All profiles, for registries that are `SCALE` times smaller."""


@unique
class Step(Enum):
    """A request of a push, by what it is for."""

    ASK_MANIFEST = "manifest?"
    TOKEN = "token"
    ASK_BLOB = "blob?"
    MOUNT = "mount"
    OPEN = "open"
    FIRST_CHUNK = "first chunk"
    LATER_CHUNK = "later chunk"
    STATUS = "status"
    COMMIT = "commit"
    PUT_MANIFEST = "manifest"
    VERIFY = "verify"

    @property
    def picked(self) -> tuple[Kind, str | None, int]:
        """The kind of the request, its method where the kind has several, and which one of them it is."""
        return _PICKED[self]


_PICKED = {
    Step.ASK_MANIFEST: (Kind.MANIFEST, "HEAD", 1),
    Step.TOKEN: (Kind.TOKEN, None, 1),
    Step.ASK_BLOB: (Kind.BLOB, "HEAD", 1),
    Step.MOUNT: (Kind.MOUNT, None, 1),
    Step.OPEN: (Kind.OPEN, None, 1),
    Step.FIRST_CHUNK: (Kind.CHUNK, None, 1),
    Step.LATER_CHUNK: (Kind.CHUNK, None, 2),
    Step.STATUS: (Kind.STATUS, None, 1),
    Step.COMMIT: (Kind.COMMIT, None, 1),
    Step.PUT_MANIFEST: (Kind.MANIFEST, "PUT", 1),
    Step.VERIFY: (Kind.MANIFEST, "HEAD", 2),
}

ANY = frozenset(Step)
CHUNKS = frozenset({Step.FIRST_CHUNK, Step.LATER_CHUNK})
BODIES = CHUNKS | {Step.COMMIT}
LOCATIONS = CHUNKS | {Step.OPEN, Step.STATUS}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        make: gives the action; asked at the moment of the push, of the registry it is to happen at.
        steps: where it can happen.
        times: to how many requests from the step's on, None to all.
        loses: the reply of a request that had its effect.
        lies: a success that is none, which no client can tell from one.
        fails: where it ends the push, and with which code: what a registry says "no" to, or what is no answer of one.
    """

    name: str
    make: Callable[[FakeRegistry], Action]
    steps: frozenset[Step] = ANY
    times: int | None = 1
    loses: bool = False
    lies: bool = False
    fails: dict[Step, Code] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)


def _date() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)


FAULTS = (
    Fault("reset before", lambda _: Cut()),
    Fault("reset after", lambda _: Cut(When.COMMITTED), loses=True),
    Fault("reply cut", lambda _: CutReply(after=20), loses=True),
    Fault("503", lambda _: Answer(status=503)),
    Fault("504 after", lambda _: replace(page(504), when=When.COMMITTED), loses=True),
    Fault("429 in 1 s", lambda _: throttle(1)),
    Fault("429 by date", lambda _: throttle(_date())),
    Fault("429", lambda _: throttle(None)),
    Fault("page, 502", lambda _: page(502)),
    Fault(
        "page, 200",
        lambda _: page(200),
        lies=True,
        fails={
            Step.TOKEN: Code.REGISTRY_TOKEN_MISSING,
            Step.OPEN: Code.REGISTRY_MALFORMED,
            Step.PUT_MANIFEST: Code.REGISTRY_MALFORMED,
        },
    ),
    Fault("no answer", lambda _: Stall()),
    Fault("cut midway", lambda _: CutBody(after=MIDST), BODIES),
    Fault("401 midway", lambda at: AnswerBody(after=MIDST, status=401, first=at.forget_tokens), BODIES),
    Fault("read stops", lambda _: StallBody(after=MIDST), BODIES),
    Fault("read slowly", lambda _: SlowBody(rate=200_000), BODIES),
    Fault(
        "early 413",
        lambda _: Answer(status=413),
        BODIES,
        fails={Step.LATER_CHUNK: Code.REGISTRY_REFUSED, Step.COMMIT: Code.REGISTRY_REFUSED},
    ),
    Fault("Range too far", lambda _: Header("Range", "0-99999999"), CHUNKS),
    Fault("Range stuck", lambda _: Header("Range", "0-0"), CHUNKS, times=None),
    Fault("no Range", lambda _: Header("Range", None), CHUNKS),
    Fault(
        "no Location",
        lambda _: Header("Location", None),
        LOCATIONS,
        loses=True,
        fails={Step.OPEN: Code.REGISTRY_MALFORMED},
    ),
    Fault("Location a path", lambda _: RelativeLocation(), LOCATIONS),
    Fault(
        "twice at once",
        lambda _: Answer(status=400, body=error_body("BLOB_UPLOAD_INVALID"), when=When.ARRIVED),
        frozenset({Step.COMMIT}),
    ),
)


@dataclass(frozen=True)
class Case:
    """One push with one fault."""

    profile: Profile
    step: Step
    fault: Fault

    def __str__(self) -> str:
        return f"{self.profile.name}-{self.step.value}-{self.fault.name}"

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def behaviour(self) -> Behaviour:
        """The registry, at its full size."""
        return KNOWN[self.profile.name]

    @property
    def fails(self) -> Code | None:
        """The code the push fails with, or None when it is to succeed."""
        code = self.fault.fails.get(self.step)
        if self.fault.name == "early 413" and self.step is Step.COMMIT and first_form(self.profile) is Form.MONOLITHIC:
            return None  # another form is left
        return code

    @property
    def orphans(self) -> int:
        """Upload sessions that nobody can delete: their Location is lost or does not work, or deleting is forbidden."""
        unreachable = self.fault.loses and self.step in (Step.OPEN, Step.MOUNT)
        unreachable |= self.fault.lies and self.step is Step.COMMIT
        if self.behaviour.broken is Broken.LOST or isinstance(self.behaviour.auth, Bearer):
            return 3
        return int(unreachable)

    @property
    def bytes_max(self) -> int:
        """Bytes the registry may be sent.

        One fault costs the chunk it happens to where the registry keeps the others and can be asked about them, and
        the blob where it does not; a success that was none costs the image.
        """
        limits = self.profile.limits
        survives = limits.resumable and self.behaviour.broken in (Broken.KEPT, Broken.DROPPED)
        chunked = first_form(self.profile) is Form.CHUNKED and limits.chunk_size < LAYER
        if survives and chunked and limits.ranges is Ranges.OF_BLOB and not self.fault.lies and self._keeps_session:
            return LAYER + limits.chunk_size
        return 2 * (LAYER + CONFIG)

    @property
    def _keeps_session(self) -> bool:
        return self.fault.name not in ("early 413", "Range too far")


def first_form(profile: Profile) -> Form:
    """Give the form in which the layer travels first."""
    return profile.limits.ladder(LAYER)[0]


def _suffers(profile: Profile, step: Step, fault: Fault) -> bool:
    """Whether there is such a step at such a registry, and the fault can happen there."""
    limits, form = profile.limits, first_form(profile)
    chunks = -(-LAYER // limits.chunk_size) if form is Form.CHUNKED else 0
    there = {
        Step.TOKEN: isinstance(KNOWN[profile.name].auth, Bearer),
        Step.MOUNT: limits.mounts,
        Step.FIRST_CHUNK: chunks > 0,
        Step.LATER_CHUNK: chunks > 1,
        Step.STATUS: chunks > 0 and limits.resumable,
    }
    carries = step is not Step.COMMIT or form is Form.MONOLITHIC or limits.last_in_put
    bodily = fault.steps == BODIES
    return there.get(step, True) and step in fault.steps and (carries or not bodily)


def cases() -> Iterator[Case]:
    """Give all of them."""
    for profile in SMALL:
        for step in Step:
            for fault in FAULTS:
                if _suffers(profile, step, fault):
                    yield Case(profile, step, fault)
