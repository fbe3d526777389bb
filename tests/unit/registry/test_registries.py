from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.credentials.answer import Answer
from pushd.credentials.places import File
from pushd.errors import Code, RegistryError, RequestError
from pushd.oci.upload import Form, Limits
from pushd.principal import User
from pushd.registry import Registries, Settings
from pushd.registry.grants import EVERYONE, Grant, Grants
from pushd.registry.own import OwnCredentials
from pushd.work import Asker
from tests.fakes.behaviour import Basic

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.registry import Wire
    from pushd.registry.client import RegistryClient
    from tests.fakes.registry import FakeRegistry


def log_in(path: Path, user: str, password: str = "secret") -> None:
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    write(path, {"auths": {"registry.example": {"auth": auth}}})


def write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


def own(*files: Path) -> OwnCredentials:
    """Give the credentials in these files."""
    places = [File(str(file), "docker-config") for file in files]
    return OwnCredentials(places, helper_timeout=10, helper_cache=900, emit=lambda _: None)


class NoKeyring:
    """Has nothing of any user."""

    async def find(self, registry: str, repository: str, asker: Asker) -> None:
        return None

    async def spend(self, number: int) -> None:
        raise AssertionError(number)


NOBODYS = NoKeyring()
USER = User(uid=1001, gids=frozenset({100}), administrator=False)
ALL = Grants((Grant(registry="*", users=EVERYONE),))
NONE = Grants()


async def connect(registries: Registries, name: str, user: User = USER) -> RegistryClient:
    return await registries.connect(name, repository="team/app", asker=Asker(user=user))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def registries(wire: Wire, config: Path) -> Registries:
    chunked = Settings(limits=Limits(forms=(Form.CHUNKED,), chunk_size=5 << 20))
    settings = {"registry.example": chunked, "registry.example:5000": Settings()}
    return Registries(wire, settings=settings.__getitem__, own=own(config), grants=ALL, keyring=NOBODYS)


