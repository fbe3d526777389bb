"""What registries are known to do differently: pure data, matched by host or chosen by name in the configuration.

A profile is a default, and registries change: what the configuration says of a registry goes before it, and a refusal
that no profile foresaw leads to the next form of upload.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from pushd.oci.upload import Form, Limits, Ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIB: Final = 1 << 20
_REST: Final = 1 << 40
"""A chunk size that no blob reaches: all that is left in one PATCH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of registry.

    Attributes:
        name: as the configuration chooses it.
        hosts: patterns of the host names it is met at, in lower case and without a port; `*` stands for anything.
        limits: how uploads to it are done.
    """

    name: str
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


STANDARD: Final = Profile(name="standard")
"""A registry that is known for nothing: as the specification has it."""

_ECR: Final = Limits(
    forms=(Form.CHUNKED, Form.MONOLITHIC),
    chunk_size=10 * _MIB,
    chunk_max=10 * _MIB,
    last_in_put=True,
    ranges=Ranges.UNRELIABLE,
    joins=False,
)
"""Parts of 5 MiB at least and 10 MiB at most, here and there 20; an empty PUT, which has to close what was streamed,
has been answered with 500; Range may stay at the first chunk (aws/containers-roadmap#2831)."""

_DISTRIBUTION: Final = Limits(joins=False, checks=True)

PROFILES: Final = (
    STANDARD,
    # Foreign mounts are refused with 400 or 401, which any registry may do; 429 comes with Retry-After.
    Profile(
        name="docker-hub",
        hosts=("docker.io", "index.docker.io", "registry-1.docker.io"),
        limits=Limits(joins=False),
    ),
    # A PATCH over 4 MiB is answered with 416, a PUT of any size is taken.
    Profile(
        name="ghcr",
        hosts=("ghcr.io",),
        limits=Limits(forms=(Form.CHUNKED, Form.MONOLITHIC), chunk_size=4 * _MIB, chunk_max=4 * _MIB, joins=False),
    ),
    Profile(
        name="ecr",
        hosts=(
            "*.dkr.ecr.*.amazonaws.com",
            "*.dkr.ecr.*.amazonaws.com.cn",
            "*.dkr.ecr-fips.*.amazonaws.com",
            "*.dkr-ecr.*.on.aws",
        ),
        limits=_ECR,
    ),
    Profile(
        name="ecr-public",
        hosts=("public.ecr.aws",),
        limits=replace(_ECR, mounts=False),
    ),
    # No upload in chunks.
    Profile(
        name="artifact-registry",
        hosts=("*-docker.pkg.dev", "gcr.io", "*.gcr.io"),
        limits=Limits(forms=(Form.MONOLITHIC, Form.STREAMED), joins=False),
    ),
    # A chunk sent again is answered with 404; some tiers answer a PUT over 20 MB with 413.
    Profile(
        name="acr",
        hosts=("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"),
        limits=Limits(resumable=False, put_max=20_000_000, joins=False),
    ),
    # Chunks of 5 MiB at least; a PUT over 20 GB is refused.
    Profile(name="quay", hosts=("quay.io",), limits=Limits(put_max=20_000_000_000, joins=False)),
    # distribution 2.8 inside.
    Profile(name="harbor", limits=_DISTRIBUTION),
    Profile(name="gitlab", hosts=("registry.gitlab.com",), limits=_DISTRIBUTION),
    # Gitea and Forgejo: Range is wrong in some versions.
    Profile(name="gitea", hosts=("gitea.com", "codeberg.org"), limits=Limits(ranges=Ranges.UNRELIABLE, joins=False)),
    # A monolithic PUT has been answered with 404; what is not there is forbidden.
    Profile(
        name="artifactory",
        hosts=("*.jfrog.io",),
        limits=Limits(forms=(Form.CHUNKED, Form.STREAMED), absent=frozenset({403, 404}), joins=False),
    ),
    Profile(name="nexus", limits=Limits(joins=False)),
    # zot and distribution 2.8 lose a session whose PATCH broke: whole chunks are all that can survive.
    Profile(name="zot", limits=Limits(joins=True)),
    Profile(name="distribution-2", limits=_DISTRIBUTION),
    # Every byte of a broken PATCH stays, so that chunks cost round trips and save nothing.
    Profile(name="distribution-3", limits=replace(_DISTRIBUTION, chunk_size=_REST, joins=True)),
    # In front of any registry: 413 over 100 MB, on larger plans over 200 or 500.
    Profile(name="cloudflare", limits=Limits(chunk_max=100_000_000, put_max=100_000_000)),
    # Range counts from the chunk's start (regclient#627).
    Profile(
        name="aliyun", hosts=("*.aliyuncs.com", "*.aliyun.com"), limits=Limits(ranges=Ranges.OF_CHUNK, joins=False)
    ),
)
"""All of them. The first one whose pattern matches is meant."""

NAMES: Final = tuple(profile.name for profile in PROFILES)
"""What the configuration may choose from."""


def profile_for(registry: str, profiles: Sequence[Profile] = PROFILES) -> Profile:
    """Give the profile of the registry `host[:port]`, by its host; `STANDARD` when it is known for nothing."""
    host = registry.partition(":")[0].lower()
    for profile in profiles:
        if any(fnmatchcase(host, pattern) for pattern in profile.hosts):
            return profile
    return profile_named(STANDARD.name, profiles)


def profile_named(name: str, profiles: Sequence[Profile] = PROFILES) -> Profile:
    """Give the profile of that name.

    Raises:
        LookupError: there is none.
    """
    for profile in profiles:
        if profile.name == name:
            return profile
    raise LookupError(name)
