"""TLS: whom it trusts, what it shows of itself, and what it says when it is not trusted."""

from __future__ import annotations

import shutil
import ssl
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.oci.upload import Cancel, Open, Patch
from pushd.registry import Settings, Timeouts, Wire
from pushd.registry.certificates import Certificates
from pushd.registry.client import RegistryClient
from pushd.registry.tls import Tls
from tests.fakes.authority import Authority, common_name
from tests.fakes.threaded import Handler, ThreadedServer
from tests.unit.registry.bodies import large
from tests.unit.registry.conftest import QUICK
from tests.unit.registry.peers import answering, forever, listening

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fakes.authority import Pair
    from tests.unit.registry.conftest import Connect
    from tests.unit.registry.peers import Line

DIGEST = Digest.of(b"x")
FOUND = (200, [f"Docker-Content-Digest: {DIGEST}"])
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "another authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> ssl.SSLContext:
    return authority.serving(HERE)


def trusting(authority: Authority, pair: Pair | None = None) -> Tls:
    if pair is None:
        return Tls(ca=authority.ca)
    return Tls(ca=authority.ca, client_cert=pair.cert, client_key=pair.key)


async def refused_for_good(client: RegistryClient) -> RegistryError:
    """Give the error that is not tried again: what is written to a connection that has ended drowns why it did."""
    for _ in range(20):
        error = await refused(client)
        if not error.retryable:
            break
    return error


async def refused(client: RegistryClient) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await client.head_manifest("app", "1")
    assert str(caught.value).isprintable()
    return caught.value


# ------------------------------------------------------------------------------------------------- whom it trusts


async def test_a_private_authority_is_trusted_where_it_is_named(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    async with listening(answering(FOUND), tls=server) as peer:
        client = connect(peer.address, plain_http=False, tls=trusting(authority))
        assert await client.head_manifest("app", "1") == DIGEST
        assert await client.head_manifest("app", "2") == DIGEST
    assert peer.connections == 1


async def test_and_nowhere_else(server: ssl.SSLContext, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=server) as peer:
        error = await refused(connect(peer.address, plain_http=False))
    assert error.code is Code.REGISTRY_TLS_UNTRUSTED
    assert not error.retryable
    assert peer.address in error.detail
    assert "unable to get local issuer certificate" in error.detail
    assert "`ca`" in error.hint
    assert f"certs.d/{peer.address}" in error.hint
    assert peer.heard == []


async def test_a_certificate_that_vouches_for_itself_is_trusted_only_where_it_is_named(
    authority: Authority, connect: Connect
) -> None:
    # What people make with one command of openssl, and copy to where Docker looks for it.
    pair = authority.own(HERE)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.cert, pair.key)
    async with listening(answering(FOUND), tls=server) as peer:
        error = await refused(connect(peer.address, plain_http=False))
        assert error.code is Code.REGISTRY_TLS_UNTRUSTED
        assert "self-signed" in error.detail.replace(" ", "-")
        client = connect(peer.address, plain_http=False, tls=Tls(ca=pair.cert))
        assert await client.head_manifest("app", "1") == DIGEST


