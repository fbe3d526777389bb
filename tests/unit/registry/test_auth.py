"""Authorisation: which header goes where, learned from which challenge."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError
from pushd.oci.challenge import Challenge
from pushd.oci.digest import Digest
from pushd.oci.upload import Open, Patch
from tests.fakes.behaviour import Basic, Bearer, Behaviour
from tests.fakes.faults import Answer, When
from tests.fakes.traffic import Kind
from tests.unit.registry.bodies import Pieces, large
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushd.registry.client import RegistryClient
    from tests.fakes.registry import FakeRegistry
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Line, Peer

ACCOUNT = Basic("alice", "correct horse")
ALICE = Credential("docker-config", "alice", "correct horse")
BASIC = ALICE.basic or ""
MALLORY = Credential("docker-config", "alice", "wrong")
DIGEST = Digest.of(b"x")
FOUND = f"Docker-Content-Digest: {DIGEST}"
CANARY = "s3cr3t-canary"


def guard(challenge: str, *accepted: str) -> Callable[[Line], Awaitable[None]]:
    """Give a registry's script: 401 with these header lines, unless Authorization is one of those accepted."""

    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.header("Authorization") in accepted:
                await line.answer(200, FOUND)
            else:
                await line.answer(401, *challenge.split("\n"))

    return script


def token(value: str = "t", **more: object) -> tuple[int, list[str], bytes]:
    return 200, ["Content-Type: application/json"], json.dumps({"token": value, **more}).encode()


def bearer(realm: Peer, query: str = "") -> str:
    return f'WWW-Authenticate: Bearer realm="{realm.url}/token{query}",service="it"'


def authorizations(peer: Peer) -> list[str | None]:
    return [heard.header("Authorization") for heard in peer.heard]


async def refused(client: RegistryClient) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await client.head_manifest("app", "1")
    error = caught.value
    for shown in (str(error), repr(error)):
        assert shown.isprintable()
        assert CANARY not in shown
        assert ALICE.password not in shown
        assert BASIC not in shown
    return error


# ---------------------------------------------------------------------------------------------- none and basic


async def test_nothing_is_sent_while_nothing_is_asked_for(registry: FakeRegistry, connect: Connect) -> None:
    await connect(registry.address, ALICE).head_manifest("app", "1")
    assert "Authorization" not in registry.requests[0].headers


