"""The daemon's own credentials: where they are found, and when again."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from pushd.credentials import files
from pushd.credentials.answer import Answer
from pushd.credentials.credential import Credential
from pushd.credentials.places import File, daemons_places
from pushd.errors import Code, RegistryError
from pushd.registry.own import OwnCredentials
from pushd.telemetry.events import CREDENTIALS_EXPOSED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.telemetry.events import Event

REGISTRY = "registry.example"
MISSING = RegistryError(Code.REGISTRY_HELPER_MISSING, "docker-credential-x", "cannot be run")


def write(path: Path, document: object, mode: int = 0o600) -> Path:
    path.write_text(json.dumps(document))
    path.chmod(mode)
    return path


def entry(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:secret".encode()).decode()}


def unasked(helper: str, server: str) -> Answer | None:
    raise AssertionError(f"{helper} was asked for {server}")


class House:
    """The daemon's places, two files, and what was told."""

    def __init__(self, directory: Path) -> None:
        self.first = directory / "first.json"
        self.second = directory / "second.json"
        self.told: list[Event] = []

    def own(self, run: Callable[[str, str], Answer | None] = unasked) -> OwnCredentials:
        places = (File(str(self.first), "auth-file"), File(str(self.second), "docker-config"))
        return OwnCredentials(places, helper_timeout=10, helper_cache=900, emit=self.told.append, run=run)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_without_any_file_there_is_none(house: House) -> None:
    assert await house.own().find(REGISTRY, "team/app") is None


async def test_the_first_place_that_has_one_wins_and_is_told(house: House) -> None:
    own = house.own()
    write(house.second, {"auths": {REGISTRY: entry("bob")}})
    assert await own.find(REGISTRY, "team/app") == Credential("docker-config", "bob", "secret")
    write(house.first, {"auths": {REGISTRY: entry("alice")}})
    found = await own.find(REGISTRY, "team/app")
    assert found == Credential("auth-file", "alice", "secret")
    assert (found.name, found.where) == ("auth-file:alice", str(house.first))


async def test_a_part_of_a_registry_may_have_its_own(house: House) -> None:
    write(house.first, {"auths": {REGISTRY: entry("bob"), f"{REGISTRY}/team": entry("alice")}})
    own = house.own()
    found = [await own.find(REGISTRY, repository) for repository in ("team/app", "other")]
    assert [each.username for each in found if each] == ["alice", "bob"]


