"""Tokens: for which scopes, by which way of asking, and what becomes of what was refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlsplit

import anyio
import anyio.lowlevel
import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.upload import Cancel, Mount, Open, Patch
from pushd.registry import Settings
from pushd.registry.client import RegistryClient
from tests.unit.registry.bodies import Pieces
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pushd.registry import Wire
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Heard, Line, Peer

DIGEST = Digest.of(b"x")
FOUND = f"Docker-Content-Digest: {DIGEST}"
CANARY = "s3cr3t-canary"
ALICE = Credential("docker-config", "alice", CANARY)
TOKEN = Credential("docker-config", "alice", identity_token=CANARY)


def issuing(*documents: Mapping[str, object]) -> Callable[[Line], Awaitable[None]]:
    return answering(*((200, ["Content-Type: application/json"], json.dumps(each).encode()) for each in documents))


def guard(accepted: Callable[[Heard], bool], challenge: str) -> Callable[[Line], Awaitable[None]]:
    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if accepted(heard):
                await line.answer(202 if heard.method == "POST" else 200, FOUND)
            else:
                await line.answer(401, f"WWW-Authenticate: {challenge}")

    return script


def bearer(realm: Peer, more: str = "") -> str:
    return f'Bearer realm="{realm.url}/token",service="it"{more}'


def with_token(*values: str) -> Callable[[Heard], bool]:
    return lambda heard: heard.header("Authorization") in {f"Bearer {value}" for value in values}


def scopes(heard: Heard) -> list[str]:
    return [value for name, value in parse_qsl(urlsplit(heard.target).query) if name == "scope"]


# -------------------------------------------------------------------------------------------------------- scopes


async def test_a_mount_asks_to_pull_from_the_other_repository_and_names_the_destination_first(connect: Connect) -> None:
    async with listening(issuing({"token": "t"})) as realm, listening(guard(with_token("t"), bearer(realm))) as peer:
        client = connect(peer.address, ALICE)
        await client.perform("app", Mount(DIGEST, "base"))
        await client.perform("app", Open())
        await client.perform("app", Mount(DIGEST, "base"))
    assert [scopes(heard) for heard in realm.heard] == [
        ["repository:app:push,pull", "repository:base:pull"],
        ["repository:app:push,pull"],
    ]


async def test_deleting_an_upload_asks_for_the_right_to(connect: Connect) -> None:
    async with listening(issuing({"token": "t"})) as realm, listening(guard(with_token("t"), bearer(realm))) as peer:
        await connect(peer.address, ALICE).perform("app", Cancel(f"{peer.url}/up"))
    assert scopes(realm.heard[0]) == ["repository:app:push,pull,delete"]


async def test_a_right_that_is_missing_is_not_asked_for_twice_and_says_denied(connect: Connect) -> None:
    async with listening(issuing({"token": "t"})) as realm:
        more = ',scope="repository:app:pull,push",error="insufficient_scope"'
        async with listening(guard(with_token(), bearer(realm, more))) as peer:
            client = connect(peer.address, ALICE)
            for _ in range(3):
                with pytest.raises(RegistryError) as caught:
                    await client.head_manifest("app", "1")
                assert caught.value.code is Code.REGISTRY_DENIED
    assert len(realm.heard) == 1


async def test_to_nobody_a_right_that_is_missing_means_to_log_in(connect: Connect) -> None:
    async with listening(issuing({"token": "t"})) as realm:
        more = ',scope="repository:app:pull,push",error="insufficient_scope"'
        async with listening(guard(with_token(), bearer(realm, more))) as peer:
            with pytest.raises(RegistryError) as caught:
                await connect(peer.address).head_manifest("app", "1")
    assert caught.value.code is Code.REGISTRY_UNAUTHORIZED


async def test_a_challenge_that_wants_more_than_we_asked_for_gets_it(connect: Connect) -> None:
    async with listening(issuing({"token": "one"}, {"token": "two"})) as realm:
        more = ',scope="repository:app:pull,push,annotate",error="insufficient_scope"'
        async with listening(guard(with_token("two"), bearer(realm, more))) as peer:
            assert await connect(peer.address, ALICE).head_manifest("app", "1") == DIGEST
    assert [scopes(heard) for heard in realm.heard] == [
        ["repository:app:push,pull"],
        ["repository:app:push,pull,annotate"],
    ]


async def test_a_mount_that_is_forbidden_costs_one_token_however_many_blobs_there_are(connect: Connect) -> None:
    fresh = ({"token": f"t{number}"} for number in range(50))

    async def issue(line: Line) -> None:
        while True:
            await line.request()
            await line.answer(200, body=json.dumps(next(fresh)).encode())

    def accepted(heard: Heard) -> bool:
        return bool(heard.header("Authorization")) and "from=" not in heard.target

    # As Harbor has it: a 401 that does not say what is wrong.
    async with listening(issue) as realm, listening(guard(accepted, bearer(realm))) as peer:
        client = connect(peer.address, ALICE)
        for _ in range(5):
            assert (await client.perform("app", Mount(DIGEST, "base"))).status == 401
            assert (await client.perform("app", Open())).status == 202
    assert len(realm.heard) == 3, "one for the upload; for the mount one, and one more in case it had ended"


# ------------------------------------------------------------------------------------------------ ways of asking


async def test_an_identity_token_is_sent_by_post_and_nowhere_else(connect: Connect) -> None:
    async with (
        listening(issuing({"access_token": "t", "expires_in": 300})) as realm,
        listening(guard(with_token("t"), bearer(realm))) as peer,
    ):
        assert await connect(peer.address, TOKEN).head_manifest("app", "1") == DIGEST
    (asked,) = realm.heard
    assert (asked.method, asked.target) == ("POST", "/token")
    assert asked.header("Authorization") is None
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["it"],
        "client_id": ["pushd"],
        "scope": ["repository:app:push,pull"],
        "refresh_token": [CANARY],
    }
    assert all(CANARY not in (heard.header("Authorization") or "") for heard in peer.heard)


async def test_an_identity_token_that_the_service_replaces_is_replaced(connect: Connect) -> None:
    async with (
        listening(issuing({"token": "t", "refresh_token": "next"})) as realm,
        listening(guard(with_token("t"), bearer(realm))) as peer,
    ):
        client = connect(peer.address, TOKEN)
        await client.head_manifest("a", "1")
        await client.head_manifest("b", "1")
    assert [parse_qs(heard.body.decode())["refresh_token"] for heard in realm.heard] == [[CANARY], ["next"]]


@pytest.mark.parametrize("status", [400, 401])
async def test_an_identity_token_that_is_refused_says_so(connect: Connect, status: int) -> None:
    async with (
        listening(answering((status, [], b'{"error":"invalid_grant"}'))) as realm,
        listening(guard(with_token(), bearer(realm))) as peer,
    ):
        with pytest.raises(RegistryError) as caught:
            await connect(peer.address, TOKEN).head_manifest("app", "1")
    assert caught.value.code is Code.REGISTRY_UNAUTHORIZED
    assert CANARY not in str(caught.value)


async def test_a_registry_token_goes_to_the_registry_as_it_is(connect: Connect) -> None:
    given = Credential("docker-config", registry_token="given")
    async with listening(guard(with_token("given"), 'Bearer realm="https://auth.invalid/token"')) as peer:
        assert await connect(peer.address, given).head_manifest("app", "1") == DIGEST


async def test_a_credential_is_used_for_the_challenge_it_fits(connect: Connect) -> None:
    # Basic is offered first, and an identity token is no password.
    async with (
        listening(issuing({"token": "t"})) as realm,
        listening(guard(with_token("t"), f'Basic realm="x", {bearer(realm)}')) as peer,
    ):
        assert await connect(peer.address, TOKEN).head_manifest("app", "1") == DIGEST


# --------------------------------------------------------------------------------------------- looked up anew


class Renewal:
    """What stands where the credential was found, and how often was looked."""

    def __init__(self, *found: Credential | None) -> None:
        self.found = list(found)
        self.refused: list[Credential] = []

    async def __call__(self, refused: Credential) -> Credential | None:
        self.refused.append(refused)
        await anyio.lowlevel.checkpoint()
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


def renewing(wire: Wire, peer: Peer, renewal: Renewal) -> RegistryClient:
    return RegistryClient(peer.address, Settings(), ALICE, wire, renew=renewal)


BOB = Credential("docker-config", "bob", "new")
BASIC = 'Basic realm="x"'


async def test_a_password_that_was_refused_is_looked_up_anew_and_the_request_sent_again(wire: Wire) -> None:
    renewal = Renewal(BOB)
    async with listening(guard(lambda heard: heard.header("Authorization") == BOB.basic, BASIC)) as peer:
        client = renewing(wire, peer, renewal)
        assert await client.head_manifest("app", "1") == DIGEST
    assert renewal.refused == [ALICE]


async def test_a_password_that_expires_in_the_middle_costs_one_look(wire: Wire) -> None:
    renewal, good = Renewal(BOB), [ALICE]
    async with listening(guard(lambda heard: heard.header("Authorization") == good[0].basic, BASIC)) as peer:
        client = renewing(wire, peer, renewal)
        await client.head_manifest("app", "1")
        assert client.accepted
        good[0] = BOB

        async def ask() -> None:
            assert await client.head_manifest("app", "1") == DIGEST

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)
        body = Pieces(b"abc")
        assert (await client.perform("app", Patch(f"{peer.url}/up", 0, 3), body)).status == 200
    assert renewal.refused == [ALICE]


EXPIRED = json.dumps(
    {"errors": [{"code": "DENIED", "message": "Your authorization token has expired. Reauthenticate and try again."}]}
).encode()
"""As ECR has it (aws/aws-cli#6580)."""


async def test_a_token_of_ecr_that_has_expired_is_looked_up_anew_though_that_is_called_denied(wire: Wire) -> None:
    renewal, good = Renewal(BOB), [ALICE]

    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.header("Authorization") == good[0].basic:
                await line.answer(200, FOUND)
            elif heard.header("Authorization") is None:
                await line.answer(401, f"WWW-Authenticate: {BASIC}")
            else:
                await line.answer(403, "Content-Type: application/json", body=EXPIRED)

    async with listening(script) as peer:
        client = renewing(wire, peer, renewal)
        await client.head_manifest("app", "1")
        good[0] = BOB
        # Said in the middle of a body, it is a 401 to whoever sends it, and so sent again.
        reply = await client.perform("app", Patch(f"{peer.url}/up", 0, 3), Pieces(b"abc"))
        assert reply.status == 401
        assert (await client.perform("app", Patch(f"{peer.url}/up", 0, 3), Pieces(b"abc"))).status == 200
        assert renewal.refused == [ALICE]
        good[0] = ALICE
        renewal.found = [None]
        with pytest.raises(RegistryError) as caught:
            await client.put_manifest("app", "1", b"{}", "x/y")
    assert caught.value.code is Code.REGISTRY_UNAUTHORIZED


async def test_a_question_without_words_in_its_answer_is_asked_again_with(wire: Wire) -> None:
    renewal = Renewal(BOB)

    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.header("Authorization") is None:
                await line.answer(401, f"WWW-Authenticate: {BASIC}")
            elif heard.header("Authorization") == BOB.basic:
                await line.answer(200, FOUND)
            else:
                await line.answer(
                    403, "Content-Type: application/json", body=b"" if heard.method == "HEAD" else EXPIRED
                )

    async with listening(script) as peer:
        assert await renewing(wire, peer, renewal).head_manifest("app", "1") == DIGEST
    assert [heard.method for heard in peer.heard] == ["HEAD", "HEAD", "GET", "GET"]


async def test_any_other_403_is_a_right_that_is_missing(connect: Connect) -> None:
    body = b'{"errors":[{"code":"DENIED","message":"not for you"}]}'
    async with listening(answering((403, ["Content-Type: application/json"], body))) as peer:
        with pytest.raises(RegistryError) as caught:
            await connect(peer.address, ALICE).put_manifest("app", "1", b"{}", "x/y")
    assert caught.value.code is Code.REGISTRY_DENIED


async def test_a_password_that_the_token_service_refuses_is_looked_up_anew(wire: Wire) -> None:
    renewal = Renewal(BOB)

    async def issue(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.header("Authorization") == BOB.basic:
                await line.answer(200, body=b'{"token":"t"}')
            else:
                await line.answer(401)

    async with listening(issue) as realm, listening(guard(with_token("t"), bearer(realm))) as peer:
        assert await renewing(wire, peer, renewal).head_manifest("app", "1") == DIGEST
    assert renewal.refused == [ALICE]


@pytest.mark.parametrize("found", [None, ALICE])
async def test_where_nothing_new_is_found_the_refusal_stands(wire: Wire, found: Credential | None) -> None:
    async with listening(guard(with_token(), BASIC)) as peer:
        client = renewing(wire, peer, Renewal(found))
        with pytest.raises(RegistryError) as caught:
            await client.head_manifest("app", "1")
        assert not client.accepted
    assert caught.value.code is Code.REGISTRY_UNAUTHORIZED
    assert len(peer.heard) == 2


# -------------------------------------------------------------------------------------------------- is it taken


async def test_a_credential_can_be_tried_without_a_repository(connect: Connect) -> None:
    async with listening(issuing({"token": "t"})) as realm, listening(guard(with_token("t"), bearer(realm))) as peer:
        assert await connect(peer.address, ALICE).verify() is True
    assert scopes(realm.heard[0]) == []
    assert [heard.target for heard in peer.heard][-1] == "/v2/"


async def test_trying_it_asks_for_a_new_token_each_time(connect: Connect) -> None:
    async with listening(issuing({"token": "t"})) as realm, listening(guard(with_token("t"), bearer(realm))) as peer:
        client = connect(peer.address, ALICE)
        for _ in range(2):
            assert await client.verify() is True
    assert len(realm.heard) == 2


async def test_one_that_is_not_taken_is_told_apart_from_a_registry_that_asks_for_none(connect: Connect) -> None:
    async with listening(guard(with_token(), BASIC)) as peer:
        assert await connect(peer.address, ALICE).verify() is False
    async with listening(answering((401, []))) as realm, listening(guard(with_token(), bearer(realm))) as peer:
        assert await connect(peer.address, ALICE).verify() is False
    async with listening(answering((200, []))) as peer:
        assert await connect(peer.address, ALICE).verify() is None
    async with listening(answering((503, []))) as peer:
        with pytest.raises(RegistryError):
            await connect(peer.address, ALICE).verify()


# ------------------------------------------------------------------------------------------------ nothing shows


async def test_nothing_that_holds_a_token_shows_it(connect: Connect) -> None:
    async with (
        listening(issuing({"token": CANARY, "refresh_token": CANARY})) as realm,
        listening(guard(with_token(CANARY), bearer(realm))) as peer,
    ):
        client = connect(peer.address, TOKEN)
        await client.head_manifest("app", "1")
    authorizer = client._authorizer
    assert CANARY not in repr(authorizer._tokens)
    assert CANARY not in repr(authorizer.credential)