async def test_what_one_registry_trusts_another_on_the_same_wire_does_not(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    async with listening(answering(FOUND), tls=server) as peer:
        assert await connect(peer.address, plain_http=False, tls=trusting(authority)).head_manifest("app", "1")
        assert (await refused(connect(peer.address, plain_http=False))).code is Code.REGISTRY_TLS_UNTRUSTED


async def test_what_lies_in_the_directory_of_a_host_is_trusted(
    tmp_path: Path, authority: Authority, server: ssl.SSLContext
) -> None:
    wire = Wire(QUICK, certificates=Certificates([tmp_path / "none", tmp_path]))
    async with listening(answering(FOUND), tls=server) as peer:
        client = RegistryClient(peer.address, Settings(plain_http=False), None, wire)
        assert (await refused(client)).code is Code.REGISTRY_TLS_UNTRUSTED
        (tmp_path / peer.address).mkdir()
        shutil.copy(authority.ca, tmp_path / peer.address / "ours.crt")
        client = RegistryClient(peer.address, Settings(plain_http=False), None, wire)
        wire.certificates._made.clear()  # a second would have to pass
        assert await client.head_manifest("app", "1") == DIGEST
    await wire.close()


async def test_a_storage_elsewhere_is_not_trusted_by_the_registrys_authority(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    async with listening(answering(FOUND), tls=server) as storage:
        redirect = (307, [f"Location: https://{storage.address}/blob"])
        async with listening(answering(redirect), tls=server) as peer:
            error = await refused(connect(peer.address, plain_http=False, tls=trusting(authority)))
    assert error.code is Code.REGISTRY_TLS_UNTRUSTED
    assert storage.address in error.detail
    assert storage.heard == []


@pytest.mark.parametrize("configured", [True, False])
async def test_a_storage_elsewhere_is_trusted_by_what_is_there_under_its_own_name(
    tmp_path: Path, authority: Authority, server: ssl.SSLContext, configured: bool
) -> None:
    async with listening(answering(FOUND), tls=server) as storage:
        redirect = (307, [f"Location: https://{storage.address}/blob"])
        hosts: Mapping[str, Tls] = {storage.address: trusting(authority)} if configured else {}
        if not configured:
            (tmp_path / storage.address).mkdir()
            shutil.copy(authority.ca, tmp_path / storage.address / "ca.crt")
        async with listening(answering(redirect), tls=server) as peer:
            wire = Wire(QUICK, certificates=Certificates([tmp_path], hosts))
            settings = Settings(plain_http=False, tls=trusting(authority))
            assert await RegistryClient(peer.address, settings, None, wire).head_manifest("app", "1") == DIGEST
            await wire.close()
    assert len(storage.heard) == 1


async def test_the_token_service_is_vouched_for_by_the_registrys_authority(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    async with listening(answering((200, [], b'{"token":"t"}')), tls=server) as realm:
        challenge = f'WWW-Authenticate: Bearer realm="https://{realm.address}/token",service="x"'
        async with listening(answering((401, [challenge]), FOUND), tls=server) as peer:
            client = connect(peer.address, plain_http=False, tls=trusting(authority))
            assert await client.head_manifest("app", "1") == DIGEST
    assert len(realm.heard) == 1


# -------------------------------------------------------------------------------------------- what is wrong with it


async def test_a_certificate_for_another_name_is_refused(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=authority.serving("registry.example")) as peer:
        for host in ("localhost", HERE):
            client = connect(f"{host}:{peer.port}", plain_http=False, tls=trusting(authority))
            error = await refused(client)
            assert error.code is Code.REGISTRY_TLS_NAME
            assert f"the certificate of {host}:{peer.port} is for another name" in error.detail
            assert f"pushctl doctor {host}:{peer.port}" in error.hint


async def test_a_certificate_out_of_its_time_is_refused(authority: Authority, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=authority.serving(HERE, expired=True)) as peer:
        error = await refused(connect(peer.address, plain_http=False, tls=trusting(authority)))
    assert error.code is Code.REGISTRY_TLS_EXPIRED
    assert f"the certificate of {peer.address} has expired" in error.detail
    assert "renewed" in error.hint


async def test_a_server_that_knows_no_tls_from_1_2_on_is_refused(authority: Authority, connect: Connect) -> None:
    server = authority.serving(HERE)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    async with listening(answering(FOUND), tls=server) as peer:
        error = await refused(connect(peer.address, plain_http=False, tls=trusting(authority)))
    assert error.code in (Code.REGISTRY_TLS, Code.REGISTRY_UNREACHABLE)  # some hang up without a word
    assert peer.heard == []


async def test_plain_http_where_tls_is_expected_is_told_so(connect: Connect) -> None:
    async def script(line: Line) -> None:
        await line.reader.read(100)  # the first bytes of a handshake, of which HTTP makes nothing
        await line.answer(400, "Connection: close")

    async with listening(script) as peer:
        error = await refused(connect(peer.address, plain_http=False))
    assert error.code is Code.REGISTRY_TLS
    assert "plain_http" in error.hint


async def test_tls_where_plain_http_is_spoken_is_told_so(server: ssl.SSLContext, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=server) as peer:
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


# ------------------------------------------------------------------------------------------------ not looking at it


async def test_a_certificate_that_is_not_to_be_looked_at_may_be_anything(
    authority: Authority, connect: Connect
) -> None:
    async with listening(answering(FOUND), tls=authority.serving("registry.example", expired=True)) as peer:
        client = connect(peer.address, plain_http=False, tls=Tls(insecure_skip_verify=True))
        assert await client.head_manifest("app", "1") == DIGEST


async def test_where_such_a_registry_leads_certificates_are_looked_at(server: ssl.SSLContext, connect: Connect) -> None:
    async with listening(answering(FOUND), tls=server) as elsewhere:
        redirect = (307, [f"Location: https://{elsewhere.address}/blob"])
        realm = f'WWW-Authenticate: Bearer realm="https://{elsewhere.address}/token",service="x"'
        for reply in (redirect, (401, [realm])):
            async with listening(answering(reply), tls=server) as peer:
                client = connect(peer.address, plain_http=False, tls=Tls(insecure_skip_verify=True))
                error = await refused(client)
                assert error.code is Code.REGISTRY_TLS_UNTRUSTED
                assert elsewhere.address in error.detail
    assert elsewhere.heard == []


# ------------------------------------------------------------------------------------------------ showing a certificate


class _Greeter(Handler):
    """Answers with a manifest, and writes down whose certificate it was shown."""

    def answer(self) -> None:
        self.part.append(common_name(self.connection.getpeercert()))
        self.reply(200, headers={"Docker-Content-Digest": str(DIGEST)})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_registry_that_wants_a_certificate_is_shown_ours(
    authority: Authority, other: Authority, connect: Connect, version: ssl.TLSVersion
) -> None:
    shown: list[str] = []
    server = authority.serving(HERE, clients=True)
    server.minimum_version = server.maximum_version = version
    with ThreadedServer(_Greeter, shown, server) as peer:
        client = connect(peer.address, plain_http=False, tls=trusting(authority, authority.client("pushd")))
        assert await client.head_manifest("app", "1") == DIGEST
        assert shown == ["pushd"]

        strangers = connect(peer.address, plain_http=False, tls=trusting(authority, other.client("stranger")))
        error = await refused_for_good(strangers)
        assert error.code is Code.REGISTRY_TLS_CLIENT
        assert "unknown ca" in error.detail
        assert peer.address in error.detail

        nobody = connect(peer.address, plain_http=False, tls=trusting(authority))
        error = await refused_for_good(nobody)
        if version is ssl.TLSVersion.TLSv1_3:
            assert error.code is Code.REGISTRY_TLS_CLIENT
            assert "certificate required" in error.detail
            assert "`client_cert`" in error.hint
            assert f"certs.d/{peer.address}" in error.hint
        else:  # there is no alert of its own for it
            assert error.code is Code.REGISTRY_TLS
            assert "client certificate" in error.hint
    assert shown == ["pushd"]


async def test_a_certificate_is_shown_to_the_registry_alone(authority: Authority, connect: Connect) -> None:
    shown: dict[str, list[str]] = {"realm": [], "storage": [], "registry": []}

    def script(where: str, status: int, headers: list[str], body: bytes = b"") -> object:
        async def run(line: Line) -> None:
            while True:
                heard = await line.request()
                shown[where].append(common_name(line.writer.get_extra_info("peercert")))
                answered = heard.header("Authorization") or where != "registry"
                await line.answer(status if answered else 401, *(headers if answered else challenge), body=body)

        return run

    server = authority.serving(HERE, clients=True)
    server.verify_mode = ssl.CERT_OPTIONAL
    pair = authority.client("pushd")
    async with (
        listening(script("realm", 200, [], b'{"token":"t"}'), tls=server) as realm,  # type: ignore[arg-type]
        listening(script("storage", 200, FOUND[1]), tls=server) as storage,  # type: ignore[arg-type]
    ):
        challenge = [f'WWW-Authenticate: Bearer realm="https://{realm.address}/token",service="x"']
        redirect = [f"Location: https://{storage.address}/blob"]
        wire = Wire(QUICK, certificates=Certificates(hosts={storage.address: trusting(authority)}))
        async with listening(script("registry", 307, redirect), tls=server) as peer:  # type: ignore[arg-type]
            settings = Settings(plain_http=False, tls=trusting(authority, pair))
            assert await RegistryClient(peer.address, settings, None, wire).head_manifest("app", "1") == DIGEST
            await wire.close()
    assert shown == {"realm": [""], "storage": [""], "registry": ["pushd", "pushd"]}


@pytest.mark.parametrize("authorised", [False, True])
@pytest.mark.parametrize("leads", ["redirect", "location", "realm"])
async def test_where_a_registry_leads_our_certificate_for_that_host_is_not_shown(
    authority: Authority, leads: str, authorised: bool
) -> None:
    """Else any registry has another one, or its token service, do in our name what it likes."""
    shown: list[str] = []

    async def other_registry(line: Line) -> None:
        while True:
            await line.request()
            shown.append(common_name(line.writer.get_extra_info("peercert")))
            await line.answer(200, body=b'{"token":"canary-token"}')

    server = authority.serving(HERE, clients=True)
    server.verify_mode = ssl.CERT_OPTIONAL
    async with listening(other_registry, tls=server) as other:
        there = f"https://{other.address}/v2/team/app/manifests/{DIGEST}"
        replies: dict[str, list[tuple[int, list[str]]]] = {
            "redirect": [(307, [f"Location: {there}"])],
            "location": [(202, [])],
            "realm": [(401, [f'WWW-Authenticate: Bearer realm="{there}",service="x"']), FOUND],
        }
        hosts = {other.address: trusting(authority, authority.client("pushd"))}
        wire = Wire(QUICK, certificates=Certificates(hosts=hosts))
        async with listening(answering(*replies[leads]), tls=authority.serving(HERE)) as peer:
            names = (other.address,) if authorised else ()
            settings = Settings(plain_http=False, tls=trusting(authority), credential_hosts=names)
            client = RegistryClient(peer.address, settings, None, wire)
            location = there if leads == "location" else f"https://{peer.address}/up"
            await client.perform("app", Cancel(location))
        await wire.close()
    assert shown == ["pushd" if authorised else ""]


async def test_a_certificate_of_ours_that_has_expired_is_told_before_anybody_is_shown_it(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    pair = authority.client("pushd", expired=True)
    async with listening(answering(FOUND), tls=server) as peer:
        error = await refused(connect(peer.address, plain_http=False, tls=trusting(authority, pair)))
    assert error.code is Code.REGISTRY_TLS_EXPIRED
    assert str(pair.cert) in error.detail
    assert "has expired" in error.detail
    assert peer.connections == 0


# ----------------------------------------------------------------------------------------------- from https to http


async def test_bodies_and_early_answers_go_over_tls_as_they_do_without(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
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

    async with listening(script, tls=server) as peer:
        client = connect(peer.address, plain_http=False, tls=trusting(authority))
        location = (await client.perform("app", Open())).location
        assert location == f"https://{peer.address}/v2/app/blobs/uploads/1"
        assert (await client.perform("app", Patch(location, 0, 8 << 20), large(8))).status == 202
        assert (await client.perform("app", Patch(location, 0, 64 << 20), large(64))).status == 413


async def test_a_location_in_plain_http_is_not_used_by_a_registry_that_speaks_tls(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    # A proxy ends TLS and does not say so: the registry behind it names itself by http.
    async with listening(answering((202, []))) as plain, listening(answering(FOUND), tls=server) as peer:
        client = connect(peer.address, plain_http=False, tls=trusting(authority))
        with pytest.raises(RegistryError) as caught:
            await client.perform("app", Patch(f"http://{plain.address}/v2/app/blobs/uploads/1", 0, 1), large(1))
    assert caught.value.code is Code.REGISTRY_DOWNGRADE_REFUSED
    assert not caught.value.retryable
    assert "http" in caught.value.detail
    assert caught.value.hint
    assert plain.heard == []
    assert peer.heard == []


async def test_a_redirect_from_https_to_http_is_not_followed(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    async with listening(answering(FOUND)) as plain:
        redirect = (307, [f"Location: {plain.url}/v2/app/manifests/1"])
        async with listening(answering(redirect), tls=server) as peer:
            error = await refused(connect(peer.address, plain_http=False, tls=trusting(authority)))
    assert error.code is Code.REGISTRY_DOWNGRADE_REFUSED
    assert plain.heard == []


async def test_a_realm_in_plain_http_is_refused_by_a_registry_that_speaks_tls(
    authority: Authority, server: ssl.SSLContext, connect: Connect
) -> None:
    async with listening(answering((200, [], b'{"token":"t"}'))) as realm:
        challenge = f'WWW-Authenticate: Bearer realm="{realm.url}/token?key=canary",service="x"'
        async with listening(answering((401, [challenge])), tls=server) as peer:
            error = await refused(connect(peer.address, plain_http=False, tls=trusting(authority)))
    assert error.code is Code.REGISTRY_REALM_REFUSED
    assert "https" in str(error)
    assert "canary" not in str(error)
    assert realm.heard == []