async def test_files_that_have_not_changed_cost_no_hop_to_a_thread(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SETTLED", -1.0)  # as if every change were long ago
    own = house.own()
    write(house.second, {"auths": {REGISTRY: entry("alice")}})
    before = await own.find(REGISTRY, "team/app")
    monkeypatch.delattr(to_thread, "run_sync")
    assert await own.find(REGISTRY, "team/app") == before


async def test_systemds_credential_for_a_registry_with_a_port_is_found(tmp_path: Path) -> None:
    (tmp_path / "harbor").write_text("alice:secret\n")
    (tmp_path / "harbor").chmod(0o400)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    places = daemons_places(environ, configured=None, names={f"{REGISTRY}:5000": "harbor"})
    own = OwnCredentials(places, helper_timeout=10, helper_cache=900, emit=lambda _: None)
    assert await own.find(f"{REGISTRY}:5000", "team/app") == Credential("systemd", "alice", "secret")


async def test_systemds_configuration_may_name_a_helper(tmp_path: Path) -> None:
    write(tmp_path / "docker-config", {"credHelpers": {REGISTRY: "x"}})
    places = daemons_places({"CREDENTIALS_DIRECTORY": str(tmp_path)}, configured=None, names={})
    own = OwnCredentials(
        places, helper_timeout=10, helper_cache=900, emit=lambda _: None, run=lambda *_: Answer("AWS", "secret")
    )
    assert await own.find(REGISTRY, "team/app") == Credential("systemd", "AWS", "secret")


async def test_a_file_that_cannot_be_used_is_told_and_not_passed_over(house: House) -> None:
    house.first.write_text("{")
    write(house.second, {"auths": {REGISTRY: entry("alice")}})
    with pytest.raises(RegistryError) as caught:
        await house.own().find(REGISTRY, "team/app")
    assert (caught.value.code, caught.value.subject) == (Code.REGISTRY_CREDENTIALS_MALFORMED, str(house.first))


# ---------------------------------------------------------------------------------------------------------- helpers


async def test_a_helper_is_asked_and_named(house: House) -> None:
    write(house.first, {"credHelpers": {REGISTRY: "ecr-login"}})
    asked = []

    def run(helper: str, server: str) -> Answer:
        asked.append((helper, server))
        return Answer("AWS", "secret")

    own = house.own(run)
    for _ in range(2):
        found = await own.find(REGISTRY, "team/app")
        assert found == Credential("auth-file", "AWS", "secret")
        assert found.where == f"{house.first} by docker-credential-ecr-login"
    assert asked == [("ecr-login", REGISTRY)]


async def test_a_helper_is_asked_again_when_its_answer_was_refused(house: House) -> None:
    write(house.first, {"credHelpers": {REGISTRY: "x"}})
    secrets = iter(["old", "new"])
    own = house.own(lambda _, __: Answer("AWS", next(secrets)))
    old = await own.find(REGISTRY, "team/app")
    new = await own.find(REGISTRY, "team/app", fresh=old)
    assert new == Credential("auth-file", "AWS", "new")
    assert await own.find(REGISTRY, "team/app", fresh=old) == new


async def test_a_helper_that_has_none_leaves_it_to_the_next_place(house: House) -> None:
    write(house.first, {"credsStore": "x"})
    write(house.second, {"auths": {REGISTRY: entry("alice")}})
    found = await house.own(lambda _, __: None).find(REGISTRY, "team/app")
    assert found == Credential("docker-config", "alice", "secret")


def missing(_: str, __: str) -> Answer | None:
    raise MISSING


async def test_a_store_that_is_not_here_was_copied_from_a_desktop(house: House) -> None:
    write(house.first, {"credsStore": "desktop"})
    assert await house.own(missing).find(REGISTRY, "team/app") is None


@pytest.mark.parametrize("tables", [{"auths": {REGISTRY: {}}}, {"credHelpers": {REGISTRY: "x"}}])
async def test_a_helper_that_is_not_here_and_should_have_it_is_told(house: House, tables: dict[str, object]) -> None:
    write(house.first, {"credsStore": "desktop", **tables})
    with pytest.raises(RegistryError) as caught:
        await house.own(missing).find(REGISTRY, "team/app")
    assert caught.value.code is Code.REGISTRY_HELPER_MISSING


async def test_the_time_a_helper_has_is_the_one_that_is_set(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker-credential-x"
    program.write_text("#!/bin/sh\nexec sleep 3600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    write(house.first, {"credHelpers": {REGISTRY: "x"}})
    own = OwnCredentials(
        [File(str(house.first), "podman")], helper_timeout=0.2, helper_cache=900, emit=house.told.append
    )
    with pytest.raises(RegistryError, match=r"within 0\.2 s") as caught:
        await own.find(REGISTRY, "team/app")
    assert caught.value.code is Code.REGISTRY_HELPER_TIMEOUT


# ----------------------------------------------------------------------------------------- what others may read as well


async def test_a_file_with_secrets_that_is_open_to_everybody_is_told_once_and_when_it_changes(house: House) -> None:
    own = house.own()
    write(house.first, {"auths": {REGISTRY: entry("alice")}}, 0o644)
    for _ in range(3):
        await own.find(REGISTRY, "team/app")
    assert [(event.kind, dict(event.fields)) for event in house.told] == [
        (CREDENTIALS_EXPOSED, {"file": str(house.first), "mode": "0644"})
    ]
    write(house.first, {"auths": {REGISTRY: entry("somebody-else")}}, 0o644)
    await own.find(REGISTRY, "team/app")
    assert len(house.told) == 2


async def test_it_is_told_although_the_credential_could_not_be_used(house: House) -> None:
    write(house.first, {"auths": {REGISTRY: {}, "other.example": entry("alice")}}, 0o644)
    with pytest.raises(RegistryError):
        await house.own().find(REGISTRY, "team/app")
    assert [event.kind for event in house.told] == [CREDENTIALS_EXPOSED]
