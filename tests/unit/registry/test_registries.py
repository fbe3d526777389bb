from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.errors import Code, RegistryError
from pushd.oci.upload import Form, Limits
from pushd.registry import Registries, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.registry import Wire


def log_in(path: Path, user: str, password: str = "secret") -> None:
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def registries(wire: Wire, config: Path) -> Registries:
    chunked = Settings(limits=Limits(forms=(Form.CHUNKED,), chunk_size=5 << 20))
    settings = {"registry.example": chunked, "registry.example:5000": Settings()}
    return Registries(wire, settings=settings.__getitem__, docker_config=config)


async def test_a_registry_is_known_by_its_name_and_its_credential(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    client = await registries.connect("registry.example")
    assert client.name == "registry.example"
    assert client.credential == "docker-config:alice"


async def test_without_a_credential_it_is_anonymous(registries: Registries) -> None:
    assert (await registries.connect("registry.example")).credential == "anonymous"


async def test_without_a_place_for_credentials_it_is_anonymous(wire: Wire) -> None:
    registries = Registries(wire, settings=lambda _: Settings(), docker_config=None)
    assert (await registries.connect("registry.example")).credential == "anonymous"


async def test_each_registry_is_spoken_to_as_configured_for_it(registries: Registries) -> None:
    assert (await registries.connect("registry.example")).limits.forms == (Form.CHUNKED,)
    assert (await registries.connect("registry.example:5000")).limits == Limits()


async def test_jobs_share_a_client_so_that_tokens_outlive_them(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    assert await registries.connect("registry.example") is await registries.connect("registry.example")


async def test_jobs_that_come_at_once_share_it_as_well(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    found = set()

    async def ask() -> None:
        found.add(id(await registries.connect("registry.example")))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
    assert len(found) == 1


async def test_a_login_between_two_jobs_is_noticed(registries: Registries, config: Path) -> None:
    before = await registries.connect("registry.example")
    log_in(config, "alice")
    between = await registries.connect("registry.example")
    log_in(config, "bob")
    after = await registries.connect("registry.example")
    assert [each.credential for each in (before, between, after)] == [
        "anonymous",
        "docker-config:alice",
        "docker-config:bob",
    ]


async def test_another_password_of_the_same_user_is_another_client(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    before = await registries.connect("registry.example")
    log_in(config, "alice", "other")
    assert await registries.connect("registry.example") is not before


async def test_a_credential_that_cannot_be_read_is_told_at_once(wire: Wire, tmp_path: Path) -> None:
    registries = Registries(wire, settings=lambda _: Settings(), docker_config=tmp_path)
    with pytest.raises(RegistryError) as caught:
        await registries.connect("registry.example")
    assert caught.value.code is Code.REGISTRY_CREDENTIALS
