"""How one registry differs from another: what the fake registry can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fakes.traffic import Kind


@unique
class Broken(Enum):
    """What becomes of an upload session whose request broke off midway."""

    KEPT = "kept"
    """Every byte that arrived stays, and GET tells how many (distribution 3.x)."""
    LOST = "lost"
    """A Location works only at the size it was given out for, so now none does (distribution 2.8)."""
    DELETED = "deleted"
    """The session is gone (zot)."""


@dataclass(frozen=True, slots=True)
class Basic:
    """Every request needs this user name and password."""

    username: str = "alice"
    password: str = "correct horse"


@dataclass(frozen=True, slots=True)
class Bearer:
    """Every request needs a token of the fake's own token endpoint.

    Attributes:
        life: seconds a token is good for.
        account: who may push; without one anybody may. The anonymous may pull in either case.
    """

    life: float = 300
    account: Basic | None = field(default_factory=Basic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Everything that is a matter of choice between registries that all keep to the specification, more or less.

    Attributes:
        auth: none, basic, or bearer.
        newest_location_only: an earlier Location of a living session answers 404, even one for the same size.
        relative_location: `Location` is a path, not a URL.
        broken: what becomes of the bytes of a request that broke off.
        checks_range: a PATCH with the wrong `Content-Range` answers 416; else the header is not even read.
        explains_416: a 416 says where the session stands (`Range`, `Location`).
        mismatch_ends: a PUT whose digest is not that of the bytes ends the session; else it stays as it was.
        chunk_min_length: bytes announced as `OCI-Chunk-Min-Length`; a PATCH after a shorter one is refused.
        single_post: `POST ?digest=` with the blob answers 201; else 202, "use PUT".
        mounts: a mount of a blob that is there answers 201; else 202, an upload session.
        anonymous_mount: a mount without `from` looks in every repository.
        referrers: manifests with a subject are indexed, and the reply says so (`OCI-Subject`).
        discard_above: blobs of more bytes are hashed and counted but not kept.
        refused: kinds of requests this registry does not know; one of them fails the test.
    """

    auth: Basic | Bearer | None = None
    newest_location_only: bool = False
    relative_location: bool = False
    broken: Broken = Broken.KEPT
    checks_range: bool = True
    explains_416: bool = True
    mismatch_ends: bool = True
    chunk_min_length: int = 0
    single_post: bool = True
    mounts: bool = True
    anonymous_mount: bool = False
    referrers: bool = True
    discard_above: int = 1 << 62
    refused: frozenset[Kind] = frozenset()


DISTRIBUTION_2 = Behaviour(
    broken=Broken.LOST, checks_range=False, mismatch_ends=False, single_post=False, referrers=False
)
"""distribution 2.8, as tests/integration/test_fidelity.py finds it."""

DISTRIBUTION_3 = Behaviour(explains_416=False, mismatch_ends=False, single_post=False, referrers=False)
"""distribution 3.1, as tests/integration/test_fidelity.py finds it."""

ZOT = Behaviour(broken=Broken.DELETED, relative_location=True, anonymous_mount=True)
"""zot: a broken PATCH ends the session, a mount needs no `from`."""
