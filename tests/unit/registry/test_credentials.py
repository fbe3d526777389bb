from __future__ import annotations

import base64
import json
import os
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError
from pushd.registry import credentials
from pushd.registry.credentials import DockerConfig

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "registry.example:5000"
SECRET = "hunter2-canary"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ALICE = {"auth": encoded(f"alice:{SECRET}")}
BOB = {"auth": encoded("bob:other")}


async def read(tmp_path: Path, document: object, registry: str = REGISTRY) -> Credential | None:
    path = tmp_path / "config.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return await DockerConfig(str(path)).find(registry)


async def refused(tmp_path: Path, document: object, registry: str = REGISTRY) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await read(tmp_path, document, registry)
    error = caught.value
    assert error.code is Code.REGISTRY_CREDENTIALS
    assert not error.retryable
    assert error.subject == str(tmp_path / "config.json")
    assert error.hint, "it says what to do next"
    assert SECRET not in "".join(traceback.format_exception(error))
    return error


# ------------------------------------------------------------------------------------------------ what is found


async def test_auth_is_base64_of_user_and_password(tmp_path: Path) -> None:
    found = await read(tmp_path, {"auths": {REGISTRY: ALICE}})
    assert found is not None
    assert (found.username, found.password) == ("alice", SECRET)


async def test_a_password_may_hold_a_colon_and_any_letter(tmp_path: Path) -> None:
    found = await read(tmp_path, {"auths": {REGISTRY: {"auth": encoded("alice:a:b:ü")}}})
    assert found is not None
    assert found.password == "a:b:ü"
    assert found.basic == "Basic " + encoded("alice:a:b:ü")


async def test_user_and_password_may_stand_by_themselves(tmp_path: Path) -> None:
    found = await read(tmp_path, {"auths": {REGISTRY: {"username": "alice", "password": SECRET}}})
    assert found == Credential("docker-config", "alice", SECRET)


async def test_a_user_without_a_password_has_an_empty_one(tmp_path: Path) -> None:
    found = await read(tmp_path, {"auths": {REGISTRY: {"username": "alice", "password": None}}})
    assert found == Credential("docker-config", "alice", "")


@pytest.mark.parametrize(
    "key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io", "https://docker.io"]
)
async def test_docker_hub_is_found_under_all_its_names(tmp_path: Path, key: str) -> None:
    found = await read(tmp_path, {"auths": {key: ALICE}}, "docker.io")
    assert found is not None
    assert found.username == "alice"


@pytest.mark.parametrize(
    "key", [f"https://{REGISTRY}", f"https://{REGISTRY}/v1/", f"http://{REGISTRY}/v2/", f"{REGISTRY}/"]
)
async def test_a_key_may_be_a_url_of_the_registry(tmp_path: Path, key: str) -> None:
    found = await read(tmp_path, {"auths": {key: ALICE}})
    assert found is not None
    assert found.username == "alice"


@pytest.mark.parametrize("key", ["registry.example", "registry.example:5001", f"x{REGISTRY}", f"{REGISTRY}.evil", ""])
async def test_a_credential_for_another_host_or_port_is_not_ours(tmp_path: Path, key: str) -> None:
    assert await read(tmp_path, {"auths": {key: ALICE}}) is None


@pytest.mark.parametrize("first", [REGISTRY, f"{REGISTRY}/team"])
async def test_the_entry_for_the_whole_registry_goes_before_one_for_a_part_of_it(tmp_path: Path, first: str) -> None:
    entries = {REGISTRY: ALICE, f"{REGISTRY}/team": BOB}
    ordered = {first: entries.pop(first), **entries}
    found = await read(tmp_path, {"auths": ordered})
    assert found is not None
    assert found.username == "alice"


async def test_docker_hubs_own_entry_goes_before_the_tokens_its_login_leaves_beside_it(tmp_path: Path) -> None:
    hub = "https://index.docker.io/v1/"
    found = await read(tmp_path, {"auths": {f"{hub}access-token": BOB, hub: ALICE}}, "docker.io")
    assert found is not None
    assert found.username == "alice"


# ------------------------------------------------------------------------------------------ what is not there


async def test_no_file_is_no_credential(tmp_path: Path) -> None:
    assert await DockerConfig(str(tmp_path / "config.json")).find(REGISTRY) is None


@pytest.mark.parametrize("document", [{}, {"auths": {}}, {"auths": None}, {"auths": {"other.example": ALICE}}])
async def test_a_file_that_does_not_speak_of_the_registry_is_no_credential(tmp_path: Path, document: object) -> None:
    assert await read(tmp_path, document) is None


async def test_a_store_that_may_know_the_registry_is_not_asked_and_not_in_the_way(tmp_path: Path) -> None:
    # Docker writes an empty entry beside the store at login: without one there was no login.
    assert await read(tmp_path, {"credsStore": "desktop", "auths": {"other.example": {}}}) is None


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "document",
    [
        {"credsStore": "secretservice", "auths": {REGISTRY: {}}},
        {"credHelpers": {REGISTRY: "secretservice"}},
        {"credHelpers": {REGISTRY: "secretservice"}, "auths": {REGISTRY: {}}},
    ],
)
async def test_a_helper_is_refused_by_its_name(tmp_path: Path, document: object) -> None:
    error = await refused(tmp_path, document)
    assert "secretservice" in str(error)
    assert REGISTRY in str(error)


