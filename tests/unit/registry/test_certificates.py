"""Where TLS material is found, what is wrong with it, and that it is read anew when it has changed."""

from __future__ import annotations

import os
import shutil
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from pushd.errors import Code, RegistryError
from pushd.registry.certificates import Certificates
from pushd.registry.tls import Host, Material, Tls, check_valid, gather, names_of
from tests.fakes.authority import Authority, common_name

if TYPE_CHECKING:
    from pathlib import Path

NAME = "registry.example:5000"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "another authority")


@dataclass(slots=True)
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give the directory of the host in Docker's layout."""
    place = tmp_path / "certs.d" / NAME
    place.mkdir(parents=True)
    return place


@pytest.fixture
def certificates(place: Path, clock: Clock) -> Certificates:
    return Certificates([place.parent], clock=clock)


HOST = Host((NAME,))


def authorities(context: ssl.SSLContext) -> set[str]:
    """Give the names of the authorities of ours that a context trusts."""
    return {name for name in map(common_name, context.get_ca_certs()) if "authority" in name}


def refused(certificates: Certificates, host: Host = HOST) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        certificates.context(host)
    error = caught.value
    assert error.subject == NAME
    assert error.hint
    assert str(error).isprintable()
    assert "Errno" not in str(error)
    assert "_ssl" not in str(error)
    assert error.__suppress_context__ or error.__context__ is None
    return error


# ---------------------------------------------------------------------------------------------------- where it is found


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://registry.example/v2/", ("registry.example", "registry.example:443")),
        ("https://registry.example:443/", ("registry.example", "registry.example:443")),
        ("https://registry.example:5000/", ("registry.example:5000",)),
        ("https://[fd00::1]:5000/", ("[fd00::1]:5000",)),
        ("https://REGISTRY.example/", ("registry.example", "registry.example:443")),
    ],
)
def test_a_host_is_called_as_in_references(url: str, names: tuple[str, ...]) -> None:
    assert names_of(url) == names


def test_a_host_with_nothing_trusts_whom_the_system_trusts(certificates: Certificates) -> None:
    context = certificates.context(HOST)
    assert context is certificates.system()
    assert context is certificates.context(Host(("other.example",)))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_authorities_add_up(place: Path, certificates: Certificates, authority: Authority, other: Authority) -> None:
    shutil.copy(authority.ca, place / "b.crt")
    context = certificates.context(Host((NAME,), Tls(ca=other.ca)))
    assert authorities(context) == {"a private authority", "another authority"}
    assert len(context.get_ca_certs()) == len(certificates.system().get_ca_certs()) + 2
    assert authorities(certificates.system()) == set()


def test_what_is_configured_is_shown_before_what_lies_there(place: Path, authority: Authority) -> None:
    pair, configured = authority.client("a"), authority.client("b")
    for name in ("b", "a"):
        shutil.copy(pair.cert, place / f"{name}.cert")
        shutil.copy(pair.key, place / f"{name}.key")
    assert gather(HOST, [place.parent]).client == (place / "a.cert", place / "a.key")
    tls = Tls(client_cert=configured.cert, client_key=configured.key)
    assert gather(Host((NAME,), tls), [place.parent]).client == (configured.cert, configured.key)


def test_the_directory_that_comes_first_goes_first(tmp_path: Path, authority: Authority) -> None:
    for directory in ("one", "two"):
        (tmp_path / directory / NAME).mkdir(parents=True)
        for source, name in ((authority.ca, "ca.crt"), (authority.client("a").cert, "x.cert"), (authority.ca, "x.key")):
            shutil.copy(source, tmp_path / directory / NAME / name)
    found = gather(HOST, [tmp_path / "two", tmp_path / "one"])
    assert [file.parent.parent.name for file in found.authorities] == ["two", "one"]
    assert found.client is not None
    assert found.client[0].parent.parent.name == "two"


def test_the_bare_host_stands_for_port_443(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "registry.example").mkdir()
    shutil.copy(authority.ca, tmp_path / "registry.example" / "ca.crt")
    for url, count in (("https://registry.example:443", 1), ("https://registry.example:444", 0)):
        assert len(gather(Host(names_of(url)), [tmp_path]).authorities) == count


@pytest.mark.parametrize("name", ["..", ".", "", "../other", "a/b", "/etc", "a\0b", ".hidden"])
def test_a_host_that_names_another_place_has_none(tmp_path: Path, authority: Authority, name: str) -> None:
    (tmp_path / "certs.d").mkdir()
    shutil.copy(authority.ca, tmp_path / "ca.crt")
    assert gather(Host((name,)), [tmp_path / "certs.d"]).files == ()


