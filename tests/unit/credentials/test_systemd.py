"""systemd's credentials: one file for each registry, or one Docker configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.credentials.credential import Credential
from pushd.credentials.docker import Ask, DockerConfig
from pushd.credentials.files import Files
from pushd.credentials.systemd import CredentialsDirectory, read_one
from pushd.errors import Code, RegistryError
from pushd.vault.key import CREDENTIAL
from tests.unit.credentials.samples import ALICE, BOB, REGISTRY, SECRET, encoded, shown, write

if TYPE_CHECKING:
    from pathlib import Path

HOST = "registry.example"
FOUND = Credential("systemd", "alice", SECRET)


def find(
    directory: Path | None, registry: str = HOST, names: dict[str, str] | None = None, repository: str = "team/app"
) -> Credential | Ask | None:
    place = CredentialsDirectory(path=None if directory is None else str(directory), names=names or {})
    return place.look_up(registry, repository, Files().read)


def refused(directory: Path | None, registry: str = HOST, names: dict[str, str] | None = None) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        find(directory, registry, names)
    error = caught.value
    assert error.hint, "it says what to do next"
    assert str(error).isprintable()
    assert SECRET not in shown(error)
    return error


# ----------------------------------------------------------------------------------------------- one file a registry


@pytest.mark.parametrize(
    "content",
    [
        f"alice:{SECRET}",
        f"alice:{SECRET}\n",
        f"alice:{SECRET}\r\n",
        ALICE,
        {"username": "alice", "password": SECRET},
        {"auths": {HOST: ALICE}},
        {"auths": {f"{HOST}/team": ALICE, HOST: BOB}},
    ],
)
def test_a_file_named_as_the_host_holds_a_line_an_entry_or_a_configuration(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / HOST, content)
    found = find(tmp_path)
    assert found == FOUND
    assert isinstance(found, Credential)
    assert found.where == str(path)


def test_a_host_is_the_same_in_any_case(tmp_path: Path) -> None:
    write(tmp_path / HOST, f"alice:{SECRET}")
    assert find(tmp_path, HOST.upper()) == FOUND


def test_a_password_may_hold_colons_and_spaces(tmp_path: Path) -> None:
    write(tmp_path / HOST, "alice: a:b c \n")
    assert find(tmp_path) == Credential("systemd", "alice", " a:b c ")


def test_an_entry_may_hold_a_token(tmp_path: Path) -> None:
    write(tmp_path / HOST, {"auth": encoded("alice:"), "identitytoken": SECRET})
    assert find(tmp_path) == Credential("systemd", "alice", identity_token=SECRET)


def test_a_registry_with_a_port_has_the_one_that_is_configured_for_it(tmp_path: Path) -> None:
    write(tmp_path / "harbor", f"alice:{SECRET}")
    assert find(tmp_path, REGISTRY, {REGISTRY: "harbor"}) == FOUND
    assert find(tmp_path, REGISTRY) is None


def test_a_configured_one_goes_before_one_named_as_the_host(tmp_path: Path) -> None:
    write(tmp_path / HOST, "bob:other")
    write(tmp_path / "mine", f"alice:{SECRET}")
    assert find(tmp_path, HOST, {HOST: "mine"}) == FOUND


def test_one_that_is_configured_for_a_registry_goes_to_no_host_of_its_name(tmp_path: Path) -> None:
    write(tmp_path / "evil.example", f"alice:{SECRET}")
    write(tmp_path / "config.json", {"auths": {HOST: ALICE}})
    names = {REGISTRY: "evil.example", "other.example": "config.json"}
    assert find(tmp_path, "evil.example", names) is None
    assert find(tmp_path, HOST, names) is None


@pytest.mark.parametrize("content", [None, {"auths": {"other.example": ALICE}}])
def test_a_configured_one_that_is_missing_is_told(tmp_path: Path, content: object) -> None:
    if content is not None:
        write(tmp_path / "harbor", content)
    write(tmp_path / "config.json", {"auths": {REGISTRY: ALICE}})
    error = refused(tmp_path, REGISTRY, {REGISTRY: "harbor"})
    assert (error.code, error.subject) == (Code.REGISTRY_CREDENTIALS, REGISTRY)
    assert "LoadCredential=harbor:PATH" in error.hint


def test_a_configured_one_is_missing_where_systemd_gave_none_at_all() -> None:
    assert refused(None, REGISTRY, {REGISTRY: "harbor"}).code is Code.REGISTRY_CREDENTIALS
    assert find(None, HOST, {REGISTRY: "harbor"}) is None


# ------------------------------------------------------------------------------------------- one Docker configuration


@pytest.mark.parametrize("name", ["config.json", "auth.json", "docker-config.json", "docker-config"])
def test_one_of_them_may_be_a_docker_configuration(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, {"auths": {REGISTRY: ALICE}})
    assert find(tmp_path, REGISTRY) == FOUND
    assert find(tmp_path, "other.example") is None


def test_the_file_of_a_registry_goes_before_the_configuration(tmp_path: Path) -> None:
    write(tmp_path / HOST, f"alice:{SECRET}")
    write(tmp_path / "config.json", {"auths": {HOST: BOB}})
    assert find(tmp_path) == FOUND


def test_a_configuration_may_name_a_helper(tmp_path: Path) -> None:
    path = write(tmp_path / "docker-config", {"credHelpers": {HOST: "ecr-login"}})
    assert find(tmp_path) == Ask("ecr-login", HOST, named=True, file=str(path))


def test_a_registry_of_that_name_is_not_taken_for_a_configuration(tmp_path: Path) -> None:
    write(tmp_path / "config.json", {"auth": ALICE["auth"]})
    assert find(tmp_path, "config.json") is None


def test_the_key_that_credentials_are_sealed_with_is_nothing_to_log_in_with(tmp_path: Path) -> None:
    write(tmp_path / CREDENTIAL, f"alice:{SECRET}")
    assert find(tmp_path, CREDENTIAL) is None


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        SECRET,
        f":{SECRET}",
        "alice:",
        f"alice:{SECRET}\nbob:{SECRET}\n",
        f"-----BEGIN PRIVATE KEY-----\nx:{SECRET}\n",
        f"alice:{SECRET}\0",
        f"{{{SECRET}",
        {"auth": 7},
        {"auths": SECRET},
    ],
)
def test_anything_else_is_malformed_and_not_shown(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / HOST, content)
    error = refused(tmp_path)
    assert (error.code, error.subject) == (Code.REGISTRY_CREDENTIALS_MALFORMED, str(path))


def test_bytes_that_are_no_text_are_malformed(tmp_path: Path) -> None:
    (tmp_path / HOST).write_bytes(b"alice:\xff\xfe")
    assert refused(tmp_path).code is Code.REGISTRY_CREDENTIALS_MALFORMED


def test_an_entry_with_a_bad_auth_is_told_as_one(tmp_path: Path) -> None:
    write(tmp_path / HOST, {"auth": SECRET})
    assert refused(tmp_path).code is Code.REGISTRY_CREDENTIALS_ENCODING


def test_an_entry_with_nothing_in_it_is_told(tmp_path: Path) -> None:
    write(tmp_path / HOST, {"email": "a@example"})
    assert refused(tmp_path).code is Code.REGISTRY_CREDENTIALS


@given(content=st.binary() | st.from_regex(rb"[a-z]*:[!-~]*\n?", fullmatch=True))
def test_any_bytes_are_read_or_refused_as_what_they_are(content: bytes) -> None:
    try:
        held = read_one(content, "/run/credentials/pushd.service/x")
    except RegistryError as error:
        outcome: object = error.code.value.partition("_")[0]
    else:
        outcome = held
    assert isinstance(outcome, DockerConfig | Credential) or outcome == "registry.credentials"
