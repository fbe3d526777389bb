"""Whatever goes wrong, no error tells a secret: password, token, the query of a Location or of a realm."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import pytest

from pushd.credentials.credential import Credential
from pushd.errors import RegistryError
from pushd.oci.digest import Digest
from pushd.oci.reply import Reply, refusal
from pushd.oci.upload import Patch, Put, Single, Status
from pushd.registry.connector import Trip
from pushd.registry.faults import translated
from tests.unit.registry.bodies import Pieces, large
from tests.unit.registry.peers import answering, forever, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushd.oci.upload import Request
    from pushd.registry.bodies import Body
    from pushd.registry.client import RegistryClient
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Heard, Line

    Mood = Callable[[Line, Heard], Awaitable[None]]

PASSWORD = "canary-password"
TOKEN = "canary-token"
LOCATION = "canary-location"
REALM = "canary-realm"
ALICE = Credential("docker-config", "alice", PASSWORD)
SECRETS = (PASSWORD, TOKEN, LOCATION, REALM, base64.b64encode(f"alice:{PASSWORD}".encode()).decode())
DIGEST = Digest.of(b"x")


def saying(text: str) -> Mood:
    async def mood(line: Line, heard: Heard) -> None:
        await line.say(text)

    return mood


async def reset(line: Line, heard: Heard) -> None:
    line.reset()


async def reset_midway(line: Line, heard: Heard) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(line.reader.readexactly(100_000), 0.05)
    line.reset()


async def hang_up(line: Line, heard: Heard) -> None:
    """Say nothing: the connection is closed."""


async def stall(line: Line, heard: Heard) -> None:
    await forever()


async def redirect(line: Line, heard: Heard) -> None:
    await line.answer(307, f"Location: /again?{heard.target.partition('?')[2]}&key={LOCATION}")


async def misdirect(line: Line, heard: Heard) -> None:
    await line.answer(307, f"Location: http://[::1?key={LOCATION}")


async def refuse_to_redirect(line: Line, heard: Heard) -> None:
    await line.answer(307, f"Location: ftp://x/?key={LOCATION}")


def quoting(status: int, kind: str) -> Mood:
    async def mood(line: Line, heard: Heard) -> None:
        said = f"cannot {heard.method} {heard.target} with Authorization: {heard.header('Authorization')}"
        body = (
            json.dumps({"errors": [{"code": "UNKNOWN", "message": said, "detail": said}]}) if "json" in kind else said
        )
        await line.answer(status, f"Content-Type: {kind}", "Connection: close", body=body.encode())

    return mood


MOODS: list[Mood] = [
    reset,
    reset_midway,
    hang_up,
    stall,
    redirect,
    misdirect,
    refuse_to_redirect,
    saying("garbage\r\n\r\n"),
    saying("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"),
    saying("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n" + "x" * (5 << 20)),
    *(quoting(status, kind) for status in (401, 403, 404, 500) for kind in ("text/plain", "application/json")),
]


def authorising(mood: Mood) -> Callable[[Line], Awaitable[None]]:
    """Give a registry that wants a token, gives one, and then is in that mood."""

    async def script(line: Line) -> None:
        while True:
            heard = await line.head()
            if heard.target.startswith("/token"):
                await line.answer(200, body=json.dumps({"token": TOKEN}).encode())
            elif heard.header("Authorization") is None:
                realm = f"{line.peer.url}/token?key={REALM}"
                await line.answer(401, f'WWW-Authenticate: Bearer realm="{realm}",service="x"')
            else:
                await mood(line, heard)
                return

    return script


def discreet(error: RegistryError) -> None:
    shown = [str(error), repr(error), error.subject, error.detail, error.hint]
    for secret in SECRETS:
        assert not [text for text in shown if secret in text]
    assert str(error).isprintable()


async def failure(client: RegistryClient, request: Request, body: Body | None) -> None:
    try:
        reply = await client.perform("app", request, body)
    except RegistryError as error:
        discreet(error)
    else:
        assert isinstance(reply, Reply)
        discreet(refusal(reply, "registry.example/app", "to take a chunk"))


@pytest.mark.parametrize("mood", MOODS)
async def test_no_failure_of_an_upload_tells_a_secret(
    connect: Connect, mood: Mood, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening(authorising(mood), window=1 << 14) as peer:
        client = connect(peer.address, ALICE)
        # Without a body first: with it the token is learned before anything goes wrong.
        location = f"{peer.url}/v2/app/blobs/uploads/1?_state={LOCATION}"
        await failure(client, Status(location), None)
        await failure(client, Patch(location, 0, 8 << 20), large(8))
        await failure(client, Single(location, DIGEST, 1), Pieces(b"x"))
        await failure(client, Put(location, DIGEST), None)
    assert len(peer.heard) > 4
    for secret in SECRETS:
        assert secret not in caplog.text


@pytest.mark.parametrize("mood", [mood for mood in MOODS if mood is not stall])
async def test_no_failure_of_a_manifest_tells_a_secret(connect: Connect, mood: Mood) -> None:
    async with listening(authorising(mood)) as peer:
        client = connect(peer.address, ALICE)
        for asked in (client.head_manifest("app", "1"), client.put_manifest("app", "1", b"{}", "x/y")):
            with pytest.raises(RegistryError) as caught:
                await asked
            discreet(caught.value)


@pytest.mark.parametrize("mood", [mood for mood in MOODS if mood is not stall])
async def test_no_failure_of_a_token_service_tells_a_secret(connect: Connect, mood: Mood) -> None:
    async def script(line: Line) -> None:
        while True:
            heard = await line.head()
            if heard.target.startswith("/token"):
                await mood(line, heard)
                return
            realm = f"{line.peer.url}/token?key={REALM}"
            await line.answer(401, f'WWW-Authenticate: Bearer realm="{realm}",service="x"')

    async with listening(script) as peer:
        with pytest.raises(RegistryError) as caught:
            await connect(peer.address, ALICE).head_manifest("app", "1")
    discreet(caught.value)
    assert "token" in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "http://registry.invalid/up?_state={secret}",
        "http://127.0.0.1:{port}/up?_state={secret}",
        "https://127.0.0.1:{port}/up?_state={secret}",
        "http://[::1?_state={secret}",
        "nonsense?_state={secret}",
        "http://u:{secret}@127.0.0.1/up",
        "http://127.0.0.1:port/up?_state={secret}",
    ],
)
async def test_no_address_that_cannot_be_reached_tells_a_secret(connect: Connect, location: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = connect("127.0.0.1:1", ALICE)
    request = Patch(location.format(secret=LOCATION, port=port), 0, 1)
    with pytest.raises(RegistryError) as caught:
        await client.perform("app", request, Pieces(b"x"))
    discreet(caught.value)


async def test_what_is_shown_of_a_client_tells_no_secret(connect: Connect) -> None:
    client = connect("registry.example", ALICE)
    for shown in (repr(client), str(client), client.credential, client.name):
        assert PASSWORD not in shown


@pytest.mark.parametrize("number", [None, 32])
def test_what_the_library_says_of_a_write_that_failed_is_not_repeated(number: int | None) -> None:
    # Behind the door: it writes the whole address where the system's words should be, and only in rare moments.
    foreign = aiohttp.ClientOSError(
        number, f"Can not write request body for http://registry.example/?_state={LOCATION}"
    )
    error = translated(foreign, "registry.example/app", Trip("registry.example"))
    discreet(error)
    assert ("Broken pipe" in str(error)) is (number == 32)


SPELT = {
    "as it is": "wrong password {password} of alice",
    "as it came": "no such user: {basic}",
    "in a form": "cannot read u=alice&password={quoted}&grant_type=password",
    "in JSON": 'cannot read {{"user": "alice", "password": {json}}}',
    "at the end of what is shown": "x" * 190 + "{password}",
}
PROUD = Credential("docker-config", "alice", 'canary "päss"/+ word')


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
@pytest.mark.parametrize("spelt", SPELT)
async def test_a_registry_that_repeats_our_password_repeats_it_to_nobody(
    connect: Connect, spelt: str, kind: str
) -> None:
    text = SPELT[spelt].format(
        password=PROUD.password,
        basic=(PROUD.basic or "").removeprefix("Basic "),
        quoted=quote(PROUD.password, safe=""),
        json=json.dumps(PROUD.password),
    )
    body = json.dumps({"errors": [{"code": "DENIED", "message": text, "detail": text}]}) if "json" in kind else text
    challenge = (401, ['WWW-Authenticate: Basic realm="x"'])
    async with listening(answering(challenge, (403, [f"Content-Type: {kind}"], body.encode()))) as peer:
        with pytest.raises(RegistryError) as caught:
            await connect(peer.address, PROUD).put_manifest("app", "1", b"{}", "x/y")
    said = str(caught.value)
    assert "canary" not in said
    assert (PROUD.basic or "").removeprefix("Basic ")[:12] not in said
    assert "***" in said or "xxx" in said


async def test_a_token_service_that_repeats_an_identity_token_repeats_it_to_nobody(connect: Connect) -> None:
    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.method == "POST":
                await line.answer(
                    400, "Content-Type: text/plain", body=b"no such grant: " + heard.body[::-1][:60][::-1]
                )
            else:
                await line.answer(401, f'WWW-Authenticate: Bearer realm="{line.peer.url}/token",service="x"')

    credential = Credential("caller", identity_token="canary/identity+token")
    async with listening(script) as peer:
        with pytest.raises(RegistryError) as caught:
            await connect(peer.address, credential).head_manifest("app", "1")
    assert "canary" not in str(caught.value)
    assert "no such grant" in str(caught.value)


async def test_a_registry_that_repeats_a_token_repeats_it_to_nobody(connect: Connect) -> None:
    async def script(line: Line) -> None:
        while True:
            heard = await line.request()
            if heard.target.startswith("/token"):
                await line.answer(200, body=json.dumps({"token": TOKEN}).encode())
            elif heard.header("Authorization") is None:
                await line.answer(401, f'WWW-Authenticate: Bearer realm="{line.peer.url}/token",service="x"')
            else:
                await line.answer(403, "Content-Type: text/plain", body=f"the token ({TOKEN}) may not".encode())

    async with listening(script) as peer:
        with pytest.raises(RegistryError) as caught:
            await connect(peer.address, ALICE).put_manifest("app", "1", b"{}", "x/y")
    discreet(caught.value)
    assert "may not" in str(caught.value)