async def test_a_registry_is_known_by_its_name_and_its_credential(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    client = await connect(registries, "registry.example")
    assert client.name == "registry.example"
    assert client.credential == "docker-config:alice"


async def test_without_a_credential_it_is_anonymous(registries: Registries) -> None:
    assert (await connect(registries, "registry.example")).credential == "anonymous"


async def test_without_a_place_for_credentials_it_is_anonymous(wire: Wire) -> None:
    registries = Registries(wire, settings=lambda _: Settings(), own=own(), grants=NONE, keyring=NOBODYS)
    assert (await connect(registries, "registry.example")).credential == "anonymous"


async def test_each_registry_is_spoken_to_as_configured_for_it(registries: Registries) -> None:
    assert (await connect(registries, "registry.example")).limits.forms == (Form.CHUNKED,)
    assert (await connect(registries, "registry.example:5000")).limits == Limits()


async def test_jobs_share_a_client_so_that_tokens_outlive_them(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    assert await connect(registries, "registry.example") is await connect(registries, "registry.example")


async def test_jobs_that_come_at_once_share_it_as_well(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    found = set()

    async def ask() -> None:
        found.add(id(await connect(registries, "registry.example")))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
    assert len(found) == 1


async def test_a_login_between_two_jobs_is_noticed(registries: Registries, config: Path) -> None:
    before = await connect(registries, "registry.example")
    log_in(config, "alice")
    between = await connect(registries, "registry.example")
    log_in(config, "bob")
    after = await connect(registries, "registry.example")
    assert [each.credential for each in (before, between, after)] == [
        "anonymous",
        "docker-config:alice",
        "docker-config:bob",
    ]


async def test_another_password_of_the_same_user_is_another_client(registries: Registries, config: Path) -> None:
    log_in(config, "alice")
    before = await connect(registries, "registry.example")
    log_in(config, "alice", "other")
    assert await connect(registries, "registry.example") is not before


async def test_a_credential_that_cannot_be_read_is_told_at_once(wire: Wire, tmp_path: Path) -> None:
    registries = Registries(wire, settings=lambda _: Settings(), own=own(tmp_path), grants=NONE, keyring=NOBODYS)
    with pytest.raises(RegistryError) as caught:
        await connect(registries, "registry.example")
    assert caught.value.code is Code.REGISTRY_CREDENTIALS_UNREADABLE


async def test_a_credential_the_registry_refuses_is_looked_up_anew(
    wire: Wire, config: Path, registry: FakeRegistry
) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Basic("AWS", "new"))
    write(config, {"credHelpers": {registry.address: "ecr-login"}})
    secrets = iter(["old", "new"])
    places = [File(str(config), "podman")]
    asking = OwnCredentials(
        places, helper_timeout=10, helper_cache=900, emit=lambda _: None, run=lambda *_: Answer("AWS", next(secrets))
    )
    registries = Registries(wire, settings=lambda _: Settings(), own=asking, grants=ALL, keyring=NOBODYS)
    client = await connect(registries, registry.address)
    assert await client.head_manifest("team/app", "1") is None
    assert next(secrets, "all were asked for") == "all were asked for"


async def test_it_is_looked_up_for_the_repository_that_was_refused_and_not_for_another(
    wire: Wire, config: Path, registry: FakeRegistry
) -> None:
    def auth(user: str) -> dict[str, str]:
        return {"auth": base64.b64encode(f"{user}:secret".encode()).decode()}

    registry.behaviour = replace(registry.behaviour, auth=Basic("team", "secret"))
    write(config, {"auths": {registry.address: auth("old")}})
    grants = Grants((Grant(registry="*", repositories=("team/*",), users=EVERYONE),))
    registries = Registries(wire, settings=lambda _: Settings(), own=own(config), grants=grants, keyring=NOBODYS)
    administrator = Asker(user=User(uid=0, gids=frozenset(), administrator=True))
    await registries.connect(registry.address, repository="secret/app", asker=administrator)
    client = await connect(registries, registry.address)
    write(config, {"auths": {f"{registry.address}/secret": auth("root"), f"{registry.address}/team": auth("team")}})
    with contextlib.suppress(RegistryError):
        await client.head_manifest("team/app", "1")
    sent = {seen.headers["Authorization"] for seen in registry.requests if "Authorization" in seen.headers}
    assert sent == {f"Basic {auth(user)['auth']}" for user in ("old", "team")}


# ---------------------------------------------------------------------------------------- whose use credentials are


@pytest.mark.parametrize(
    ("grant", "allowed"),
    [
        (Grant(registry="registry.example", repositories=("team/*",), users=frozenset({1001})), True),
        (Grant(registry="registry.example", repositories=("team/*",), groups=frozenset({100})), True),
        (Grant(registry="registry.example", repositories=("other/*",), users=frozenset({1001})), False),
        (Grant(registry="other.example", users=EVERYONE), False),
        (Grant(registry="registry.example", users=frozenset({1002}), groups=frozenset({101})), False),
    ],
)
async def test_a_credential_is_used_for_whom_it_was_granted(
    wire: Wire, config: Path, grant: Grant, *, allowed: bool
) -> None:
    log_in(config, "alice")
    registries = Registries(
        wire, settings=lambda _: Settings(), own=own(config), grants=Grants((grant,)), keyring=NOBODYS
    )
    if allowed:
        assert (await connect(registries, "registry.example")).credential == "docker-config:alice"
    else:
        with pytest.raises(RequestError):
            await connect(registries, "registry.example")


async def test_administrators_need_no_grant(wire: Wire, config: Path) -> None:
    log_in(config, "alice")
    registries = Registries(wire, settings=lambda _: Settings(), own=own(config), grants=NONE, keyring=NOBODYS)
    administrator = User(uid=1001, gids=frozenset(), administrator=True)
    assert (await connect(registries, "registry.example", administrator)).credential == "docker-config:alice"


async def test_root_that_came_as_less_than_an_administrator_does_need_one(wire: Wire, config: Path) -> None:
    log_in(config, "alice")
    registries = Registries(wire, settings=lambda _: Settings(), own=own(config), grants=NONE, keyring=NOBODYS)
    with pytest.raises(RequestError):
        await connect(registries, "registry.example", User(uid=0, gids=frozenset({0}), administrator=False))


async def test_whoever_may_not_use_the_credential_is_refused_and_not_made_anonymous(wire: Wire, config: Path) -> None:
    log_in(config, "alice")
    registries = Registries(wire, settings=lambda _: Settings(), own=own(config), grants=NONE, keyring=NOBODYS)
    with pytest.raises(RequestError) as caught:
        await connect(registries, "registry.example")
    assert caught.value.code is Code.REQUEST_FORBIDDEN
    assert str(caught.value) == (
        "registry.example: the daemon's credential for it may not be used by uid 1001 for team/app; "
        "log in yourself, or ask its administrator for a grant in [credentials]"
    )


async def test_that_somebody_else_was_given_a_client_gives_it_to_nobody_else(wire: Wire, config: Path) -> None:
    log_in(config, "alice")
    grants = Grants((Grant(registry="*", users=frozenset({1001})),))
    registries = Registries(wire, settings=lambda _: Settings(), own=own(config), grants=grants, keyring=NOBODYS)
    await connect(registries, "registry.example")
    with pytest.raises(RequestError):
        await connect(registries, "registry.example", User(uid=1002, gids=frozenset(), administrator=False))


async def test_where_there_is_no_credential_anybody_is_anonymous(wire: Wire, config: Path) -> None:
    log_in(config, "alice")
    registries = Registries(wire, settings=lambda _: Settings(), own=own(config), grants=NONE, keyring=NOBODYS)
    assert (await connect(registries, "other.example")).credential == "anonymous"


async def test_clients_that_nobody_asked_for_in_a_while_are_not_kept_for_ever(wire: Wire) -> None:
    registries = Registries(wire, settings=lambda _: Settings(), own=own(), grants=NONE, keyring=NOBODYS)
    first = await connect(registries, "first.example")
    for number in range(4000):
        await connect(registries, f"{number}.example")
        if number % 100 == 0:
            assert await connect(registries, "first.example") is first, "one that is used stays"
    assert len(registries._clients) <= 2048