def test_whoever_vouches_lends_authorities_and_nothing_else(
    certificates: Certificates, authority: Authority, other: Authority
) -> None:
    pair = authority.client("pushd")
    registry = Host(
        (NAME,), Tls(ca=authority.ca, client_cert=pair.cert, client_key=pair.key, insecure_skip_verify=True)
    )
    context = certificates.context(Host(("auth.example",), Tls(ca=other.ca)), vouching=registry)
    assert authorities(context) == {"a private authority", "another authority"}
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert certificates.context(registry).verify_mode is ssl.CERT_NONE


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("content", [None, "", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_authority_that_cannot_be_used_is_told_each_time(
    tmp_path: Path, certificates: Certificates, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    for _ in range(2):
        error = refused(certificates, Host((NAME,), Tls(ca=path)))
        assert error.code is Code.REGISTRY_TLS_FILES
        assert str(path) in error.detail


@pytest.mark.parametrize("name", ["ca.crt", "client.cert", "client.key"])
@pytest.mark.parametrize("what", ["fifo", "device", "long"])
def test_what_is_no_file_of_a_certificate_is_told_and_not_waited_for(
    place: Path, certificates: Certificates, authority: Authority, name: str, what: str
) -> None:
    pair = authority.client("pushd")
    for each, source in (("ca.crt", authority.ca), ("client.cert", pair.cert), ("client.key", pair.key)):
        shutil.copy(source, place / each)
    file = place / name
    file.unlink()
    match what:
        case "fifo":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case _:
            with file.open("wb") as opened:
                opened.truncate(1 << 30)
    error = refused(certificates)
    assert error.code is Code.REGISTRY_TLS_FILES
    assert str(file) in error.detail
    assert ("is longer than 4 MiB" if what == "long" else "no regular file") in error.detail


def test_and_is_used_as_soon_as_it_is_mended(tmp_path: Path, certificates: Certificates, authority: Authority) -> None:
    host = Host((NAME,), Tls(ca=tmp_path / "ca.pem"))
    refused(certificates, host)
    shutil.copy(authority.ca, tmp_path / "ca.pem")
    assert authorities(certificates.context(host)) == {"a private authority"}


@pytest.mark.parametrize(("there", "missing"), [("client.cert", "client.key"), ("client.key", "client.cert")])
def test_half_of_a_pair_is_told(
    place: Path, certificates: Certificates, authority: Authority, there: str, missing: str
) -> None:
    shutil.copy(authority.client("pushd").cert, place / there)
    error = refused(certificates)
    assert error.code is Code.REGISTRY_TLS_FILES
    assert str(place / there) in error.detail
    assert missing in error.detail
    assert ".crt" in error.hint


def test_a_directory_that_may_not_be_read_is_told(place: Path, certificates: Certificates) -> None:
    place.rmdir()
    place.write_text("a file in its place")
    error = refused(certificates)
    assert error.code is Code.REGISTRY_TLS_FILES
    assert "Not a directory" in error.detail


@pytest.mark.parametrize("which", ["client_cert", "client_key"])
@pytest.mark.parametrize("content", [None, "", "garbage"])
def test_a_client_certificate_that_cannot_be_used_is_told(
    tmp_path: Path, certificates: Certificates, authority: Authority, which: str, content: str | None
) -> None:
    pair = authority.client("pushd")
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_text(content)
    files = {"client_cert": pair.cert, "client_key": pair.key, which: bad}
    error = refused(certificates, Host((NAME,), Tls(**files)))  # type: ignore[arg-type]
    assert error.code is Code.REGISTRY_TLS_FILES
    assert str(bad) in error.detail


def test_a_key_of_another_certificate_is_told(certificates: Certificates, authority: Authority) -> None:
    one, two = authority.client("one"), authority.client("two")
    error = refused(certificates, Host((NAME,), Tls(client_cert=one.cert, client_key=two.key)))
    assert error.code is Code.REGISTRY_TLS_KEY
    assert str(one.cert) in error.detail
    assert str(two.key) in error.detail


def test_an_encrypted_key_asks_nobody_for_its_password(
    tmp_path: Path, certificates: Certificates, authority: Authority
) -> None:
    pair = authority.client("pushd")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    encrypted = tmp_path / "client.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    error = refused(certificates, Host((NAME,), Tls(client_cert=pair.cert, client_key=encrypted)))
    assert error.code is Code.REGISTRY_TLS_KEY
    assert str(encrypted) in error.detail
    assert "encrypted" in error.detail


def test_a_certificate_and_its_key_may_share_a_file(
    tmp_path: Path, certificates: Certificates, authority: Authority
) -> None:
    pair = authority.client("pushd")
    both = tmp_path / "both.pem"
    both.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    assert certificates.context(Host((NAME,), Tls(client_cert=both))) is not certificates.system()


def test_a_client_certificate_that_has_expired_is_told(certificates: Certificates, authority: Authority) -> None:
    pair = authority.client("pushd", expired=True)
    error = refused(certificates, Host((NAME,), Tls(client_cert=pair.cert, client_key=pair.key)))
    assert error.code is Code.REGISTRY_TLS_EXPIRED
    assert f"{pair.cert} has expired" in error.detail


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "is not good yet (2026-01-02"), (0, None), (9, None), (11, "has expired")]
)
def test_a_client_certificate_is_good_for_its_time(tmp_path: Path, days: int, said: str | None) -> None:
    begin = datetime(2026, 1, 2, tzinfo=UTC)
    material = Material(client=(tmp_path / "a.cert", tmp_path / "a.key"))
    check = partial(check_valid, HOST, material, (begin, begin + timedelta(days=10)), begin + timedelta(days=days))
    if said is None:
        check()
        return
    with pytest.raises(RegistryError) as caught:
        check()
    assert said in caught.value.detail
    assert caught.value.code is Code.REGISTRY_TLS_EXPIRED


