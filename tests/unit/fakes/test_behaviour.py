"""What the fake registry does where a named registry does something differently."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from pushd.registry.profiles import NAMES
from tests.fakes.behaviour import (
    ACR,
    ALIYUN,
    ARTIFACT_REGISTRY,
    ARTIFACTORY,
    CLOUDFLARE,
    DOCKER_HUB,
    ECR,
    GHCR,
    GITEA,
    KNOWN,
    QUAY,
    Basic,
    Behaviour,
    Broken,
)
from tests.fakes.faults import AnswerBody, CutBody, CutReply, RelativeLocation, throttle
from tests.fakes.registry import FakeRegistry
from tests.fakes.shelves import digest_of
from tests.fakes.tokens import basic
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.fakes.conftest import Peer

BLOB = bytes(range(256)) * 400  # 100 KiB
DIGEST = digest_of(BLOB)
THOUSANDTH = 1000


def small(behaviour: Behaviour) -> Behaviour:
    """A registry whose bounds fit the blob, and that lets everybody in."""
    return replace(behaviour.scaled(THOUSANDTH), auth=None, creates_repositories=True)


async def told(registry: FakeRegistry, peer: Peer, *chunks: int) -> list[str]:
    """Send chunks of these sizes; give the Ranges answered, that of the opening first."""
    reply = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")
    ranges, start = [reply.headers["Range"]], 0
    for size in chunks:
        reply = await peer.patch(reply.location, BLOB[start : start + size], start)
        ranges.append(reply.headers["Range"])
        start += size
    status = await peer("GET", reply.location)
    assert status.headers["Range"] == ranges[-1]
    return ranges


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Behaviour(), ["0-0", "0-9999", "0-19999", "0-24999"]),
        (ECR, ["0-0", "0-9999", "0-9999", "0-9999"]),
        (ALIYUN, ["0-0", "0-9999", "0-9999", "0-4999"]),
        (GITEA, ["0--1", "0-10000", "0-20000", "0-25000"]),
    ],
    ids=["standard", "ecr", "aliyun", "gitea"],
)
async def test_range_says_what_this_registry_counts(peer: Peer, behaviour: Behaviour, expected: list[str]) -> None:
    async with FakeRegistry(small(behaviour)) as registry:
        assert await told(registry, peer, 10_000, 10_000, 5000) == expected


@pytest.mark.parametrize(
    ("behaviour", "length", "status"),
    [
        (GHCR, 4194, 202),
        (GHCR, 4195, 416),
        (ECR, 20_000, 201),
        (ECR, 20_001, 413),
        (ARTIFACT_REGISTRY, 1, 404),
        (CLOUDFLARE, 100_000, 202),
        (CLOUDFLARE, 100_001, 413),
    ],
)
async def test_a_chunk_is_taken_or_not(peer: Peer, behaviour: Behaviour, length: int, status: int) -> None:
    async with FakeRegistry(small(behaviour)) as registry:
        assert (await peer.patch(await peer.open(registry), BLOB[:length], 0)).status == status


@pytest.mark.parametrize(
    ("behaviour", "length", "status"),
    [
        (GHCR, 100_000, 201),
        (ACR, 20_000, 201),
        (ACR, 20_001, 413),
        (ARTIFACTORY, 1, 404),
        (ARTIFACT_REGISTRY, 100_000, 201),
        (CLOUDFLARE, 100_001, 413),
    ],
)
async def test_a_blob_in_one_put_is_taken_or_not(peer: Peer, behaviour: Behaviour, length: int, status: int) -> None:
    body = BLOB[:length]
    async with FakeRegistry(small(behaviour)) as registry:
        reply = await peer.commit(await peer.open(registry), digest_of(body), body)
        assert reply.status == status


@pytest.mark.parametrize("behaviour", [ECR, QUAY], ids=["ecr", "quay"])
async def test_a_chunk_below_the_minimum_is_the_last_one_though_nobody_said_so(
    peer: Peer, behaviour: Behaviour
) -> None:
    async with FakeRegistry(small(behaviour)) as registry:
        opened = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")
        assert not [name for name in opened.headers if name.startswith("OCI-Chunk")]
        first = await peer.patch(opened.location, BLOB[:5000], 0)
        assert (await peer.patch(first.location, BLOB[5000:9000], 5000)).status == 400


async def test_bounds_of_chunks_may_be_announced(peer: Peer) -> None:
    async with FakeRegistry(Behaviour(chunk_min_length=10, chunk_max_length=20)) as registry:
        opened = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")
        assert opened.headers["OCI-Chunk-Min-Length"] == "10"
        assert opened.headers["OCI-Chunk-Max-Length"] == "20"
        assert (await peer.patch(opened.location, BLOB[:21], 0)).status == 413


async def test_ecr_wants_something_in_the_put(peer: Peer) -> None:
    async with FakeRegistry(small(ECR)) as registry:
        first = await peer.patch(await peer.open(registry), BLOB[:10_000], 0)
        second = await peer.patch(first.location, BLOB[10_000:20_000], 10_000)
        assert (await peer.commit(second.location, digest_of(BLOB[:20_000]))).status == 500
        assert (await peer.commit(second.location, DIGEST, BLOB[20_000:])).status == 201


async def test_ecr_knows_no_repository_that_nobody_made(peer: Peer) -> None:
    async with FakeRegistry(replace(ECR, auth=None)) as registry:
        assert (await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")).code == "NAME_UNKNOWN"
        registry.repository("app")
        assert (await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")).status == 202


async def test_artifactory_forbids_to_ask_for_what_is_not_there(peer: Peer) -> None:
    async with FakeRegistry(small(ARTIFACTORY)) as registry:
        assert (await peer("HEAD", f"{registry.url}/v2/app/blobs/{DIGEST}")).status == 403
        assert (await peer("HEAD", f"{registry.url}/v2/app/manifests/1")).status == 403
        registry.add_blob("app", BLOB)
        assert (await peer("HEAD", f"{registry.url}/v2/app/blobs/{DIGEST}")).status == 200


async def test_docker_hub_refuses_a_mount_of_what_is_not_there(peer: Peer) -> None:
    async with FakeRegistry(small(DOCKER_HUB)) as registry:
        reply = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/?mount={DIGEST}&from=other")
        assert reply.status == 401


async def test_artifact_registry_leads_elsewhere_with_a_long_query(peer: Peer) -> None:
    async with FakeRegistry(small(ARTIFACT_REGISTRY)) as registry:
        location = await peer.open(registry)
        assert "/v2/" not in location
        assert len(location) > 600
        assert (await peer.commit(location, DIGEST, BLOB)).status == 201
        assert registry.seen(Kind.COMMIT, repository="app")


async def test_acr_wants_the_length_of_a_body(peer: Peer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield BLOB

    async with FakeRegistry(small(ACR)) as registry:
        assert (await peer("PATCH", await peer.open(registry), pieces())).status == 400


async def test_a_part_that_broke_off_is_dropped_where_parts_are_stored_whole(peer: Peer) -> None:
    async with FakeRegistry(Behaviour(broken=Broken.DROPPED)) as registry:
        first = await peer.patch(await peer.open(registry), BLOB[:10_000], 0)
        registry.misbehave(CutBody(after=5000), kind=Kind.CHUNK)
        with pytest.raises(aiohttp.ClientError):
            await peer.patch(first.location, BLOB[10_000:20_000], 10_000)
        assert (await peer("GET", first.location)).headers["Range"] == "0-9999"
        second = await peer.patch(first.location, BLOB[10_000:], 10_000)
        assert (await peer.commit(second.location, DIGEST)).status == 201


def test_every_profile_has_a_registry_that_plays_it() -> None:
    assert set(KNOWN) == set(NAMES)


# ----------------------------------------------------------------------------------------------------- new faults


async def test_a_body_is_answered_in_its_midst(registry: FakeRegistry, peer: Peer) -> None:
    done: list[str] = []
    action = AnswerBody(after=5000, status=401, first=lambda: done.append("token ended"))
    registry.misbehave(action, kind=Kind.CHUNK)
    location = await peer.open(registry)
    assert (await peer.patch(location, BLOB, 0)).status == 401
    assert done == ["token ended"]
    assert (await peer("GET", location)).headers["Range"] == "0-4999"


@pytest.mark.parametrize("after", [0, 5, 30])
async def test_a_reply_is_cut_after_the_request_has_had_its_effect(
    registry: FakeRegistry, peer: Peer, after: int
) -> None:
    registry.misbehave(CutReply(after=after), kind=Kind.COMMIT)
    with pytest.raises(aiohttp.ClientError):
        await peer.commit(await peer.open(registry), DIGEST, BLOB)
    assert DIGEST in registry.repository("app").blobs


async def test_a_location_is_made_relative(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(RelativeLocation(), kind=Kind.OPEN)
    location = await peer.open(registry)
    assert location.startswith("/v2/app/blobs/uploads/")
    assert (await peer.commit(registry.url + location, DIGEST, BLOB)).status == 201


async def test_too_many_requests_may_be_told_without_a_time(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(throttle(None), kind=Kind.OPEN)
    reply = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")
    assert (reply.status, reply.headers.get("Retry-After")) == (429, None)


async def test_a_proxy_refuses_before_it_asks_who_is_there(peer: Peer) -> None:
    async with FakeRegistry(replace(Behaviour(), body_max=10, auth=Basic())) as registry:
        location = f"{registry.url}/v2/app/blobs/uploads/1?_state=1"
        assert (await peer.patch(location, BLOB[:11], 0)).status == 413
        assert (await peer("GET", f"{registry.url}/v2/", Authorization=basic(Basic()))).status == 200
