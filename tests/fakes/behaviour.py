"""How one registry differs from another: what the fake registry can be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    DROPPED = "dropped"
    """The session stands as it did before: a part is stored whole or not at all."""


@unique
class Told(Enum):
    """What `Range` says of a session."""

    BLOB = "blob"
    """All bytes of the blob that are there, as the specification has it."""
    FIRST_CHUNK = "first chunk"
    """Those of the first chunk, whatever came after it (ECR)."""
    CHUNK = "chunk"
    """Those of the newest chunk (Aliyun)."""
    ONE_MORE = "one more"
    """One more than there are, and `0--1` when there are none (Gitea, in some versions)."""


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
        chunk_min_length: bytes of a chunk at least; a PATCH after a shorter one is refused.
        chunk_max_length: bytes of a PATCH at most, or 0; a longer one is refused with `chunk_refusal`.
        announces: the two above are announced as `OCI-Chunk-Min-Length` and `OCI-Chunk-Max-Length`.
        chunk_refusal: see `chunk_max_length`.
        chunks: a PATCH with `Content-Range` is known; else it answers 404.
        chunk_status: what a PATCH that was taken answers.
        told: what `Range` says.
        put_max: bytes of a PUT at most, or 0; a longer one is refused with 413.
        single_put: a PUT may carry the whole blob; else it answers 404.
        empty_put: a PUT may close a session with nothing; else it answers 500 once there are chunks.
        transfer_encoding: a body may come without a length; else it answers 400.
        body_max: bytes of any body at most, or 0; a proxy in front answers 413 to a longer one, and reads nothing.
        absent: what HEAD answers of what is not there.
        creates_repositories: a repository comes into being with its first upload; else it answers 404.
        foreign_path: `Location` leads to another path with a long query.
        mount_refusal: what a mount of a blob that is not there answers, or 0 for 202, an upload session.
        single_post: `POST ?digest=` with the blob answers 201; else 202, "use PUT".
        mounts: a mount of a blob that is there answers 201; else 202, an upload session.
        anonymous_mount: a mount without `from` looks in every repository.
        names_itself: every answer carries `Docker-Distribution-Api-Version`.
        plain_json: errors are `application/json` with no charset.
        ranges: a part of a blob is sent to who asks for one; else all of it (200).
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
    chunk_max_length: int = 0
    announces: bool = True
    chunk_refusal: int = 413
    chunks: bool = True
    chunk_status: int = 202
    told: Told = Told.BLOB
    put_max: int = 0
    single_put: bool = True
    empty_put: bool = True
    transfer_encoding: bool = True
    body_max: int = 0
    absent: int = 404
    creates_repositories: bool = True
    foreign_path: bool = False
    mount_refusal: int = 0
    single_post: bool = True
    mounts: bool = True
    anonymous_mount: bool = False
    names_itself: bool = False
    plain_json: bool = False
    ranges: bool = True
    referrers: bool = True
    discard_above: int = 1 << 62
    refused: frozenset[Kind] = frozenset()

    def scaled(self, divisor: int) -> Behaviour:
        """Give the same registry with all its bounds so many times smaller, for blobs as small."""
        return replace(
            self,
            chunk_min_length=self.chunk_min_length // divisor,
            chunk_max_length=self.chunk_max_length // divisor,
            put_max=self.put_max // divisor,
            body_max=self.body_max // divisor,
        )


DISTRIBUTION_2 = Behaviour(
    broken=Broken.LOST,
    checks_range=False,
    mismatch_ends=False,
    single_post=False,
    names_itself=True,
    referrers=False,
)
"""distribution 2.8, as tests/integration/test_fidelity.py finds it."""

DISTRIBUTION_3 = Behaviour(
    explains_416=False,
    mismatch_ends=False,
    single_post=False,
    names_itself=True,
    plain_json=True,
    referrers=False,
)
"""distribution 3.1, as tests/integration/test_fidelity.py finds it."""

ZOT = Behaviour(broken=Broken.DELETED, relative_location=True, anonymous_mount=True)
"""zot: a broken PATCH ends the session, a mount needs no `from`."""

DOCKER_HUB = replace(DISTRIBUTION_2, auth=Bearer(life=300), mount_refusal=401)

GHCR = Behaviour(
    auth=Bearer(), chunk_max_length=4 << 20, announces=False, chunk_refusal=416, broken=Broken.DROPPED, referrers=False
)

ECR = Behaviour(
    auth=Basic(),
    broken=Broken.DROPPED,
    chunk_min_length=5 << 20,
    chunk_max_length=20_000_000,
    announces=False,
    chunk_status=201,
    told=Told.FIRST_CHUNK,
    empty_put=False,
    creates_repositories=False,
    mounts=False,
)

ECR_PUBLIC = replace(ECR, auth=Bearer(), mount_refusal=400)

ARTIFACT_REGISTRY = Behaviour(auth=Bearer(), chunks=False, foreign_path=True)

ACR = Behaviour(auth=Bearer(), broken=Broken.LOST, put_max=20_000_000, transfer_encoding=False)

QUAY = Behaviour(auth=Bearer(), chunk_min_length=5 << 20, announces=False, put_max=20_000_000_000)

HARBOR = replace(DISTRIBUTION_2, auth=Bearer(life=1800), mount_refusal=401)

GITLAB = replace(DISTRIBUTION_2, auth=Bearer(life=300))

GITEA = Behaviour(auth=Basic(), told=Told.ONE_MORE)

ARTIFACTORY = Behaviour(auth=Bearer(), single_put=False, absent=403)

NEXUS = Behaviour(auth=Basic(), relative_location=True, single_post=False)

CLOUDFLARE = replace(DISTRIBUTION_3, body_max=100_000_000)

ALIYUN = Behaviour(auth=Bearer(), told=Told.CHUNK, broken=Broken.DROPPED)

KNOWN = {
    "standard": Behaviour(),
    "docker-hub": DOCKER_HUB,
    "ghcr": GHCR,
    "ecr": ECR,
    "ecr-public": ECR_PUBLIC,
    "artifact-registry": ARTIFACT_REGISTRY,
    "acr": ACR,
    "quay": QUAY,
    "harbor": HARBOR,
    "gitlab": GITLAB,
    "gitea": GITEA,
    "artifactory": ARTIFACTORY,
    "nexus": NEXUS,
    "zot": ZOT,
    "distribution-2": DISTRIBUTION_2,
    "distribution-3": DISTRIBUTION_3,
    "cloudflare": CLOUDFLARE,
    "aliyun": ALIYUN,
}
"""The registries there are profiles for, under the profile's name: as reported of them, not as measured, but for
distribution."""
