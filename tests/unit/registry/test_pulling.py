"""What is read from a registry: manifests whole, blobs as they come, and from where they broke off."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from tests.fakes.behaviour import Basic, Bearer, Behaviour
from tests.fakes.faults import Answer, CutContent, Header, redirect, throttle
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from pushd.registry.client import RegistryClient
    from pushd.registry.pulling import Blob
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Line

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
ALICE = Credential("docker-config", "alice", "correct horse")
CONTENT = random.Random(8).randbytes(300_000)
BLOB = Descriptor("application/octet-stream", Digest.of(CONTENT), len(CONTENT))


async def whole(blob: Blob) -> bytes:
    """Read a blob to its end."""
    try:
        pieces = []
        while piece := await blob.read():
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        blob.close()


async def refused(client: RegistryClient, *, blob: Descriptor = BLOB, offset: int = 0) -> RegistryError | SourceError:
    with pytest.raises((RegistryError, SourceError)) as caught:
        await client.get_blob("team/app", blob, offset)
    error = caught.value
    assert isinstance(error, (RegistryError, SourceError))
    return error


# ----------------------------------------------------------------------------------------------------- manifests


async def test_a_manifest_is_read_by_its_tag_and_by_its_digest(registry: FakeRegistry, connect: Connect) -> None:
    digest = registry.add_manifest("team/app", MANIFEST, MEDIA_TYPE, "1.4")
    client = connect(registry.address)
    assert await client.get_manifest("team/app", "1.4") == (MEDIA_TYPE, MANIFEST)
    assert await client.get_manifest("team/app", digest) == (MEDIA_TYPE, MANIFEST)


async def test_a_manifest_that_is_not_what_its_digest_says_is_not_taken(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.add_manifest("team/app", MANIFEST, MEDIA_TYPE, "1.4")
    registry.misbehave(Header("Docker-Content-Digest", str(Digest.of(b"other"))), kind=Kind.MANIFEST)
    with pytest.raises(RegistryError, match="in place of") as caught:
        await connect(registry.address).get_manifest("team/app", "1.4")
    assert caught.value.code is Code.REGISTRY_DIGEST_MISMATCH


async def test_nor_is_one_that_another_digest_was_asked_for(registry: FakeRegistry, connect: Connect) -> None:
    other = Answer(status=200, headers={"Content-Type": MEDIA_TYPE}, body=MANIFEST)
    registry.misbehave(other, kind=Kind.MANIFEST)
    with pytest.raises(RegistryError) as caught:
        await connect(registry.address).get_manifest("team/app", str(Digest.of(b"wanted")))
    assert caught.value.code is Code.REGISTRY_DIGEST_MISMATCH


async def test_a_digest_that_is_none_is_a_malformed_answer(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_manifest("team/app", MANIFEST, MEDIA_TYPE, "1.4")
    registry.misbehave(Header("Docker-Content-Digest", "md5:none"), kind=Kind.MANIFEST)
    with pytest.raises(RegistryError) as caught:
        await connect(registry.address).get_manifest("team/app", "1.4")
    assert caught.value.code is Code.REGISTRY_MALFORMED


async def test_a_manifest_longer_than_any_is_read_no_further(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_manifest("team/app", b" " * (5 << 20), MEDIA_TYPE, "1.4")
    with pytest.raises(SourceError) as caught:
        await connect(registry.address).get_manifest("team/app", "1.4")
    assert caught.value.code is Code.SOURCE_MANIFEST_TOO_LARGE


async def test_a_manifest_that_is_not_there_is_refused(registry: FakeRegistry, connect: Connect) -> None:
    with pytest.raises(RegistryError, match="404 when asked for the manifest") as caught:
        await connect(registry.address).get_manifest("team/app", "1.4")
    assert caught.value.code is Code.REGISTRY_NOT_FOUND


async def test_one_that_need_not_be_there_is_none_then(registry: FakeRegistry, connect: Connect) -> None:
    client = connect(registry.address)
    assert await client.find_manifest("team/app", "1.4") is None
    registry.add_manifest("team/app", MANIFEST, MEDIA_TYPE, "1.4")
    assert await client.find_manifest("team/app", "1.4") == (MEDIA_TYPE, MANIFEST)
    registry.misbehave(Answer(status=403), kind=Kind.MANIFEST)
    with pytest.raises(RegistryError) as caught:
        await client.find_manifest("team/app", "1.4")
    assert caught.value.code is Code.REGISTRY_DENIED


# ----------------------------------------------------------------------------------------------------- referrers

SUBJECT = Digest.of(b"subject")


def listed(body: bytes = MANIFEST, **headers: str) -> Answer:
    return Answer(status=200, headers={"Content-Type": MEDIA_TYPE, **headers}, body=body)


async def test_what_refers_to_a_manifest_is_read(registry: FakeRegistry, connect: Connect) -> None:
    (page,) = await connect(registry.address).get_referrers("team/app", SUBJECT) or ()
    assert b'"manifests": []' in page
    (seen,) = registry.requests
    assert (seen.kind, seen.reference, seen.headers["Accept"]) == (Kind.REFERRERS, str(SUBJECT), MEDIA_TYPE)


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501])
async def test_a_registry_that_knows_no_such_list_has_none(
    registry: FakeRegistry, connect: Connect, status: int
) -> None:
    registry.misbehave(Answer(status=status), kind=Kind.REFERRERS)
    assert await connect(registry.address).get_referrers("team/app", SUBJECT) is None


async def test_nor_has_one_that_answers_with_something_else(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(Answer(status=200, headers={"Content-Type": "text/html"}, body=b"hello"), kind=Kind.REFERRERS)
    assert await connect(registry.address).get_referrers("team/app", SUBJECT) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, Code.REGISTRY_DENIED), (429, Code.REGISTRY_THROTTLED), (500, Code.REGISTRY_UNAVAILABLE)],
)
async def test_one_that_does_not_say_is_not_taken_for_one_without(
    registry: FakeRegistry, connect: Connect, status: int, code: Code
) -> None:
    registry.misbehave(Answer(status=status), kind=Kind.REFERRERS)
    with pytest.raises(RegistryError, match=str(SUBJECT)) as caught:
        await connect(registry.address).get_referrers("team/app", SUBJECT)
    assert caught.value.code is code


async def test_a_list_of_several_pages_is_read_to_its_end(registry: FakeRegistry, connect: Connect) -> None:
    target = f"/v2/team/app/referrers/{SUBJECT}?last=1"
    registry.misbehave(listed(b"first", Link=f'<{target}>; rel="next"'), kind=Kind.REFERRERS)
    registry.misbehave(listed(b"second", Link=f'<{registry.url}{target}>; rel="next"'), kind=Kind.REFERRERS, nth=2)
    registry.misbehave(listed(b"third"), kind=Kind.REFERRERS, nth=3)
    assert await connect(registry.address).get_referrers("team/app", SUBJECT) == (b"first", b"second", b"third")
    assert [dict(seen.query) for seen in registry.requests] == [{}, {"last": "1"}, {"last": "1"}]


async def test_a_page_that_fails_is_no_end(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(listed(Link='<?last=1>; rel="next"'), kind=Kind.REFERRERS)
    registry.misbehave(Answer(status=404), kind=Kind.REFERRERS, nth=2)
    with pytest.raises(RegistryError) as caught:
        await connect(registry.address).get_referrers("team/app", SUBJECT)
    assert caught.value.code is Code.REGISTRY_NOT_FOUND


async def test_a_list_without_end_is_given_up(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(listed(Link='<?last=1>; rel="next"'), kind=Kind.REFERRERS, times=1000)
    with pytest.raises(RegistryError, match="pages") as caught:
        await connect(registry.address).get_referrers("team/app", SUBJECT)
    assert caught.value.code is Code.REGISTRY_MALFORMED


async def test_a_list_larger_than_any_is_given_up_as_well(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(listed(b" " * (4 << 20), Link='<?last=1>; rel="next"'), kind=Kind.REFERRERS, times=5)
    with pytest.raises(RegistryError, match="bytes") as caught:
        await connect(registry.address).get_referrers("team/app", SUBJECT)
    assert caught.value.code is Code.REGISTRY_MALFORMED


async def test_nobody_is_asked_for_more_of_a_list_but_the_registry(registry: FakeRegistry, connect: Connect) -> None:
    async with FakeRegistry() as other:
        registry.misbehave(listed(Link=f'<{other.url}/v2/>; rel="next"'), kind=Kind.REFERRERS)
        with pytest.raises(RegistryError, match="another host") as caught:
            await connect(registry.address, ALICE).get_referrers("team/app", SUBJECT)
        assert not other.requests
    assert caught.value.code is Code.REGISTRY_MALFORMED


# --------------------------------------------------------------------------------------------------------- blobs


async def test_a_blob_is_asked_for_with_its_size(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_blob("team/app", CONTENT)
    client = connect(registry.address)
    assert await client.has_blob("team/app", BLOB)
    assert not await client.has_blob("team/app", Descriptor(BLOB.media_type, BLOB.digest, 1))
    assert not await client.has_blob("team/app", Descriptor(BLOB.media_type, Digest.of(b"other"), 5))
    registry.misbehave(Answer(status=500), kind=Kind.BLOB)
    with pytest.raises(RegistryError) as caught:
        await client.has_blob("team/app", BLOB)
    assert caught.value.code is Code.REGISTRY_UNAVAILABLE


@pytest.mark.parametrize("offset", [0, 1, 123_456, 299_999])
async def test_a_blob_is_read_from_any_byte_on(registry: FakeRegistry, connect: Connect, offset: int) -> None:
    registry.add_blob("team/app", CONTENT)
    blob = await connect(registry.address).get_blob("team/app", BLOB, offset)
    assert blob.offset == offset
    assert await whole(blob) == CONTENT[offset:]
    assert blob.offset == BLOB.size


async def test_a_registry_that_knows_no_ranges_sends_it_from_the_first_byte_on(connect: Connect) -> None:
    async with FakeRegistry(Behaviour(ranges=False)) as registry:
        registry.add_blob("team/app", CONTENT)
        blob = await connect(registry.address).get_blob("team/app", BLOB, 1000)
        assert blob.offset == 0
        assert await whole(blob) == CONTENT


@pytest.mark.parametrize("behaviour", [Behaviour(auth=Basic()), Behaviour(auth=Bearer())])
async def test_a_blob_is_read_with_the_right_to_pull_and_no_more(connect: Connect, behaviour: Behaviour) -> None:
    async with FakeRegistry(behaviour) as registry:
        registry.add_blob("team/app", CONTENT)
        blob = await connect(registry.address, ALICE).get_blob("team/app", BLOB, 0)
        assert await whole(blob) == CONTENT
        assert {seen.query["scope"] for seen in registry.seen(Kind.TOKEN)} <= {"repository:team/app:pull"}


async def test_a_token_that_has_ended_is_got_anew(connect: Connect) -> None:
    async with FakeRegistry(Behaviour(auth=Bearer())) as registry:
        registry.add_blob("team/app", CONTENT)
        client = connect(registry.address, ALICE)
        (await client.get_blob("team/app", BLOB, 0)).close()
        registry.forget_tokens()
        assert await whole(await client.get_blob("team/app", BLOB, 5)) == CONTENT[5:]


async def test_a_storage_it_leads_to_is_not_told_who_we_are(connect: Connect) -> None:
    async with FakeRegistry() as storage, FakeRegistry(Behaviour(auth=Basic())) as registry:
        storage.add_blob("bucket", CONTENT)
        signed = f"{storage.url}/v2/bucket/blobs/{BLOB.digest}?signature=s3cr3t"
        registry.misbehave(redirect(signed), kind=Kind.BLOB, nth=2)  # the first answer is 401
        blob = await connect(registry.address, ALICE).get_blob("team/app", BLOB, 7)
        assert await whole(blob) == CONTENT[7:]
        (seen,) = storage.requests
        assert "Authorization" not in seen.headers
        assert seen.headers["Range"] == "bytes=7-"


async def test_it_is_not_followed_to_the_wire_of_this_machine(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(redirect("http://169.254.169.254/latest/meta-data/"), kind=Kind.BLOB)
    assert (await refused(connect(registry.address))).code is Code.REGISTRY_ADDRESS_REFUSED


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Code.REGISTRY_UNAUTHORIZED),
        (403, Code.REGISTRY_DENIED),
        (404, Code.REGISTRY_NOT_FOUND),
        (416, Code.REGISTRY_REFUSED),
        (503, Code.REGISTRY_UNAVAILABLE),
    ],
)
async def test_a_refusal_is_told_as_everywhere(
    registry: FakeRegistry, connect: Connect, status: int, code: Code
) -> None:
    registry.misbehave(Answer(status=status), kind=Kind.BLOB)
    assert (await refused(connect(registry.address))).code is code


async def test_a_registry_may_ask_for_patience(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(throttle(30), kind=Kind.BLOB)
    error = await refused(connect(registry.address))
    assert (error.code, error.retry_after) == (Code.REGISTRY_THROTTLED, 30)


async def test_another_part_than_was_asked_for_is_not_taken(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_blob("team/app", CONTENT)
    client = connect(registry.address)
    registry.misbehave(Header("Content-Range", f"bytes 9-299999/{BLOB.size}"), kind=Kind.BLOB)
    assert (await refused(client, offset=10)).code is Code.REGISTRY_MALFORMED
    registry.misbehave(Header("Content-Range", None), kind=Kind.BLOB)
    assert (await refused(client, offset=10)).code is Code.REGISTRY_MALFORMED


@pytest.mark.parametrize("offset", [0, 10])
async def test_a_blob_of_another_size_is_not_read(registry: FakeRegistry, connect: Connect, offset: int) -> None:
    registry.add_blob("team/app", CONTENT)
    error = await refused(connect(registry.address), blob=Descriptor("a/b", BLOB.digest, 20), offset=offset)
    assert error.code is Code.SOURCE_BLOB_SIZE
    assert "has 300000 bytes; its descriptor says 20" in str(error)


async def test_a_blob_that_breaks_off_is_told_as_interrupted(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_blob("team/app", CONTENT)
    registry.misbehave(CutContent(after=100_000), kind=Kind.BLOB)
    blob = await connect(registry.address).get_blob("team/app", BLOB, 0)
    with pytest.raises(RegistryError) as caught:
        await whole(blob)
    assert caught.value.code is Code.REGISTRY_INTERRUPTED
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_blob_that_stands_still_is_told_as_stalled(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_blob("team/app", CONTENT)
    registry.misbehave(CutContent(after=100_000, mute=True), kind=Kind.BLOB)
    blob = await connect(registry.address).get_blob("team/app", BLOB, 0)
    with pytest.raises(RegistryError) as caught:
        await whole(blob)
    assert caught.value.code is Code.REGISTRY_STALLED


async def test_a_blob_that_is_read_to_its_end_leaves_the_connection_to_the_next(connect: Connect) -> None:
    async with listening(answering((200, [], CONTENT))) as peer:
        client = connect(peer.address)
        for _ in range(3):
            assert await whole(await client.get_blob("team/app", BLOB, 0)) == CONTENT
        assert peer.connections == 1


async def test_a_blob_that_nobody_reads_is_not_sent(connect: Connect) -> None:
    size = 1 << 30
    sent = 0

    async def endless(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.say(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
        while sent < size:
            await line.say(bytes(1 << 20))
            sent += 1 << 20

    async with listening(endless) as peer:
        blob = await connect(peer.address).get_blob("team/app", Descriptor("a/b", BLOB.digest, size), 0)
        await blob.read()
        blob.close()
    assert sent < 100 << 20
