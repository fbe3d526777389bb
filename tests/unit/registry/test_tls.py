"""TLS: whom it trusts, and what it says when it does not."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.upload import Open, Patch
from pushd.registry import Timeouts, Wire
from tests.unit.registry.bodies import large
from tests.unit.registry.peers import answering, forever, listening

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.registry.client import RegistryClient
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Line

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")

DIGEST = Digest.of(b"x")
FOUND = (200, [f"Docker-Content-Digest: {DIGEST}"])


@dataclass(frozen=True, slots=True)
class Authority:
    """A private authority: the file to trust it by, and a server it vouches for on loopback."""

    ca: str
    server: ssl.SSLContext


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", "req", "-x509", "-nodes", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    _openssl(
        folder,
        *key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=a private authority",
        "-addext",
        "keyUsage=critical,keyCertSign",
    )
    _openssl(
        folder, *key, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=registry",
        "-CA", "ca.pem", "-CAkey", "ca.key",
        "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    return Authority(str(folder / "ca.pem"), server)


async def refused(client: RegistryClient) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await client.head_manifest("app", "1")
    assert str(caught.value).isprintable()
    return caught.value


async def test_a_private_authority_is_trusted_where_it_is_named(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=authority.server) as peer:
        client = connect(peer.address, plain_http=False, ca=authority.ca)
        assert await client.head_manifest("app", "1") == DIGEST
        assert await client.head_manifest("app", "2") == DIGEST
    assert peer.connections == 1


async def test_and_nowhere_else(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=authority.server) as peer:
        error = await refused(connect(peer.address, plain_http=False))
    assert error.code is Code.REGISTRY_TLS
    assert not error.retryable
    assert "unable to get local issuer certificate" in error.detail
    assert "`ca`" in error.hint
    assert peer.heard == []


async def test_what_one_registry_trusts_another_on_the_same_wire_does_not(
    authority: Authority, connect: Connect
) -> None:
    async with listening(answering(FOUND), tls=authority.server) as peer:
        assert await connect(peer.address, plain_http=False, ca=authority.ca).head_manifest("app", "1") == DIGEST
        assert (await refused(connect(peer.address, plain_http=False))).code is Code.REGISTRY_TLS


async def test_a_storage_elsewhere_is_not_trusted_by_the_registrys_authority(
    authority: Authority, connect: Connect
) -> None:
    async with listening(answering(FOUND), tls=authority.server) as storage:
        redirect = (307, [f"Location: https://{storage.address}/blob"])
        async with listening(answering(redirect), tls=authority.server) as peer:
            error = await refused(connect(peer.address, plain_http=False, ca=authority.ca))
    assert error.code is Code.REGISTRY_TLS
    assert storage.heard == []


async def test_a_certificate_for_another_name_is_refused(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=authority.server) as peer:
        error = await refused(connect(f"localhost:{peer.port}", plain_http=False, ca=authority.ca))
    assert error.code is Code.REGISTRY_TLS
    assert "ostname mismatch" in error.detail


async def test_plain_http_where_tls_is_expected_is_told_so(connect: Connect) -> None:
    async def script(line: Line) -> None:
        await line.reader.read(100)  # the first bytes of a handshake, of which HTTP makes nothing
        await line.answer(400, "Connection: close")

    async with listening(script) as peer:
        error = await refused(connect(peer.address, plain_http=False))
    assert error.code is Code.REGISTRY_TLS
    assert "plain_http" in error.hint


async def test_tls_where_plain_http_is_spoken_is_told_so(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=authority.server) as peer:
        error = await refused(connect(peer.address))
    # What a server says to plain text is its own affair: an alert, an answer of its own, or nothing.
    assert error.code in (Code.REGISTRY_MALFORMED, Code.REGISTRY_INTERRUPTED)
    assert peer.heard == []


async def test_a_peer_that_never_finishes_the_handshake_is_given_up_in_time() -> None:
    async def script(line: Line) -> None:
        await forever()

    wire = Wire(Timeouts(connect=0.3, stall=5, commit=60, request=60))
    async with listening(script) as peer:
        with pytest.raises(RegistryError) as caught:
            await wire.exchange("GET", f"https://{peer.address}/", headers={}, subject="x")
    await wire.close()
    assert caught.value.code is Code.REGISTRY_UNREACHABLE


async def test_a_peer_that_hangs_up_in_the_handshake_leaves_nothing_but_an_error(connect: Connect) -> None:
    async def script(line: Line) -> None:
        await line.reader.read(100)
        line.reset()

    async with listening(script) as peer:
        error = await refused(connect(peer.address, plain_http=False))
    assert error.code in (Code.REGISTRY_UNREACHABLE, Code.REGISTRY_INTERRUPTED, Code.REGISTRY_TLS)


@pytest.mark.parametrize("content", [None, "", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_a_ca_that_cannot_be_used_is_told_each_time(
    tmp_path: Path, connect: Connect, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    client = connect("registry.invalid", ca=str(path))
    for _ in range(2):
        error = await refused(client)
        assert error.code is Code.REGISTRY_TLS
        assert error.subject == "registry.invalid"
        assert str(path) in error.detail
        assert error.hint
        assert "Errno" not in str(error)
        assert "_ssl" not in str(error)


async def test_a_ca_that_was_mended_is_used_without_a_restart(
    tmp_path: Path, authority: Authority, connect: Connect
) -> None:
    path = tmp_path / "ca.pem"
    async with listening(answering(FOUND), tls=authority.server) as peer:
        client = connect(peer.address, plain_http=False, ca=str(path))
        await refused(client)
        shutil.copy(authority.ca, path)
        assert await client.head_manifest("app", "1") == DIGEST


async def test_bodies_and_early_answers_go_over_tls_as_they_do_without(authority: Authority, connect: Connect) -> None:
    async def script(line: Line) -> None:
        heard = await line.head()
        if heard.method == "POST":
            await line.answer(202, "Location: /v2/app/blobs/uploads/1")
            heard = await line.head()
        if len(line.peer.heard) == 2:
            await line.reader.readexactly(int(heard.header("Content-Length") or 0))
            await line.answer(202)
        await line.head()
        await line.answer(413)
        await line.gone()

    async with listening(script, tls=authority.server) as peer:
        client = connect(peer.address, plain_http=False, ca=authority.ca)
        location = (await client.perform("app", Open())).location
        assert location == f"https://{peer.address}/v2/app/blobs/uploads/1"
        assert (await client.perform("app", Patch(location, 0, 8 << 20), large(8))).status == 202
        assert (await client.perform("app", Patch(location, 0, 64 << 20), large(64))).status == 413


async def test_a_location_in_plain_http_is_not_used_by_a_registry_that_speaks_tls(
    authority: Authority, connect: Connect
) -> None:
    # A proxy ends TLS and does not say so: the registry behind it names itself by http.
    async with listening(answering((202, []))) as plain, listening(answering(FOUND), tls=authority.server) as peer:
        client = connect(peer.address, plain_http=False, ca=authority.ca)
        with pytest.raises(RegistryError) as caught:
            await client.perform("app", Patch(f"http://{plain.address}/v2/app/blobs/uploads/1", 0, 1), large(1))
    assert caught.value.code is Code.REGISTRY_MALFORMED
    assert not caught.value.retryable
    assert "http" in caught.value.detail
    assert caught.value.hint
    assert plain.heard == []
    assert peer.heard == []


async def test_a_redirect_from_https_to_http_is_not_followed(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND)) as plain:
        redirect = (307, [f"Location: {plain.url}/v2/app/manifests/1"])
        async with listening(answering(redirect), tls=authority.server) as peer:
            error = await refused(connect(peer.address, plain_http=False, ca=authority.ca))
    assert error.code is Code.REGISTRY_REDIRECTED
    assert plain.heard == []


async def test_a_realm_in_plain_http_is_refused_by_a_registry_that_speaks_tls(
    authority: Authority, connect: Connect
) -> None:
    async with listening(answering((200, [], b'{"token":"t"}'))) as realm:
        challenge = f'WWW-Authenticate: Bearer realm="{realm.url}/token?key=canary",service="x"'
        async with listening(answering((401, [challenge])), tls=authority.server) as peer:
            error = await refused(connect(peer.address, plain_http=False, ca=authority.ca))
    assert error.code is Code.REGISTRY_UNAUTHORIZED
    assert "https" in str(error)
    assert "canary" not in str(error)
    assert realm.heard == []