@pytest.mark.parametrize("kind", ["identitytoken", "registrytoken"])
@pytest.mark.parametrize("entry", [{}, ALICE, {"auth": encoded("00000000-0000-0000-0000-000000000000:")}])
async def test_a_token_of_a_login_is_refused_by_its_name(tmp_path: Path, kind: str, entry: dict[str, str]) -> None:
    error = await refused(tmp_path, {"auths": {REGISTRY: {**entry, kind: SECRET}}})
    assert kind in str(error)


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"auth": None}, {"email": "a@example"}])
async def test_an_entry_that_says_nothing_is_refused_rather_than_taken_for_no_login(
    tmp_path: Path, entry: object
) -> None:
    error = await refused(tmp_path, {"auths": {REGISTRY: entry}})
    assert f"docker login {REGISTRY}" in error.hint


@pytest.mark.parametrize(
    "auth", ["***", f"alice:{SECRET}", encoded(SECRET), encoded(f":{SECRET}"), base64.b64encode(b"a\xff:b").decode(), 7]
)
async def test_auth_that_cannot_be_read_is_refused_without_being_shown(tmp_path: Path, auth: object) -> None:
    error = await refused(tmp_path, {"auths": {REGISTRY: {"auth": auth}}})
    assert str(auth) not in str(error) or isinstance(auth, int)


@pytest.mark.parametrize(
    "document",
    [
        f'{{"auths": {{"{REGISTRY}": {{"auth": "{SECRET}',
        f"{SECRET}",
        "",
        "[" * 100_000,
        "[]",
        "7",
        '{"auths": ["x"]}',
        '{"credHelpers": "ecr"}',
        f'{{"auths": {{"{REGISTRY}": "{SECRET}"}}}}',
    ],
)
async def test_a_file_that_is_no_docker_configuration_is_refused(tmp_path: Path, document: str) -> None:
    await refused(tmp_path, document)


async def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"auths": {"\xff": {"auth": "' + SECRET.encode() + b'"}}}')
    with pytest.raises(RegistryError) as caught:
        await DockerConfig(str(path)).find(REGISTRY)
    assert caught.value.code is Code.REGISTRY_CREDENTIALS
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="Is a directory") as caught:
        await DockerConfig(str(tmp_path)).find(REGISTRY)
    assert caught.value.code is Code.REGISTRY_CREDENTIALS


async def test_a_file_that_is_there_and_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.symlink_to(path)  # unreadable for root, too
    with pytest.raises(RegistryError, match="symbolic links") as caught:
        await DockerConfig(str(path)).find(REGISTRY)
    assert caught.value.code is Code.REGISTRY_CREDENTIALS
    assert caught.value.hint


async def test_what_a_key_says_cannot_command_the_terminal(tmp_path: Path) -> None:
    error = await refused(tmp_path, {"auths": {f"{REGISTRY}/\x1b[31m": {}}})
    assert str(error).isprintable()
    error = await refused(tmp_path, {"credHelpers": {REGISTRY: "\x1b[31m"}})
    assert str(error).isprintable()


# ------------------------------------------------------------------------------------------------- the secret


async def test_the_password_is_in_no_repr_and_no_name(tmp_path: Path) -> None:
    found = await read(tmp_path, {"auths": {REGISTRY: ALICE}})
    assert found is not None
    for shown in (repr(found), str(found), found.name, f"{[found]}"):
        assert SECRET not in shown
        assert ALICE["auth"] not in shown
    assert found.name == "docker-config:alice"


async def test_the_file_is_read_again_each_time(tmp_path: Path) -> None:
    before = await read(tmp_path, {"auths": {REGISTRY: ALICE}})
    after = await read(tmp_path, {"auths": {REGISTRY: BOB}})
    assert before is not None
    assert after is not None
    assert (before.username, after.username) == ("alice", "bob")


async def test_a_file_that_has_changed_is_read_again_and_one_that_has_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    reads = 0
    load = credentials._load

    async def counted(path: str) -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return await load(path)

    monkeypatch.setattr(credentials, "_load", counted)
    monkeypatch.setattr(credentials, "_SETTLED", -1.0)  # as if every change were long ago
    config = DockerConfig(str(path))

    assert await config.find(REGISTRY) is None
    for name in ("alice", "bob"):
        path.write_text(json.dumps({"auths": {REGISTRY: {"auth": encoded(f"{name}:secret")}}}))
        for _ in range(3):
            found = await config.find(REGISTRY)
            assert found is not None
            assert found.username == name
    assert reads == 2


async def test_a_file_that_has_just_changed_may_change_again_unseen(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    config = DockerConfig(str(path))
    assert await config.find(REGISTRY) is None
    status = path.stat()
    path.write_text("[]")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(RegistryError):
        await config.find(REGISTRY)
