"""The fake registry is part of the design: it keeps to the specification, differs as told, and misbehaves as told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.fakes.behaviour import DISTRIBUTION_2, DISTRIBUTION_3, ZOT, Basic, Bearer, Behaviour
from tests.fakes.faults import (
    Answer,
    Cut,
    CutBody,
    Delay,
    Header,
    SlowBody,
    Stall,
    StallBody,
    When,
    page,
    redirect,
    throttle,
)
from tests.fakes.registry import FakeRegistry
from tests.fakes.shelves import digest_of
from tests.fakes.tokens import basic
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.unit.fakes.conftest import Peer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
BLOB = bytes(range(256)) * 4096  # 1 MiB
DIGEST = digest_of(BLOB)


def manifest_of(config: str, layers: tuple[str, ...] = (), **extra: object) -> bytes:
    blobs = [{"mediaType": "application/octet-stream", "digest": digest, "size": 1} for digest in (config, *layers)]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1:], **extra}
    return json.dumps(document).encode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (a list that grows has no event)
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------------------------------------------- uploads


async def test_a_blob_in_chunks_arrives_whole(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry)
    first = await peer.patch(location, BLOB[:600_000], 0)
    assert (first.status, first.headers["Range"]) == (202, "0-599999")
    assert first.location != location
    second = await peer.patch(first.location, BLOB[600_000:], 600_000)
    assert (await peer.commit(second.location, DIGEST)).status == 201
    read = await peer("GET", f"{registry.url}/v2/app/blobs/{DIGEST}")
    assert (read.status, read.content) == (200, BLOB)
    assert registry.received == len(BLOB)


async def test_a_blob_arrives_in_one_put(registry: FakeRegistry, peer: Peer) -> None:
    reply = await peer.commit(await peer.open(registry), DIGEST, BLOB)
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, DIGEST)
    assert registry.repository("app").blobs[DIGEST].content == BLOB


async def test_a_blob_arrives_in_one_streamed_patch_without_a_length(registry: FakeRegistry, peer: Peer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield BLOB[:1000]
        yield BLOB[1000:]

    streamed = await peer("PATCH", await peer.open(registry), pieces())
    assert streamed.headers["Range"] == f"0-{len(BLOB) - 1}"
    assert (await peer.commit(streamed.location, DIGEST)).status == 201
    assert [seen.kind for seen in registry.requests] == [Kind.OPEN, Kind.STREAM, Kind.COMMIT]


async def test_a_put_after_chunks_appends_its_body(registry: FakeRegistry, peer: Peer) -> None:
    first = await peer.patch(await peer.open(registry), BLOB[:10], 0)
    assert (await peer.commit(first.location, DIGEST, BLOB[10:])).status == 201


@pytest.mark.parametrize(("single_post", "status"), [(True, 201), (False, 202)])
async def test_a_blob_in_a_single_post_is_taken_or_sent_on_to_a_put(
    registry: FakeRegistry, peer: Peer, single_post: bool, status: int
) -> None:
    registry.behaviour = Behaviour(single_post=single_post)
    reply = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/?digest={DIGEST}", BLOB)
    assert reply.status == status
    assert (DIGEST in registry.repository("app").blobs) is single_post


async def test_status_of_an_empty_session_is_the_range_of_one_byte(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry)
    empty = await peer("GET", location)
    one = await peer.patch(empty.location, b"x", 0)
    assert (empty.status, empty.headers["Range"]) == (204, "0-0")
    assert one.headers["Range"] == "0-0"


async def test_a_chunk_out_of_order_is_refused_with_where_the_session_stands(
    registry: FakeRegistry, peer: Peer
) -> None:
    first = await peer.patch(await peer.open(registry), BLOB[:100], 0)
    refused = await peer.patch(first.location, BLOB[200:300], 200)
    assert (refused.status, refused.code, refused.headers["Range"]) == (416, "RANGE_INVALID", "0-99")
    assert (await peer.patch(refused.location, BLOB[100:200], 100)).headers["Range"] == "0-199"


async def test_a_chunk_out_of_order_is_refused_without_a_word_by_distribution_3(
    registry: FakeRegistry, peer: Peer
) -> None:
    registry.behaviour = DISTRIBUTION_3
    refused = await peer.patch(await peer.open(registry), BLOB[:100], 5)
    assert refused.status == 416
    assert "Range" not in refused.headers
    assert "Location" not in refused.headers


async def test_a_chunk_out_of_order_is_appended_all_the_same_by_distribution_2(
    registry: FakeRegistry, peer: Peer
) -> None:
    registry.behaviour = DISTRIBUTION_2
    first = await peer.patch(await peer.open(registry), b"hello", 0)
    assert (await peer.patch(first.location, b"xx", 9)).headers["Range"] == "0-6"


async def test_a_chunk_of_another_length_than_its_range_is_refused(registry: FakeRegistry, peer: Peer) -> None:
    refused = await peer("PATCH", await peer.open(registry), b"xx", Content_Range="0-9")
    assert (refused.status, refused.code) == (400, "SIZE_INVALID")


async def test_a_content_range_of_another_form_is_refused(registry: FakeRegistry, peer: Peer) -> None:
    refused = await peer("PATCH", await peer.open(registry), b"xx", Content_Range="bytes 0-1/2")
    assert refused.status == 400


async def test_bytes_that_are_not_what_the_digest_names_destroy_the_session(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry)
    refused = await peer.commit(location, digest_of(b"something else"), BLOB)
    assert (refused.status, refused.code) == (400, "DIGEST_INVALID")
    assert (await peer("GET", location)).status == 404
    assert not registry.repository("app").blobs


async def test_a_blob_by_sha512_is_checked_by_sha512(registry: FakeRegistry, peer: Peer) -> None:
    digest = digest_of(BLOB, "sha512")
    assert (await peer.commit(await peer.open(registry), digest, BLOB)).status == 201
    assert (await peer.commit(await peer.open(registry), digest, BLOB[1:])).code == "DIGEST_INVALID"


async def test_a_cancelled_session_is_gone(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry)
    assert (await peer("DELETE", location)).status == 204
    assert (await peer("DELETE", location)).code == "BLOB_UPLOAD_UNKNOWN"


async def test_the_newest_location_only_is_accepted_where_the_registry_says_so(
    registry: FakeRegistry, peer: Peer
) -> None:
    registry.behaviour = Behaviour(newest_location_only=True)
    first = await peer.open(registry)
    second = (await peer("GET", first)).location
    assert (await peer("GET", first)).status == 404
    assert (await peer("GET", second)).status == 204


async def test_any_location_of_a_living_session_is_accepted_elsewhere(registry: FakeRegistry, peer: Peer) -> None:
    first = await peer.open(registry)
    await peer.patch(first, b"abc", 0)
    assert (await peer("GET", first)).headers["Range"] == "0-2"


async def test_a_location_without_its_query_is_not_accepted(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry)
    assert (await peer("GET", location.partition("?")[0])).status == 404


async def test_a_location_may_be_relative(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(relative_location=True)
    location = await peer.open(registry)
    assert location.startswith("/v2/app/blobs/uploads/")
    assert (await peer("GET", registry.url + location)).status == 204


async def test_a_chunk_after_one_below_the_announced_minimum_is_refused(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(chunk_min_length=1000)
    opened = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")
    assert opened.headers["OCI-Chunk-Min-Length"] == "1000"
    enough = await peer.patch(opened.location, BLOB[:1000], 0)
    last = await peer.patch(enough.location, BLOB[1000:1001], 1000)
    assert (await peer.patch(last.location, BLOB[1001:3000], 1001)).status == 400
    assert (await peer.commit(last.location, digest_of(BLOB[:1001]))).status == 201


async def test_a_discarded_blob_is_checked_and_counted_but_not_kept(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(discard_above=1000)
    assert (await peer.commit(await peer.open(registry), DIGEST, BLOB)).status == 201
    assert (await peer.commit(await peer.open(registry), DIGEST, BLOB[1:])).code == "DIGEST_INVALID"
    assert registry.repository("app").blobs[DIGEST].content is None
    head = await peer("HEAD", f"{registry.url}/v2/app/blobs/{DIGEST}")
    assert head.headers["Content-Length"] == str(len(BLOB))


# ------------------------------------------------------------------------------------------ mounts and blobs


@pytest.mark.parametrize("repository", ["app", "other/app"])
async def test_a_blob_is_mounted_from_another_or_the_same_repository(
    registry: FakeRegistry, peer: Peer, repository: str
) -> None:
    digest = registry.add_blob("app", BLOB)
    reply = await peer("POST", f"{registry.url}/v2/{repository}/blobs/uploads/?mount={digest}&from=app")
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.repository(repository).blobs[digest].content == BLOB
    assert registry.count(Kind.MOUNT) == 1


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(mounts=False, anonymous_mount=True)])
async def test_a_mount_that_finds_nothing_opens_a_session(
    registry: FakeRegistry, peer: Peer, behaviour: Behaviour
) -> None:
    registry.behaviour = behaviour
    digest = registry.add_blob("app", BLOB)
    reply = await peer("POST", f"{registry.url}/v2/other/blobs/uploads/?mount={digest}")
    assert reply.status == 202
    assert (await peer.commit(reply.location, digest, BLOB)).status == 201


async def test_a_mount_without_from_looks_everywhere_at_zot(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = ZOT
    digest = registry.add_blob("app", BLOB)
    reply = await peer("POST", f"{registry.url}/v2/other/blobs/uploads/?mount={digest}")
    assert reply.status == 201


async def test_a_part_of_a_blob_is_read(registry: FakeRegistry, peer: Peer) -> None:
    url = f"{registry.url}/v2/app/blobs/{registry.add_blob('app', BLOB)}"
    part = await peer("GET", url, Range="bytes=5-9")
    assert (part.status, part.content) == (206, BLOB[5:10])
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(BLOB)}"
    assert (await peer("GET", url, Range=f"bytes={len(BLOB) - 3}-")).content == BLOB[-3:]
    assert (await peer("GET", url, Range=f"bytes={len(BLOB)}-")).status == 416


async def test_a_head_says_what_is_there(registry: FakeRegistry, peer: Peer) -> None:
    digest = registry.add_blob("app", BLOB)
    there = await peer("HEAD", f"{registry.url}/v2/app/blobs/{digest}")
    assert (there.status, there.headers["Content-Length"]) == (200, str(len(BLOB)))
    assert (await peer("HEAD", f"{registry.url}/v2/other/blobs/{digest}")).status == 404


async def test_a_deleted_blob_is_gone(registry: FakeRegistry, peer: Peer) -> None:
    url = f"{registry.url}/v2/app/blobs/{registry.add_blob('app', BLOB)}"
    assert (await peer("DELETE", url)).status == 202
    assert (await peer("GET", url)).code == "BLOB_UNKNOWN"


# -------------------------------------------------------------------------------------------------- manifests


async def test_a_manifest_is_read_back_byte_for_byte_by_tag_and_digest(registry: FakeRegistry, peer: Peer) -> None:
    content = manifest_of(registry.add_blob("app", b"{}")) + b"\n \n"
    url = f"{registry.url}/v2/app/manifests/"
    put = await peer("PUT", url + "1.4", content, Content_Type=MANIFEST)
    assert (put.status, put.headers["Docker-Content-Digest"]) == (201, digest_of(content))
    for reference in ("1.4", digest_of(content)):
        read = await peer("GET", url + reference, Accept=f"{INDEX}, {MANIFEST}")
        assert (read.content, read.headers["Content-Type"]) == (content, MANIFEST)
    tags = await peer("GET", f"{registry.url}/v2/app/tags/list")
    assert json.loads(tags.content) == {"name": "app", "tags": ["1.4"]}


async def test_a_manifest_is_unknown_to_who_does_not_accept_its_media_type(registry: FakeRegistry, peer: Peer) -> None:
    digest = registry.add_manifest("app", manifest_of(registry.add_blob("app", b"{}")), MANIFEST, "1.4")
    url = f"{registry.url}/v2/app/manifests/1.4"
    assert (await peer("HEAD", url, Accept=INDEX)).status == 404
    assert (await peer("HEAD", url, Accept=MANIFEST)).headers["Docker-Content-Digest"] == digest


async def test_a_manifest_whose_blobs_are_missing_is_refused(registry: FakeRegistry, peer: Peer) -> None:
    content = manifest_of(registry.add_blob("app", b"{}"), (DIGEST,))
    refused = await peer("PUT", f"{registry.url}/v2/app/manifests/1.4", content, Content_Type=MANIFEST)
    assert (refused.status, refused.code) == (400, "MANIFEST_BLOB_UNKNOWN")


async def test_an_index_whose_children_are_missing_is_refused(registry: FakeRegistry, peer: Peer) -> None:
    child = manifest_of(registry.add_blob("app", b"{}"))
    descriptor = {"mediaType": MANIFEST, "digest": digest_of(child), "size": len(child)}
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}).encode()
    url = f"{registry.url}/v2/app/manifests/"
    assert (await peer("PUT", url + "1.4", index, Content_Type=INDEX)).code == "MANIFEST_BLOB_UNKNOWN"
    assert (await peer("PUT", url + digest_of(child), child, Content_Type=MANIFEST)).status == 201
    assert (await peer("PUT", url + "1.4", index, Content_Type=INDEX)).status == 201


@pytest.mark.parametrize(
    ("content", "reference", "code"),
    [
        (b"{", "1.4", "MANIFEST_INVALID"),
        (b'{"mediaType": "text/plain"}', "1.4", "MANIFEST_INVALID"),
        (manifest_of(digest_of(b"{}")), DIGEST, "DIGEST_INVALID"),
    ],
    ids=["not JSON", "another media type", "another digest"],
)
async def test_a_bad_manifest_is_refused(
    registry: FakeRegistry, peer: Peer, content: bytes, reference: str, code: str
) -> None:
    registry.add_blob("app", b"{}")
    url = f"{registry.url}/v2/app/manifests/{reference}"
    assert (await peer("PUT", url, content, Content_Type=MANIFEST)).code == code
    assert not registry.repository("app").manifests


async def test_a_manifest_over_four_mebibytes_is_refused(registry: FakeRegistry, peer: Peer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"
        yield b" " * (4 << 20)

    url = f"{registry.url}/v2/app/manifests/1.4"
    assert (await peer("PUT", url, pieces(), Content_Type=MANIFEST)).status == 413


@pytest.mark.parametrize("indexed", [True, False])
async def test_a_manifest_with_a_subject_is_indexed_where_the_registry_says_so(
    registry: FakeRegistry, peer: Peer, indexed: bool
) -> None:
    registry.behaviour = Behaviour(referrers=indexed)
    subject = {"mediaType": MANIFEST, "digest": DIGEST, "size": 5}
    content = manifest_of(registry.add_blob("app", b"{}"), subject=subject)
    url = f"{registry.url}/v2/app/manifests/{digest_of(content)}"
    put = await peer("PUT", url, content, Content_Type=MANIFEST)
    listed = await peer("GET", f"{registry.url}/v2/app/referrers/{DIGEST}")
    assert put.headers.get("OCI-Subject") == (DIGEST if indexed else None)
    assert listed.status == (200 if indexed else 404)
    if indexed:
        assert [one["digest"] for one in json.loads(listed.content)["manifests"]] == [digest_of(content)]


async def test_a_deleted_child_leaves_its_index_in_place(registry: FakeRegistry, peer: Peer) -> None:
    child = registry.add_manifest("app", manifest_of(registry.add_blob("app", b"{}")), MANIFEST, "1.4")
    index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": child, "size": 1}]})
    registry.add_manifest("app", index.encode(), INDEX, "all")
    url = f"{registry.url}/v2/app/manifests/"
    assert (await peer("DELETE", url + child)).status == 202
    assert (await peer("HEAD", url + "1.4", Accept=MANIFEST)).status == 404
    assert (await peer("HEAD", url + "all", Accept=INDEX)).status == 200


# ---------------------------------------------------------------------------------------------- authentication


async def test_basic_lets_in_who_knows_the_password(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(auth=Basic("alice", "s3cret"))
    refused = await peer("GET", f"{registry.url}/v2/", Authorization=basic(Basic("alice", "guess")))
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="fake"')
    assert (await peer("GET", f"{registry.url}/v2/", Authorization=basic(Basic("alice", "s3cret")))).status == 200


async def token(peer: Peer, registry: FakeRegistry, scope: str, account: Basic | None = None) -> str:
    url = f"{registry.url}/token?service=fake-registry&scope={scope}"
    reply = await (peer("GET", url, Authorization=basic(account)) if account else peer("GET", url))
    assert reply.status == 200
    return f"Bearer {json.loads(reply.content)['token']}"


async def test_a_challenge_names_realm_service_and_scope(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(auth=Bearer())
    refused = await peer("POST", f"{registry.url}/v2/team/app/blobs/uploads/?mount={DIGEST}&from=base")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer realm="{registry.url}/token",service="fake-registry",'
        'scope="repository:base:pull repository:team/app:pull,push"'
    )


async def test_a_token_opens_what_its_scope_says_and_no_more(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(auth=Bearer())
    granted = await token(peer, registry, "repository:app:pull,push", Basic())
    uploads = f"{registry.url}/v2/{{}}/blobs/uploads/"
    assert (await peer("POST", uploads.format("app"), Authorization=granted)).status == 202
    refused = await peer("POST", uploads.format("other"), Authorization=granted)
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert registry.count(Kind.TOKEN) == 1


async def test_the_anonymous_may_pull_and_not_push(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(auth=Bearer())
    digest = registry.add_blob("app", BLOB)
    granted = await token(peer, registry, "repository:app:pull,push")
    assert (await peer("HEAD", f"{registry.url}/v2/app/blobs/{digest}", Authorization=granted)).status == 200
    assert (await peer("POST", f"{registry.url}/v2/app/blobs/uploads/", Authorization=granted)).status == 401


async def test_a_wrong_password_gets_no_token(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(auth=Bearer())
    url = f"{registry.url}/token?service=fake-registry"
    assert (await peer("GET", url, Authorization=basic(Basic("alice", "guess")))).status == 401


async def test_a_token_ends_with_its_life_or_when_it_is_forgotten(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(auth=Bearer(life=0))
    expired = await token(peer, registry, "repository:app:pull")
    registry.behaviour = Behaviour(auth=Bearer())
    forgotten = await token(peer, registry, "repository:app:pull")
    assert (await peer("GET", f"{registry.url}/v2/", Authorization=forgotten)).status == 200
    registry.forget_tokens()
    for one in (expired, forgotten):
        refused = await peer("GET", f"{registry.url}/v2/", Authorization=one)
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


# ------------------------------------------------------------------------------------------------ misbehaviour


async def test_a_body_cut_after_some_bytes_leaves_exactly_these_where_the_registry_keeps_them(
    registry: FakeRegistry, peer: Peer
) -> None:
    location = await peer.open(registry)
    registry.misbehave(CutBody(after=100_003), kind=Kind.CHUNK)
    with pytest.raises(aiohttp.ClientError):
        await peer.patch(location, BLOB, 0)
    assert registry.seen(Kind.CHUNK)[0].status is None
    status = await peer("GET", location)
    assert status.headers["Range"] == "0-100002"
    rest = await peer.patch(status.location, BLOB[100_003:], 100_003)
    assert (await peer.commit(rest.location, DIGEST)).status == 201


@pytest.mark.parametrize(("behaviour", "code"), [(DISTRIBUTION_2, "BLOB_UPLOAD_INVALID"), (ZOT, "BLOB_UPLOAD_UNKNOWN")])
async def test_a_body_cut_midway_ends_the_session_elsewhere(
    registry: FakeRegistry, peer: Peer, behaviour: Behaviour, code: str
) -> None:
    location = await peer.open(registry)
    registry.misbehave(CutBody(after=100), kind=Kind.STREAM)
    registry.behaviour = behaviour
    with pytest.raises(aiohttp.ClientError):
        await peer("PATCH", location, BLOB)
    assert (await peer("GET", location)).code == code


async def test_a_client_that_leaves_midway_breaks_the_session_as_well(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = ZOT

    async def breaks_off() -> AsyncIterator[bytes]:
        yield BLOB
        await until(lambda: registry.received > 0)
        raise EOFError

    location = registry.url + await peer.open(registry)
    with pytest.raises((EOFError, aiohttp.ClientError)):
        await peer("PATCH", location, breaks_off(), Content_Length=str(2 * len(BLOB)))
    await until(lambda: registry.seen(Kind.STREAM)[0].finished is not None)
    assert (await peer("GET", location)).code == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize(("when", "held"), [(When.ARRIVED, False), (When.RECEIVED, False), (When.COMMITTED, True)])
async def test_a_connection_is_cut_before_or_after_the_commit(
    registry: FakeRegistry, peer: Peer, when: When, held: bool
) -> None:
    registry.misbehave(Cut(when), kind=Kind.COMMIT)
    location = await peer.open(registry)
    with pytest.raises(aiohttp.ClientError):
        await peer.commit(location, DIGEST, BLOB)
    assert (DIGEST in registry.repository("app").blobs) is held
    assert registry.received == (0 if when is When.ARRIVED else len(BLOB))


async def test_an_answer_may_come_after_the_commit_as_from_a_proxy(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(Answer(status=504, when=When.COMMITTED), kind=Kind.COMMIT)
    assert (await peer.commit(await peer.open(registry), DIGEST, BLOB)).status == 504
    assert DIGEST in registry.repository("app").blobs


async def test_an_early_answer_leaves_the_body_unread(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(page(413), kind=Kind.CHUNK)
    reply = await peer.patch(await peer.open(registry), BLOB, 0)
    assert (reply.status, reply.headers["Content-Type"]) == (413, "text/html")
    assert registry.received == 0


async def test_the_nth_request_is_throttled_for_some_times(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(throttle(7), kind=Kind.BASE, nth=2, times=2)
    replies = [await peer("GET", f"{registry.url}/v2/") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 429, 429, 200]
    assert replies[1].headers["Retry-After"] == "7"


async def test_a_rule_picks_by_repository_and_method(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(redirect("http://127.0.0.1:1/x"), method="HEAD", repository="app", times=None)
    replies = [
        await peer("HEAD", f"{registry.url}/v2/app/blobs/{DIGEST}"),
        await peer("HEAD", f"{registry.url}/v2/app/blobs/{DIGEST}"),
        await peer("GET", f"{registry.url}/v2/app/blobs/{DIGEST}"),
        await peer("HEAD", f"{registry.url}/v2/other/blobs/{DIGEST}"),
    ]
    assert [reply.status for reply in replies] == [307, 307, 404, 404]
    assert replies[0].location == "http://127.0.0.1:1/x"


async def test_a_range_may_be_wrong_or_missing(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(Header("Range", "0--1"), kind=Kind.OPEN)
    registry.misbehave(Header("Range", None), kind=Kind.STATUS)
    opened = await peer("POST", f"{registry.url}/v2/app/blobs/uploads/")
    assert opened.headers["Range"] == "0--1"
    assert "Range" not in (await peer("GET", opened.location)).headers


async def test_actions_add_up(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(Delay(seconds=0.05), kind=Kind.BASE)
    registry.misbehave(throttle(1), kind=Kind.BASE)
    before = time.monotonic()
    assert (await peer("GET", f"{registry.url}/v2/")).status == 429
    assert time.monotonic() - before >= 0.05


async def test_a_body_is_read_slowly(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(SlowBody(rate=4 * len(BLOB)), kind=Kind.CHUNK)
    location = await peer.open(registry)
    before = time.monotonic()
    assert (await peer.patch(location, BLOB, 0)).status == 202
    assert time.monotonic() - before >= 0.24


@pytest.mark.parametrize("action", [Stall(), Stall(When.RECEIVED), Stall(When.COMMITTED), StallBody(after=5000)])
async def test_what_stalls_says_nothing_until_the_client_gives_up(
    registry: FakeRegistry, peer: Peer, action: Stall | StallBody
) -> None:
    registry.misbehave(action, kind=Kind.CHUNK)
    location = await peer.open(registry)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await peer.patch(location, BLOB, 0)
    if isinstance(action, StallBody):
        assert (await peer("GET", location)).headers["Range"] == "0-4999"


async def test_a_stalled_peer_takes_little_of_a_large_body(registry: FakeRegistry, peer: Peer) -> None:
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(64):
            taken += len(BLOB)
            yield BLOB

    registry.misbehave(StallBody(after=1), kind=Kind.STREAM)
    location = await peer.open(registry)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await peer("PATCH", location, pieces(), Content_Length=str(64 * len(BLOB)))
    assert taken < 16 * len(BLOB)


async def test_a_session_goes_on_past_a_request_that_hangs(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(StallBody(after=5000), kind=Kind.CHUNK)
    location = await peer.open(registry)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await peer.patch(location, BLOB, 0)
    rest = await peer.patch(location, BLOB[5000:], 5000)
    assert (await peer.commit(rest.location, DIGEST)).status == 201


async def test_a_registry_restarts_on_its_port_with_all_it_holds(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry)
    registry.misbehave(StallBody(after=500), kind=Kind.STREAM)
    hanging = asyncio.create_task(peer("PATCH", location, BLOB))
    await until(lambda: registry.received >= 500)
    port = registry.port
    await registry.stop()
    with pytest.raises(aiohttp.ClientError):
        await hanging
    with pytest.raises(aiohttp.ClientConnectorError):
        await peer("GET", location)
    await registry.start()
    assert registry.port == port
    assert (await peer("GET", location)).headers["Range"] == "0-499"
    registry.forget_sessions()
    assert (await peer("GET", location)).code == "BLOB_UPLOAD_UNKNOWN"


# ----------------------------------------------------------------------------------------------- what it records


async def test_every_request_is_written_down(registry: FakeRegistry, peer: Peer) -> None:
    location = await peer.open(registry, "team/app")
    await peer.patch(location, b"abc", 0)
    opened, chunk = registry.requests
    assert (opened.kind, opened.repository, opened.status) == (Kind.OPEN, "team/app", 202)
    assert (chunk.kind, chunk.received, chunk.headers["content-range"]) == (Kind.CHUNK, 3, "0-2")
    assert chunk.query["_state"] in location
    assert opened.started <= chunk.started <= (chunk.finished or 0)
    assert registry.count(method="PATCH") == registry.count(repository="team/app") - 1 == 1


async def test_the_high_water_mark_counts_bodies_at_one_time(registry: FakeRegistry, peer: Peer) -> None:
    registry.misbehave(Delay(seconds=0.1), kind=Kind.CHUNK, times=None)
    locations = [await peer.open(registry) for _ in range(3)]
    await asyncio.gather(*(peer.patch(location, BLOB, 0) for location in locations))
    await peer.patch(await peer.open(registry), BLOB, 0)
    assert registry.peak_uploads == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2"), ("GET", "/v1/_ping"), ("GET", "/token"), ("PUT", "/v2/"), ("GET", "/v2/App/tags/list")],
)
async def test_what_no_registry_understands_fails_the_test(peer: Peer, method: str, path: str) -> None:
    with pytest.raises(AssertionError, match="no registry of this behaviour knows"):
        async with FakeRegistry() as registry:
            assert (await peer(method, registry.url + path)).status == 404


async def test_a_form_this_registry_refuses_fails_the_test(peer: Peer) -> None:
    with pytest.raises(AssertionError, match=r"knows PATCH /v2/app/blobs/uploads/"):
        async with FakeRegistry(Behaviour(refused=frozenset({Kind.CHUNK}))) as registry:
            await peer.patch(await peer.open(registry), BLOB, 0)


async def test_a_rule_that_never_acts_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="never happened"):
        async with FakeRegistry() as registry:
            registry.misbehave(throttle(1), kind=Kind.OPEN)


async def test_a_test_that_failed_keeps_its_own_error() -> None:
    registry = FakeRegistry()
    registry.misbehave(throttle(1))

    async def fails() -> None:
        async with registry:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()


def test_a_test_that_blocks_has_the_registry_in_a_thread() -> None:
    import http.client  # noqa: PLC0415 (nobody else here blocks)

    with FakeRegistry().in_thread() as registry:
        registry.misbehave(Stall(), kind=Kind.BASE, nth=2)
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=0.5)
        connection.request("GET", "/v2/")
        assert connection.getresponse().read() == b"{}"
        connection.request("GET", "/v2/")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
    assert registry.count(Kind.BASE) == 2


def test_a_test_that_blocks_fails_as_well_for_what_no_registry_understands() -> None:
    registry = FakeRegistry()
    registry.misbehave(throttle(1))
    with pytest.raises(AssertionError, match="never happened"), registry.in_thread():
        pass


@pytest.mark.slow
async def test_a_gibibyte_is_taken_without_keeping_it(registry: FakeRegistry, peer: Peer) -> None:
    registry.behaviour = Behaviour(discard_above=1 << 20)
    piece, hasher = bytes(1 << 20), hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1024):
            hasher.update(piece)
            yield piece

    streamed = await peer("PATCH", await peer.open(registry), pieces(), Content_Length=str(1 << 30))
    assert (await peer.commit(streamed.location, f"sha256:{hasher.hexdigest()}")).status == 201
    assert registry.received == 1 << 30
