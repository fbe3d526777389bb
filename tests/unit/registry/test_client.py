"""The protocol's requests as HTTP, and what is made of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.reply import Stored
from pushd.oci.upload import Cancel, Head, Limits, Mount, Open, OpenIfAbsent, Patch, Put, Single, Status, Stream
from pushd.registry import Settings
from pushd.registry.client import RegistryClient
from tests.fakes.behaviour import DISTRIBUTION_2, DISTRIBUTION_3, Basic, Behaviour
from tests.fakes.faults import Answer, Header, When, error_body, page, redirect, throttle
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.unit.registry.bodies import Pieces
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioresponses import aioresponses as Mocked  # noqa: N812 (the class has a function's name)

    from pushd.oci.upload import Request
    from pushd.registry import Wire
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Line

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
ALICE = Credential("docker-config", "alice", "s3cr3t")
DIGEST = Digest.of(MANIFEST)
OTHER = Digest.of(b"other")

STATUSES = [
    (400, Code.REGISTRY_REFUSED),
    (401, Code.REGISTRY_UNAUTHORIZED),
    (403, Code.REGISTRY_DENIED),
    (405, Code.REGISTRY_REFUSED),
    (408, Code.REGISTRY_UNAVAILABLE),
    (413, Code.REGISTRY_REFUSED),
    (429, Code.REGISTRY_THROTTLED),
    (500, Code.REGISTRY_UNAVAILABLE),
    (501, Code.REGISTRY_REFUSED),
    (502, Code.REGISTRY_UNAVAILABLE),
    (503, Code.REGISTRY_UNAVAILABLE),
    (504, Code.REGISTRY_UNAVAILABLE),
    (204, Code.REGISTRY_MALFORMED),
    (304, Code.REGISTRY_REDIRECTED),
]


# ------------------------------------------------------------------------------------------------- head_manifest


async def test_a_manifest_that_is_there_has_its_digest(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_manifest("team/app", MANIFEST, MEDIA_TYPE, "1.4")
    client = connect(registry.address)
    assert await client.head_manifest("team/app", "1.4") == DIGEST
    assert await client.head_manifest("team/app", str(DIGEST)) == DIGEST
    assert [seen.method for seen in registry.requests] == ["HEAD", "HEAD"]


async def test_one_that_is_not_there_has_none(registry: FakeRegistry, connect: Connect) -> None:
    assert await connect(registry.address).head_manifest("team/app", "1.4") is None


async def test_one_that_is_forbidden_is_not_there_either_where_the_registry_says_so(wire: Wire) -> None:
    settings = Settings(limits=Limits(absent=frozenset({403, 404})))
    async with listening(answering((403, []))) as peer:
        assert await RegistryClient(peer.address, settings, None, wire).head_manifest("team/app", "1.4") is None


async def test_a_registry_that_does_not_say_the_digest_is_asked_for_the_content(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.add_manifest("app", MANIFEST, MEDIA_TYPE, "1")
    registry.misbehave(Header("Docker-Content-Digest", None), kind=Kind.MANIFEST, times=None)
    assert await connect(registry.address).head_manifest("app", "1") == DIGEST
    assert [seen.method for seen in registry.requests] == ["HEAD", "GET"]


async def test_content_of_media_type_with_parameters_is_content(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_manifest("app", MANIFEST, MEDIA_TYPE, "1")
    registry.misbehave(Header("Docker-Content-Digest", None), kind=Kind.MANIFEST, times=None)
    registry.misbehave(Header("Content-Type", f"{MEDIA_TYPE}; charset=utf-8"), method="GET")
    assert await connect(registry.address).head_manifest("app", "1") == DIGEST


async def test_a_manifest_that_goes_between_head_and_get_is_not_there(connect: Connect) -> None:
    async with listening(answering((200, []), (404, []))) as peer:
        assert await connect(peer.address).head_manifest("app", "1") is None


async def test_a_web_site_has_no_manifests(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(page(200), kind=Kind.MANIFEST, times=None)
    error = await refused(connect(registry.address).head_manifest("app", "1"))
    assert error.code is Code.REGISTRY_MALFORMED
    assert "web site" in error.hint


@pytest.mark.parametrize("header", ["", "x", "sha256:abc", "sha256:" + "A" * 64, "md5:" + "0" * 32])
async def test_a_digest_that_is_none_is_malformed(connect: Connect, header: str) -> None:
    async with listening(answering((200, [f"Docker-Content-Digest: {header}"]))) as peer:
        error = await refused(connect(peer.address).head_manifest("app", "1"))
    assert error.code is Code.REGISTRY_MALFORMED
    assert "digest header" in error.detail


async def test_another_digest_is_given_as_the_registry_said_it(registry: FakeRegistry, connect: Connect) -> None:
    registry.add_manifest("app", MANIFEST, MEDIA_TYPE, "1")
    registry.misbehave(Header("Docker-Content-Digest", str(OTHER)), kind=Kind.MANIFEST)
    assert await connect(registry.address).head_manifest("app", "1") == OTHER


@pytest.mark.parametrize(("status", "code"), STATUSES)
async def test_any_other_status_is_an_error_to_a_head(
    connect: Connect, responses: Mocked, status: int, code: Code
) -> None:
    responses.head("https://registry.example/v2/app/manifests/1", status=status)
    responses.get("https://registry.example/v2/app/manifests/1", status=status)  # where words are asked for as well
    error = await refused(connect("registry.example").head_manifest("app", "1"))
    assert error.code is code
    assert error.subject == "registry.example/app:1"
    assert str(status) in error.detail


@pytest.mark.parametrize(
    ("status", "code"), [*STATUSES, (200, Code.REGISTRY_MALFORMED), (404, Code.REGISTRY_NOT_FOUND)]
)
async def test_any_other_status_is_an_error_to_a_put(
    connect: Connect, responses: Mocked, status: int, code: Code
) -> None:
    responses.put(f"https://registry.example/v2/app/manifests/{DIGEST}", status=status)
    error = await refused(connect("registry.example").put_manifest("app", str(DIGEST), MANIFEST, MEDIA_TYPE))
    assert error.code is code
    assert error.subject == f"registry.example/app@{DIGEST}"


async def test_docker_hub_is_asked_where_it_is_and_called_what_it_is_called(
    connect: Connect, responses: Mocked
) -> None:
    responses.head("https://registry-1.docker.io/v2/library/app/manifests/1", status=500)
    error = await refused(connect("docker.io").head_manifest("library/app", "1"))
    assert error.subject == "docker.io/library/app:1"


# -------------------------------------------------------------------------------------------------- put_manifest


async def test_a_manifest_is_put_byte_for_byte(registry: FakeRegistry, connect: Connect) -> None:
    content = b' {"mediaType" :"application/vnd.oci.image.index.v1+json","manifests":[ ]}\n'
    assert await connect(registry.address).put_manifest("app", "1", content, MEDIA_TYPE) == Stored(Digest.of(content))
    held = registry.repository("app").manifest("1")
    assert held is not None
    assert held.content == content
    (seen,) = registry.requests
    assert seen.headers["Content-Type"] == MEDIA_TYPE
    assert seen.headers["Content-Length"] == str(len(content))


async def test_a_manifest_of_the_largest_size_is_put(registry: FakeRegistry, connect: Connect) -> None:
    content = MANIFEST + b" " * ((4 << 20) - len(MANIFEST))
    registry.behaviour = Behaviour(auth=Basic("alice", "secret"))
    client = connect(registry.address, Credential("docker-config", "alice", "secret"))
    assert await client.put_manifest("app", "1", content, MEDIA_TYPE) == Stored(Digest.of(content))
    assert [(seen.status, seen.headers["Content-Length"]) for seen in registry.requests] == [
        (401, str(4 << 20)),
        (201, str(4 << 20)),
    ]


async def test_a_registry_that_does_not_say_the_digest_has_taken_what_was_put(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.misbehave(Header("Docker-Content-Digest", None), kind=Kind.MANIFEST)
    assert await connect(registry.address).put_manifest("app", "1", MANIFEST, MEDIA_TYPE) == Stored(DIGEST)


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
async def test_a_manifest_with_a_subject_is_listed_where_the_registry_says_so(
    registry: FakeRegistry, connect: Connect, *, listed: bool
) -> None:
    registry.behaviour = Behaviour(referrers=listed)
    subject = b'{"mediaType":"a/b","size":1,"digest":"sha256:0"}'
    content = MANIFEST.removesuffix(b"}") + b',"subject":' + subject + b"}"
    stored = await connect(registry.address).put_manifest("app", "1", content, MEDIA_TYPE)
    assert stored == Stored(Digest.of(content), listed)


async def test_a_registry_that_stored_something_else_is_quoted(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(Header("Docker-Content-Digest", str(OTHER)), kind=Kind.MANIFEST)
    assert await connect(registry.address).put_manifest("app", "1", MANIFEST, MEDIA_TYPE) == Stored(OTHER)


async def test_a_digest_that_is_none_is_malformed_after_a_put(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(Header("Docker-Content-Digest", "sha256:x"), kind=Kind.MANIFEST)
    error = await refused(connect(registry.address).put_manifest("app", "1", MANIFEST, MEDIA_TYPE))
    assert error.code is Code.REGISTRY_MALFORMED


async def test_a_missing_blob_is_told_by_its_code(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(
        Answer(When.RECEIVED, status=400, body=error_body("MANIFEST_BLOB_UNKNOWN", "blob unknown")), kind=Kind.MANIFEST
    )
    error = await refused(connect(registry.address).put_manifest("app", "1", MANIFEST, MEDIA_TYPE))
    assert error.code is Code.REGISTRY_BLOB_UNKNOWN
    assert error.retryable


async def test_a_throttled_put_says_for_how_long(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(throttle(17), kind=Kind.MANIFEST)
    error = await refused(connect(registry.address).put_manifest("app", "1", MANIFEST, MEDIA_TYPE))
    assert (error.code, error.retry_after) == (Code.REGISTRY_THROTTLED, 17)


# ------------------------------------------------------------------------------------- what a registry shows it is


async def test_a_registry_that_shows_itself_to_be_distribution_3_is_asked_for_a_blob_and_an_upload_in_one_request(
    connect: Connect,
) -> None:
    async with FakeRegistry(DISTRIBUTION_3) as registry:
        client = connect(registry.address)
        assert client.limits.joins is None
        await client.head_manifest("team/app", "1.4")
        assert client.limits.joins is True


@pytest.mark.parametrize("behaviour", [Behaviour(), DISTRIBUTION_2])
async def test_any_other_is_asked_one_by_one(behaviour: Behaviour, connect: Connect) -> None:
    async with FakeRegistry(behaviour) as registry:
        client = connect(registry.address)
        await client.head_manifest("team/app", "1.4")
        assert client.limits.joins is None


async def test_what_is_known_of_a_registry_goes_before_what_it_names_itself(wire: Wire) -> None:
    async with FakeRegistry(DISTRIBUTION_3) as registry:
        client = RegistryClient(registry.address, Settings(limits=Limits(joins=False)), None, wire)
        await client.head_manifest("team/app", "1.4")
        assert client.limits.joins is False


# ------------------------------------------------------------------------------------------------------- uploads

LOCATION = "/v2/app/blobs/uploads/1?_state=a%2Fb%2b"


@pytest.mark.parametrize(
    ("request_for", "line", "headers"),
    [
        (lambda url: Head(DIGEST), f"HEAD /v2/team/app/blobs/{DIGEST}", {"Content-Length": None}),
        (lambda url: Open(), "POST /v2/team/app/blobs/uploads/", {"Content-Length": "0"}),
        (
            lambda url: OpenIfAbsent(DIGEST),
            f"POST /v2/team/app/blobs/uploads/?mount={DIGEST}&from=team/app",
            {"Content-Length": "0"},
        ),
        (
            lambda url: Mount(DIGEST, "other/app"),
            f"POST /v2/team/app/blobs/uploads/?mount={DIGEST}&from=other/app",
            {"Content-Length": "0"},
        ),
        (lambda url: Status(url + LOCATION), f"GET {LOCATION}", {"Content-Length": None}),
        (lambda url: Cancel(url + LOCATION), f"DELETE {LOCATION}", {}),
        (
            lambda url: Put(url + LOCATION, DIGEST),
            f"PUT {LOCATION}&digest=sha256%3A{DIGEST.encoded}",
            {"Content-Length": "0", "Content-Range": None},
        ),
        (
            lambda url: Put(url + "/up", DIGEST),
            f"PUT /up?digest=sha256%3A{DIGEST.encoded}",
            {"Content-Length": "0"},
        ),
    ],
)
async def test_a_request_without_a_body_goes_out_as_the_specification_has_it(
    connect: Connect, request_for: Callable[[str], Request], line: str, headers: dict[str, str | None]
) -> None:
    async with listening(answering((202, []))) as peer:
        await connect(peer.address).perform("team/app", request_for(peer.url))
    (heard,) = peer.heard
    assert f"{heard.method} {heard.target}" == line
    assert {name: heard.header(name) for name in headers} == headers
    assert heard.header("Transfer-Encoding") is None


@pytest.mark.parametrize(
    ("request_for", "line", "content_range"),
    [
        (lambda url: Patch(url + LOCATION, 0, 6), f"PATCH {LOCATION}", "0-5"),
        (lambda url: Patch(url + LOCATION, 100, 106), f"PATCH {LOCATION}", "100-105"),
        (lambda url: Stream(url + LOCATION, 100, 106), f"PATCH {LOCATION}", None),
        (
            lambda url: Single(url + LOCATION, DIGEST, 6),
            f"PUT {LOCATION}&digest=sha256%3A{DIGEST.encoded}",
            None,
        ),
        (
            lambda url: Put(url + LOCATION, DIGEST, 100, 106),
            f"PUT {LOCATION}&digest=sha256%3A{DIGEST.encoded}",
            "100-105",
        ),
    ],
)
async def test_a_request_with_a_body_says_its_length_and_its_place(
    connect: Connect, request_for: Callable[[str], Request], line: str, content_range: str | None
) -> None:
    async with listening(answering((202, []))) as peer:
        await connect(peer.address).perform("team/app", request_for(peer.url), Pieces(b"abc", b"def"))
    (heard,) = peer.heard
    assert f"{heard.method} {heard.target}" == line
    assert heard.body == b"abcdef"
    assert heard.header("Content-Length") == "6"
    assert heard.header("Content-Range") == content_range
    assert heard.header("Content-Type") == "application/octet-stream"
    assert heard.header("Transfer-Encoding") is None


async def test_a_location_is_sent_back_byte_for_byte_through_the_whole_upload(connect: Connect) -> None:
    signed = [f"/up/{number}?X-Sig=a%2Fb%2f%7e+c%20&e=&f==&n={number}" for number in range(3)]
    replies = [(202, [f"Location: {location}"]) for location in signed]
    async with listening(answering(*replies, (201, []))) as peer:
        client = connect(peer.address)
        location = (await client.perform("app", Open())).location
        for number in range(2):
            assert location == peer.url + signed[number]
            location = (await client.perform("app", Patch(location, number, number + 1), Pieces(b"x"))).location
        assert location is not None
        await client.perform("app", Put(location, DIGEST))
    targets = [heard.target for heard in peer.heard[1:]]
    assert targets == [signed[0], signed[1], f"{signed[2]}&digest=sha256%3A{DIGEST.encoded}"]


async def test_a_fragment_of_a_location_does_not_swallow_the_digest(connect: Connect) -> None:
    async with listening(answering((202, ["Location: /up?a=b#part"]), (201, []))) as peer:
        client = connect(peer.address)
        location = (await client.perform("app", Open())).location
        assert location is not None
        await client.perform("app", Put(location, DIGEST))
    assert peer.heard[1].target == f"/up?a=b&digest=sha256%3A{DIGEST.encoded}"


async def test_a_whole_upload_lands(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(relative_location=True, newest_location_only=True)
    client = connect(registry.address)
    digest = Digest.of(b"abcdef")
    assert (await client.perform("app", Head(digest))).status == 404
    location = (await client.perform("app", Open())).location
    assert location is not None
    location = (await client.perform("app", Patch(location, 0, 3), Pieces(b"abc"))).location
    assert location is not None
    reply = await client.perform("app", Status(location))
    assert (reply.status, reply.range) == (204, "0-2")
    assert reply.location is not None
    location = (await client.perform("app", Patch(reply.location, 3, 6), Pieces(b"def"))).location
    assert location is not None
    reply = await client.perform("app", Put(location, digest))
    assert (reply.status, reply.digest) == (201, str(digest))
    reply = await client.perform("app", Head(digest))
    assert (reply.status, reply.length) == (200, 6)


async def test_an_empty_blob_lands(registry: FakeRegistry, connect: Connect) -> None:
    client = connect(registry.address)
    location = (await client.perform("app", Open())).location
    assert location is not None
    assert (await client.perform("app", Single(location, Digest.of(b""), 0), Pieces())).status == 201
    assert registry.repository("app").blobs[str(Digest.of(b""))].size == 0


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 413, 416, 429, 500, 503])
async def test_whatever_the_status_of_an_upload_it_is_a_reply(
    registry: FakeRegistry, connect: Connect, status: int
) -> None:
    registry.misbehave(Answer(status=status), kind=Kind.OPEN)
    assert (await connect(registry.address).perform("app", Open())).status == status


@pytest.mark.parametrize(
    "location", ["http://[::1/up", "ftp://x/y", "/\xff\xfe", "http://u:p@x/y", "http://x:1234567/"]
)
async def test_a_location_that_is_no_address_is_a_reply_without_one(connect: Connect, location: str) -> None:
    async def raw(line: Line) -> None:
        await line.request()
        await line.say(f"HTTP/1.1 202 Ok\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode("latin-1"))

    async with listening(raw) as peer:
        reply = await connect(peer.address).perform("app", Open())
    assert (reply.status, reply.location) == (202, None)


@pytest.mark.parametrize("location", ["http://[::1/up", "nonsense", "", "http://127.0.0.1:99999/", "/up\udcff"])
async def test_a_checkpoint_with_a_location_that_is_no_address_is_an_error(connect: Connect, location: str) -> None:
    for request, body in (
        (Patch(location, 0, 1), Pieces(b"x")),
        (Put(location, DIGEST), None),
        (Status(location), None),
        (Cancel(location), None),
    ):
        with pytest.raises(RegistryError) as caught:
            await connect("127.0.0.1:1").perform("app", request, body)
        assert caught.value.code is Code.REGISTRY_MALFORMED


# ----------------------------------------------------------------------------------------------------- redirects


CHANGES = [
    (lambda url: Open(), None),
    (lambda url: Patch(f"{url}/up", 0, 1), Pieces(b"x")),
    (lambda url: Put(f"{url}/up", DIGEST), None),
    (lambda url: Single(f"{url}/up", DIGEST, 1), Pieces(b"x")),
    (lambda url: Cancel(f"{url}/up"), None),
]


@pytest.mark.parametrize(
    ("request_for", "body", "status"),
    [
        (request_for, body, status)
        for request_for, body in CHANGES
        for status in (301, 302, 303, 307, 308)
        if body is not None or status < 307
    ],
)
async def test_what_changes_something_follows_no_redirect_that_would_change_its_method_or_needs_its_body_again(
    connect: Connect, status: int, request_for: Callable[[str], Request], body: Pieces | None
) -> None:
    async with (
        listening(answering((200, []))) as elsewhere,
        listening(answering((status, [f"Location: {elsewhere.url}/there"]))) as peer,
    ):
        reply = await connect(peer.address).perform("app", request_for(peer.url), body)
    assert (reply.status, reply.location) == (status, f"{elsewhere.url}/there")
    assert elsewhere.heard == []
    assert len(peer.heard) == 1


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("request_for", [request_for for request_for, body in CHANGES if body is None])
async def test_an_upload_without_bytes_goes_where_it_is_sent_as_the_same_request_and_as_nobody(
    connect: Connect, status: int, request_for: Callable[[str], Request]
) -> None:
    async with (
        listening(answering((202, []))) as elsewhere,
        listening(
            answering(
                (401, ['WWW-Authenticate: Basic realm="x"']), (status, [f"Location: {elsewhere.url}/there?sig=x"])
            )
        ) as peer,
    ):
        reply = await connect(peer.address, ALICE).perform("app", request_for(peer.url))
    assert reply.status == 202
    (there,) = elsewhere.heard
    assert (there.method, there.target) == (peer.heard[-1].method, "/there?sig=x")
    assert peer.heard[-1].header("Authorization") == ALICE.basic
    assert there.header("Authorization") is None


async def test_bytes_that_are_sent_elsewhere_go_to_that_very_address(connect: Connect) -> None:
    # A signed address breaks when a digest is added to it.
    async with listening(answering((201, []))) as elsewhere:
        client = connect(elsewhere.address)
        for request in (
            Patch("http://x/up", 0, 1, f"{elsewhere.url}/there?sig=x"),
            Stream("http://x/up", 0, 1, f"{elsewhere.url}/there?sig=x"),
            Single("http://x/up", DIGEST, 1, redirect=f"{elsewhere.url}/there?sig=x"),
            Put("http://x/up", DIGEST, 0, 1, f"{elsewhere.url}/there?sig=x"),
        ):
            await client.perform("app", request, Pieces(b"x"))
    assert [heard.target for heard in elsewhere.heard] == ["/there?sig=x"] * 4


@pytest.mark.parametrize("status", [301, 303, 307, 308])
@pytest.mark.parametrize(
    ("request_for", "body"),
    [
        (Cancel, None),
        (Status, None),
        (lambda location: Patch(location, 0, 1), Pieces(b"x")),
        (lambda location: Put(location, DIGEST, 0, 1), Pieces(b"x")),
        (lambda location: Put(location, DIGEST), None),
    ],
)
async def test_a_storage_sends_us_nowhere_in_our_name(
    connect: Connect, status: int, request_for: Callable[[str], Request], body: Pieces | None
) -> None:
    """Else whoever has the storage has the registry delete a manifest, or keep a blob as one, with our password."""
    challenge = (401, ['WWW-Authenticate: Basic realm="x"'])
    async with listening(answering(challenge, (404, []))) as peer:
        client = connect(peer.address, ALICE)
        assert await client.head_manifest("app", "1") is None
        back = f"Location: {peer.url}/v2/app/manifests/latest"
        async with listening(answering((status, [back]))) as storage:
            reply = await client.perform("app", request_for(f"{storage.url}/up"), body)
    assert [heard.method for heard in peer.heard] == ["HEAD", "HEAD"]
    assert len(storage.heard) == 1
    assert (reply.status, reply.location) == (status, None)


async def test_nor_does_a_manifest(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(redirect("https://elsewhere.example/v2/?key=s3cr3t"), kind=Kind.MANIFEST)
    error = await refused(connect(registry.address).put_manifest("app", "1", MANIFEST, MEDIA_TYPE))
    assert error.code is Code.REGISTRY_REDIRECTED
    assert "https://elsewhere.example/v2/" in error.detail
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_question_follows_three_redirects(connect: Connect, status: int) -> None:
    hops = [(status, [f"Location: /hop/{number}"]) for number in range(3)]
    async with listening(answering(*hops, (200, [f"Docker-Content-Digest: {DIGEST}"]))) as peer:
        assert await connect(peer.address).head_manifest("app", "1") == DIGEST
    assert [heard.method for heard in peer.heard] == ["HEAD"] * 4
    assert [heard.target for heard in peer.heard[1:]] == ["/hop/0", "/hop/1", "/hop/2"]


async def test_and_no_more(connect: Connect) -> None:
    async with listening(answering((307, ["Location: /again?key=s3cr3t"]))) as peer:
        error = await refused(connect(peer.address).head_manifest("app", "1"))
    assert error.code is Code.REGISTRY_REDIRECTED
    assert "s3cr3t" not in str(error)
    assert len(peer.heard) == 4


async def test_a_relative_redirect_is_relative_to_where_it_was_given(connect: Connect) -> None:
    async with (
        listening(answering((307, ["Location: further"]), (204, ["Location: 2"]))) as elsewhere,
        listening(answering((307, [f"Location: {elsewhere.url}/a/b"]))) as peer,
    ):
        reply = await connect(peer.address).perform("app", Status(f"{peer.url}/up"))
    assert [heard.target for heard in elsewhere.heard] == ["/a/b", "/a/further"]
    assert reply.location == f"{elsewhere.url}/a/2"


@pytest.mark.parametrize("location", [None, "", "http://[::1", "file:///etc/passwd", "ftp://x/y"])
async def test_a_redirect_to_nowhere_is_the_answer(connect: Connect, location: str | None) -> None:
    headers = [] if location is None else [f"Location: {location}"]
    async with listening(answering((307, headers))) as peer:
        error = await refused(connect(peer.address).head_manifest("app", "1"))
    assert error.code is Code.REGISTRY_REDIRECTED
    assert len(peer.heard) == 1


async def refused(asked: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await asked
    error = caught.value
    assert str(error).isprintable()
    return error