# ------------------------------------------------------------------------------------------------- what has changed


def test_a_context_is_made_once(place: Path, certificates: Certificates, clock: Clock, authority: Authority) -> None:
    shutil.copy(authority.ca, place / "ca.crt")
    first = certificates.context(HOST)
    clock.now += 100
    assert certificates.context(HOST) is first


def test_a_file_that_changed_is_read_anew(
    place: Path, certificates: Certificates, clock: Clock, authority: Authority, other: Authority
) -> None:
    shutil.copy(authority.ca, place / "ca.crt")
    first = certificates.context(HOST)
    shutil.copy(other.ca, place / "ca.crt")
    os.utime(place / "ca.crt", ns=(1, 1))
    assert certificates.context(HOST) is first, "nobody looks twice within a second"
    clock.now += 1
    assert authorities(certificates.context(HOST)) == {"another authority"}


def test_so_is_a_directory_in_which_there_is_something_new(
    place: Path, certificates: Certificates, clock: Clock, authority: Authority, other: Authority
) -> None:
    assert certificates.context(HOST) is certificates.system()
    shutil.copy(authority.ca, place / "ca.crt")
    clock.now += 1
    assert authorities(certificates.context(HOST)) == {"a private authority"}
    shutil.copy(other.ca, place / "more.crt")
    clock.now += 1
    assert authorities(certificates.context(HOST)) == {"a private authority", "another authority"}
    for file in list(place.iterdir()):
        file.unlink()
    place.rmdir()
    clock.now += 1
    assert certificates.context(HOST) is certificates.system()


def test_so_is_whom_the_system_trusts(
    tmp_path: Path, clock: Clock, authority: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    shutil.copy(authority.ca, bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    certificates = Certificates(clock=clock)
    assert authorities(certificates.system()) == {"a private authority"}
    bundle.write_bytes(authority.ca.read_bytes() + other.ca.read_bytes())
    clock.now += 1
    assert authorities(certificates.system()) == {"a private authority", "another authority"}


def test_what_was_good_is_used_while_a_pair_is_replaced(
    place: Path, certificates: Certificates, clock: Clock, authority: Authority
) -> None:
    old, new = authority.client("old"), authority.client("new")
    shutil.copy(old.cert, place / "client.cert")
    shutil.copy(old.key, place / "client.key")
    first = certificates.context(HOST)
    shutil.copy(new.cert, place / "client.cert")
    for _ in range(4):
        clock.now += 1
        assert certificates.context(HOST) is first
    shutil.copy(new.key, place / "client.key")
    clock.now += 1
    assert certificates.context(HOST) is not first


def test_but_no_longer_than_that_takes(
    place: Path, certificates: Certificates, clock: Clock, authority: Authority
) -> None:
    shutil.copy(authority.ca, place / "ca.crt")
    certificates.context(HOST)
    (place / "ca.crt").write_text("broken")
    for _ in range(5):
        clock.now += 1
        certificates.context(HOST)
    clock.now += 1
    for _ in range(2):
        assert refused(certificates).code is Code.REGISTRY_TLS_FILES


def test_only_so_many_hosts_are_remembered(certificates: Certificates) -> None:
    for number in range(3000):
        certificates.context(Host((f"host{number}.example",)))
    assert len(certificates._made) <= 1024