async def test_basic_is_sent_once_asked_for_and_from_then_on_at_once(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(auth=ACCOUNT)
    client = connect(registry.address, ALICE)
    await client.head_manifest("app", "1")
    await client.head_manifest("other", "1")
    assert [seen.status for seen in registry.requests] == [401, 404, 404]


async def test_a_wrong_password_is_tried_once(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(auth=ACCOUNT)
    error = await refused(connect(registry.address, MALLORY))
    assert error.code is Code.REGISTRY_UNAUTHORIZED
    assert "docker login" in error.hint
    assert [seen.status for seen in registry.requests] == [401, 401]


async def test_without_a_credential_there_is_nothing_to_send(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(auth=ACCOUNT)
    assert (await refused(connect(registry.address))).code is Code.REGISTRY_UNAUTHORIZED
    assert registry.count() == 1


async def test_a_401_without_a_challenge_is_the_answer(connect: Connect) -> None:
    async with listening(answering((401, []))) as peer:
        assert (await refused(connect(peer.address, ALICE))).code is Code.REGISTRY_UNAUTHORIZED
    assert len(peer.heard) == 1


# ------------------------------------------------------------------------------------------------------ bearer


async def test_a_token_is_asked_for_with_our_name_and_sent_from_then_on(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    for _ in range(3):
        assert await client.head_manifest("team/app", "1") is None
    (asked,) = registry.seen(Kind.TOKEN)
    assert asked.headers["Authorization"] == BASIC
    assert dict(asked.query) == {
        "service": "fake-registry",
        "account": "alice",
        "scope": "repository:team/app:push,pull",
    }
    assert [seen.status for seen in registry.seen(Kind.MANIFEST)] == [401, 404, 404, 404]
    assert all(seen.headers["Authorization"].startswith("Bearer ") for seen in registry.seen(Kind.MANIFEST)[1:])


async def test_without_a_credential_a_token_is_asked_for_by_nobody(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=None))
    assert (await connect(registry.address).perform("app", Open())).status == 202
    (asked,) = registry.seen(Kind.TOKEN)
    assert "Authorization" not in asked.headers


async def test_each_repository_has_a_token_of_its_own_asked_for_before_it_is_refused(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    for name in ("a", "b", "a", "b"):
        await client.head_manifest(name, "1")
    assert [seen.query["scope"] for seen in registry.seen(Kind.TOKEN)] == [
        "repository:a:push,pull",
        "repository:b:push,pull",
    ]
    assert [seen.status for seen in registry.seen(Kind.MANIFEST)] == [401, 404, 404, 404, 404]


@pytest.mark.parametrize(
    "challenge",
    [
        'WWW-Authenticate: Bearer realm="{url}/token",service="it"',
        "WWW-Authenticate: bearer realm={url}/token,service=it",
        'www-authenticate: BEARER   service = "it" ,  REALM="{url}/token" , error="invalid_token"',
        'WWW-Authenticate: Negotiate, Bearer realm="{url}/token", service="it", Digest realm="x, y", nonce="a\\"b"',
        'WWW-Authenticate: Digest realm="x"\nWWW-Authenticate: Bearer realm="{url}/token",service="it"',
        'WWW-Authenticate: Bearer realm="\\{url}/token",service="i\\t"',
        'WWW-Authenticate: Bearer error="x"\nWWW-Authenticate: Bearer realm="{url}/token",service="it"',
    ],
)
async def test_a_challenge_is_understood_however_it_is_written(connect: Connect, challenge: str) -> None:
    async with (
        listening(answering(token())) as realm,
        listening(guard(challenge.replace("{url}", realm.url), "Bearer t")) as peer,
    ):
        assert await connect(peer.address, ALICE).head_manifest("app", "1") == DIGEST
    (asked,) = realm.heard
    assert parse_qs(urlsplit(asked.target).query) == {
        "service": ["it"],
        "account": ["alice"],
        "scope": ["repository:app:push,pull"],
    }
    assert asked.header("Authorization") == BASIC


async def test_a_realm_with_a_query_of_its_own_keeps_it_byte_for_byte(connect: Connect) -> None:
    async with (
        listening(answering(token())) as realm,
        listening(guard(bearer(realm, "?account=a%2Fb+c&sig=%7e"), "Bearer t")) as peer,
    ):
        await connect(peer.address).head_manifest("app", "1")
    assert realm.heard[0].target.startswith("/token?account=a%2Fb+c&sig=%7e&service=it&scope=repository%3Aapp%3A")


async def test_a_challenge_without_a_service_asks_without_one(connect: Connect) -> None:
    async with (
        listening(answering(token())) as realm,
        listening(guard(f'WWW-Authenticate: Bearer realm="{realm.url}/token"', "Bearer t")) as peer,
    ):
        await connect(peer.address).head_manifest("app", "1")
    assert "service" not in realm.heard[0].target


@pytest.mark.parametrize(
    "document",
    [{"access_token": "t"}, {"token": "", "access_token": "t"}, {"token": "t", "access_token": "other"}],
)
async def test_a_token_has_two_names(connect: Connect, document: dict[str, str]) -> None:
    async with (
        listening(answering((200, [], json.dumps(document).encode()))) as realm,
        listening(guard(bearer(realm), "Bearer t")) as peer,
    ):
        assert await connect(peer.address).head_manifest("app", "1") == DIGEST


async def test_a_registry_that_turns_from_basic_to_bearer_is_followed_and_back(connect: Connect) -> None:
    async with listening(answering(token())) as realm:
        basic = ('WWW-Authenticate: Basic realm="x"', BASIC)
        moods = [basic, (bearer(realm), "Bearer t"), basic]

        async def script(line: Line) -> None:
            while True:
                heard = await line.request()
                challenge, accepted = moods[0]
                right = heard.header("Authorization") == accepted
                await line.answer(200 if right else 401, FOUND if right else challenge)

        async with listening(script) as peer:
            client = connect(peer.address, ALICE)
            while moods:
                assert await client.head_manifest("app", "1") == DIGEST
                assert await client.head_manifest("app", "2") == DIGEST
                moods.pop(0)
    assert len(realm.heard) == 1


# ----------------------------------------------------------------------------------------------- a token's life


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that lets seconds pass."""
    passed = 0.0
    now = anyio.current_time

    def move(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(anyio, "current_time", lambda: now() + passed)
    return move


@pytest.mark.parametrize(
    ("document", "good", "stale"),
    [
        ({"expires_in": 300}, 200, 300),
        ({"expires_in": 300.5}, 200, 301),
        ({}, 40, 60),
        ({"expires_in": None}, 40, 60),
        ({"expires_in": 0}, 40, 60),
        ({"expires_in": "300"}, 40, 60),
        ({"expires_in": True}, 40, 60),
        ({"expires_in": [300]}, 40, 60),
        ({"expires_in": 1e300}, 1e8, None),
        ({"expires_in": 10**400}, 1e8, None),
    ],
)
async def test_a_token_is_renewed_before_it_ends(
    connect: Connect,
    later: Callable[[float], None],
    document: dict[str, object],
    good: float,
    stale: float | None,
) -> None:
    async with (
        listening(answering(token("one", **document), token("two", **document))) as realm,
        listening(guard(bearer(realm), "Bearer one", "Bearer two")) as peer,
    ):
        client = connect(peer.address)
        await client.head_manifest("app", "1")
        later(good)
        await client.head_manifest("app", "1")
        assert len(realm.heard) == 1
        if stale is not None:
            later(stale - good)
            await client.head_manifest("app", "1")
            assert len(realm.heard) == 2
            assert authorizations(peer)[-1] == "Bearer two"
    assert authorizations(peer).count(None) == 1, "no request was refused for the sake of a renewal"


async def test_a_token_that_is_refused_is_replaced_and_the_request_sent_again(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    await client.head_manifest("app", "1")
    registry.forget_tokens()
    content = b'{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    stored = await client.put_manifest("app", "1", content, "application/vnd.oci.image.index.v1+json")
    assert stored.digest == Digest.of(content)
    assert registry.count(Kind.TOKEN) == 2
    assert [seen.status for seen in registry.seen(method="PUT")] == [401, 201]


async def test_a_body_that_met_a_401_is_not_sent_again_but_the_next_request_is_authorised_anew(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    location = (await client.perform("app", Open())).location
    assert location is not None
    registry.forget_tokens()
    body = Pieces(b"abc")
    assert (await client.perform("app", Patch(location, 0, 3), body)).status == 401
    assert body.begun == 1
    assert registry.count(Kind.TOKEN) == 2
    assert (await client.perform("app", Patch(location, 0, 3), Pieces(b"abc"))).status == 202
    assert registry.count(Kind.TOKEN) == 2
    assert [seen.status for seen in registry.seen(Kind.CHUNK)] == [401, 202]


async def test_an_early_401_while_a_large_body_travels_is_no_different(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    location = (await client.perform("app", Open())).location
    assert location is not None
    registry.forget_tokens()
    assert (await client.perform("app", Patch(location, 0, 64 << 20), large(64))).status == 401
    assert (await client.perform("app", Patch(location, 0, 3), Pieces(b"abc"))).status == 202


async def test_a_first_body_without_a_token_is_refused_and_the_second_goes_through(
    registry: FakeRegistry, connect: Connect
) -> None:
    # After a restart: the checkpoint holds a Location, and the first request is a PATCH.
    location = (await connect(registry.address).perform("app", Open())).location
    assert location is not None
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    statuses = [(await client.perform("app", Patch(location, 0, 3), Pieces(b"abc"))).status for _ in range(2)]
    assert statuses == [401, 202]


async def test_a_token_that_never_pleases_is_asked_for_a_bounded_number_of_times(connect: Connect) -> None:
    fresh = (token(f"t{number}") for number in range(100))

    async def issue(line: Line) -> None:
        while True:
            await line.request()
            status, headers, body = next(fresh)
            await line.answer(status, *headers, body=body)

    async with listening(issue) as realm, listening(guard(bearer(realm))) as peer:
        client = connect(peer.address, ALICE)
        assert (await refused(client)).code is Code.REGISTRY_UNAUTHORIZED
        assert len(realm.heard) == 2
        assert len(peer.heard) == 3


async def test_a_service_that_gives_the_same_refused_token_again_ends_it(connect: Connect) -> None:
    async with listening(answering(token("same"))) as realm, listening(guard(bearer(realm))) as peer:
        client = connect(peer.address, ALICE)
        await refused(client)
        await refused(client)
    assert len(peer.heard) <= 4
    assert len(realm.heard) <= 4


# ------------------------------------------------------------------------------------------------- single flight


async def test_fifty_requests_at_once_ask_for_one_token(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(client.head_manifest, "app", "1")
    assert registry.count(Kind.TOKEN) == 1
    assert sum(seen.status == 404 for seen in registry.seen(Kind.MANIFEST)) == 50


async def test_fifty_requests_whose_token_ended_ask_for_one_more(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    client = connect(registry.address, ALICE)
    await client.head_manifest("app", "1")
    registry.forget_tokens()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(client.head_manifest, "app", "1")
    assert registry.count(Kind.TOKEN) == 2


async def test_fifty_requests_share_the_failure_of_one_as_well(connect: Connect) -> None:
    failures: list[RegistryError] = []
    async with listening(answering((503, []))) as realm, listening(guard(bearer(realm))) as peer:
        client = connect(peer.address)

        async def ask() -> None:
            failures.append(await refused(client))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(ask)
        assert len(failures) == 50
        assert {error.code for error in failures} == {Code.REGISTRY_UNAVAILABLE}
        crowd = len(realm.heard)
        await refused(client)
        assert len(realm.heard) == crowd + 1, "who comes later asks again"
    assert crowd <= 2


async def test_who_waits_is_served_when_the_one_who_asked_is_cancelled(connect: Connect) -> None:
    asked = anyio.Event()

    async def issue(line: Line) -> None:
        await line.request()
        if len(line.peer.heard) == 1:
            asked.set()
            await line.gone()
        await line.answer(*token()[:1], body=token()[2])

    async with listening(issue) as realm, listening(guard(bearer(realm), "Bearer t")) as peer:
        client = connect(peer.address)
        found: list[Digest | None] = []

        async def ask() -> None:
            found.append(await client.head_manifest("app", "1"))

        async with anyio.create_task_group() as others, anyio.create_task_group() as first:
            first.start_soon(ask)
            await asked.wait()
            for _ in range(3):
                others.start_soon(ask)
            await anyio.sleep(0.05)
            first.cancel_scope.cancel()
        assert found == [DIGEST] * 3
    assert len(realm.heard) == 2


async def test_a_service_slower_than_its_tokens_live_is_not_asked_by_one_after_the_other(connect: Connect) -> None:
    async def issue(line: Line) -> None:
        while True:
            await line.request()
            await anyio.sleep(0.05)
            await line.answer(*token(expires_in=0.01)[:1], body=token(expires_in=0.01)[2])

    async with listening(issue) as realm, listening(guard(bearer(realm), "Bearer t")) as peer:
        client = connect(peer.address)
        await client.head_manifest("app", "1")
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(client.head_manifest, "app", "1")
    assert len(realm.heard) <= 4


async def test_what_was_for_repositories_that_nobody_asks_for_is_forgotten(connect: Connect) -> None:
    async with listening(answering(token(expires_in=1e-9))) as realm, listening(answering((404, []))) as peer:
        authorizer = connect(peer.address)._authorizer
        authorizer._challenge = Challenge("bearer", {"realm": f"{realm.url}/token"})
        for number in range(1500):
            await authorizer.header((f"repository:app{number}:pull",))
    assert len(authorizer._fetching) <= 1024
    assert len(authorizer._tokens) <= 1024


async def test_a_failure_that_is_told_again_does_not_hold_on_to_what_it_went_through(connect: Connect) -> None:
    async with listening(answering((503, []))) as realm, listening(guard(bearer(realm))) as peer:
        client = connect(peer.address)
        failures: list[RegistryError] = []

        async def ask() -> None:
            failures.append(await refused(client))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask)
    assert len({id(error) for error in failures}) == 10
    assert {str(error) for error in failures} == {str(failures[0])}


# ---------------------------------------------------------------------------------------- a service that fails


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ((200, [], b"not json"), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b""), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b"\xff\xfe"), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":"\xff"}'), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b"[" * 1_000_000), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b"[]"), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b"null"), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b"{}"), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":null}'), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":""}'), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":7}'), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":["t"]}'), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], f'{{"token":"{CANARY}\\r\\nX: y"}}'.encode()), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], f'{{"token":"{CANARY} x"}}'.encode()), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], f'{{"token":"{CANARY}\u00fc"}}'.encode()), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], f'{{"token":"{CANARY}'.encode()), Code.REGISTRY_TOKEN_MISSING),
        ((200, ["Content-Type: text/html"], b"<html><h1>Log in</h1>"), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":"t","expires_in":-5}'), Code.REGISTRY_TOKEN_LIFE),
        ((200, [], b'{"token":"t","expires_in":-0.5}'), Code.REGISTRY_TOKEN_LIFE),
        ((200, [], b'{"token":"t","expires_in":-1e400}'), Code.REGISTRY_TOKEN_MISSING),
        ((200, [], b'{"token":"' + b"x" * (2 << 20) + b'"}'), Code.REGISTRY_TOKEN_TOO_LONG),
        ((204, [], b""), Code.REGISTRY_MALFORMED),
        ((302, ["Location: https://sso.example/?back=" + CANARY], b""), Code.REGISTRY_REDIRECTED),
        ((400, [], b""), Code.REGISTRY_REFUSED),
        ((401, ['WWW-Authenticate: Basic realm="x"'], b""), Code.REGISTRY_UNAUTHORIZED),
        ((403, [], b""), Code.REGISTRY_DENIED),
        ((404, [], b""), Code.REGISTRY_NOT_FOUND),
        ((500, [], b""), Code.REGISTRY_UNAVAILABLE),
        ((502, ["Content-Type: text/html"], b"<h1>Bad Gateway</h1>"), Code.REGISTRY_UNAVAILABLE),
    ],
)
async def test_a_service_that_gives_no_token_is_told_so(
    connect: Connect, reply: tuple[int, list[str], bytes], code: Code
) -> None:
    async with listening(answering(reply)) as realm, listening(guard(bearer(realm, f"?key={CANARY}"))) as peer:
        error = await refused(connect(peer.address, ALICE))
    assert error.code is code
    assert error.subject.startswith(peer.address)
    assert "token" in error.detail


async def test_a_throttled_service_says_for_how_long(connect: Connect) -> None:
    async with listening(answering((429, ["Retry-After: 17"]))) as realm, listening(guard(bearer(realm))) as peer:
        error = await refused(connect(peer.address, ALICE))
    assert error.code is Code.REGISTRY_THROTTLED
    assert error.retry_after == 17
    assert error.retryable


async def test_an_endless_token_is_not_read_to_its_end(connect: Connect) -> None:
    sent = 0

    async def issue(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.say('HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n{"token":"')
        for _ in range(100):
            await line.say(b"x" * (1 << 20))
            sent += 1

    async with listening(issue) as realm, listening(guard(bearer(realm))) as peer:
        assert (await refused(connect(peer.address))).code is Code.REGISTRY_TOKEN_TOO_LONG
    assert sent < 50


async def test_a_service_that_cannot_be_reached_is_named(connect: Connect) -> None:
    challenge = f'WWW-Authenticate: Bearer realm="https://auth.invalid/token?key={CANARY}",service="it"'
    async with listening(guard(challenge)) as peer:
        error = await refused(connect(peer.address, ALICE))
    assert error.code is Code.REGISTRY_UNRESOLVED
    assert "auth.invalid" in str(error)


# ------------------------------------------------------------------------------------- where credentials may go


@pytest.mark.parametrize(
    "realm",
    [
        "ftp://auth.example/token",
        "file:///etc/passwd",
        "/token",
        "token",
        "",
        "http://[::1/token",
        "https://",
        "https://auth.example:99999/token",
        "https://user:s3cr3t-canary@auth.example/token",
        "https://auth.example/to ken",
        "https://auth.example/\x1b[31m",
        "javascript:alert(1)",
    ],
)
async def test_a_realm_that_is_none_is_refused(connect: Connect, realm: str) -> None:
    async with listening(guard(f'WWW-Authenticate: Bearer realm="{realm}",service="it"')) as peer:
        error = await refused(connect(peer.address, ALICE))
    assert error.code is Code.REGISTRY_REALM_REFUSED
    assert "token" in error.detail


async def test_our_password_goes_to_no_other_host_over_plain_http(connect: Connect) -> None:
    challenge = f'WWW-Authenticate: Bearer realm="http://192.0.2.1/token?key={CANARY}",service="it"'
    async with listening(guard(challenge)) as peer:
        with anyio.fail_after(1):  # nobody is connected to
            error = await refused(connect(peer.address, ALICE))
    assert error.code is Code.REGISTRY_REALM_REFUSED
    assert "http://192.0.2.1/token" in error.detail


async def test_who_sends_no_password_may_ask_another_host_over_plain_http(connect: Connect) -> None:
    # The registry is spoken to in plain HTTP itself: nothing that matters less is at stake.
    async with listening(guard('WWW-Authenticate: Bearer realm="http://auth.invalid/token"', "Bearer t")) as peer:
        error = await refused(connect(peer.address))
    assert error.code is Code.REGISTRY_UNRESOLVED, "it was tried"


async def test_a_token_service_beside_a_registry_on_loopback_may_be_asked(connect: Connect) -> None:
    async with listening(answering(token())) as realm:
        challenge = f'WWW-Authenticate: Bearer realm="http://localhost:{realm.port}/token",service="it"'
        async with listening(guard(challenge, "Bearer t")) as peer:
            assert await connect(peer.address, ALICE).head_manifest("app", "1") == DIGEST
    assert authorizations(realm) == [BASIC]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_our_authorization_does_not_follow_a_redirect_to_another_origin(connect: Connect, status: int) -> None:
    async with listening(answering((200, [FOUND]))) as storage:

        async def script(line: Line) -> None:
            while True:
                heard = await line.request()
                if heard.header("Authorization") == BASIC:
                    await line.answer(status, f"Location: {storage.url}/blob?sig=x")
                else:
                    await line.answer(401, 'WWW-Authenticate: Basic realm="x"')

        async with listening(script) as peer:
            assert await connect(peer.address, ALICE).head_manifest("app", "1") == DIGEST
    assert authorizations(peer) == [None, BASIC]
    assert authorizations(storage) == [None]
    assert storage.heard[0].target == "/blob?sig=x"


async def test_the_same_port_of_another_host_name_is_another_origin(connect: Connect) -> None:
    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.target.startswith("/there"):
                await line.answer(200, FOUND)
            elif heard.header("Authorization"):
                await line.answer(307, f"Location: http://localhost:{line.peer.port}/there")
            else:
                await line.answer(401, 'WWW-Authenticate: Basic realm="x"')

    async with listening(script) as peer:
        await connect(peer.address, ALICE).head_manifest("app", "1")
    assert authorizations(peer) == [None, BASIC, None]


async def test_back_at_the_registry_a_redirect_is_authorised_again(connect: Connect) -> None:
    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if not heard.header("Authorization"):
                await line.answer(401, 'WWW-Authenticate: Basic realm="x"')
            elif heard.target.startswith("/there"):
                await line.answer(200, FOUND)
            else:
                await line.answer(307, "Location: /there")

    async with listening(script) as peer:
        assert await connect(peer.address, ALICE).head_manifest("app", "1") == DIGEST
    assert authorizations(peer) == [None, BASIC, BASIC]


async def test_a_host_we_were_redirected_to_cannot_ask_for_our_password(connect: Connect) -> None:
    async with listening(answering(token())) as thief:
        challenge = [f'WWW-Authenticate: Bearer realm="{thief.url}/token",service="it"']
        async with (
            listening(answering((401, challenge))) as storage,
            listening(answering((307, [f"Location: {storage.url}/blob"]))) as peer,
        ):
            error = await refused(connect(peer.address, ALICE))
    assert error.code is Code.REGISTRY_UNAUTHORIZED
    assert thief.heard == []


async def test_a_location_on_another_host_gets_no_authorization_and_cannot_ask_for_any(connect: Connect) -> None:
    challenge = 'WWW-Authenticate: Basic realm="x"'
    async with listening(answering((401, [challenge]))) as storage, listening(guard(challenge, BASIC)) as peer:
        client = connect(peer.address, ALICE)
        await client.head_manifest("app", "1")
        reply = await client.perform("app", Patch(f"{storage.url}/up?sig=x", 0, 3), Pieces(b"abc"))
        assert reply.status == 401
    assert authorizations(storage) == [None]


async def test_a_location_at_the_registry_under_another_spelling_is_authorised(connect: Connect) -> None:
    async with listening(guard('WWW-Authenticate: Basic realm="x"', BASIC)) as peer:
        client = connect(f"localhost:{peer.port}", ALICE)
        await client.head_manifest("app", "1")
        location = f"HTTP://LOCALHOST:{peer.port}/v2/app/blobs/uploads/1"
        assert (await client.perform("app", Patch(location, 0, 3), Pieces(b"abc"))).status == 200


async def test_a_registry_that_refuses_what_the_token_grants_says_denied(
    registry: FakeRegistry, connect: Connect
) -> None:
    registry.misbehave(Answer(When.ARRIVED, status=403), kind=Kind.MANIFEST, times=None)
    assert (await refused(connect(registry.address))).code is Code.REGISTRY_DENIED


def test_the_credential_in_these_tests_is_the_accounts() -> None:
    name, _, password = base64.b64decode(BASIC.removeprefix("Basic ")).decode().partition(":")
    assert (name, password) == (ACCOUNT.username, ACCOUNT.password)
