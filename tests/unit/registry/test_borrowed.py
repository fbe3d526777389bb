"""Registries spoken to with what their users brought."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, DaemonError, RegistryError
from pushd.job import ANONYMOUS, DAEMON
from pushd.principal import User
from pushd.registry import Registries, Settings
from pushd.registry.grants import Grants
from pushd.registry.own import OwnCredentials
from pushd.work import Asker
from tests.fakes.behaviour import Basic, Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.registry import Wire
    from tests.fakes.registry import FakeRegistry

USER = User(uid=1001, gids=frozenset(), administrator=False)
ALICE = Credential("caller", "alice", "one")
AGAIN = Credential("caller", "alice", "two")


@dataclass(frozen=True)
class Found:
    credential: Credential
    number: int = 7


@dataclass
class Ring:
    """A keyring with one credential, or none."""

    found: Found | None = None
    failure: Exception | None = None
    spent: list[int] = field(default_factory=list)

    async def find(self, registry: str, repository: str, asker: Asker) -> Found | None:
        if self.failure is not None:
            raise self.failure
        return None if asker.choice == DAEMON else self.found

    async def spend(self, number: int) -> None:
        self.spent.append(number)


def registries(wire: Wire, ring: Ring) -> Registries:
    own = OwnCredentials((), helper_timeout=1, helper_cache=1, emit=lambda _: None)
    return Registries(wire, settings=lambda _: Settings(), own=own, grants=Grants(), keyring=ring)


def asker(choice: str = "auto") -> Asker:
    return Asker(user=USER, choice=choice)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that lets seconds pass."""
    passed = 0.0
    now = anyio.current_time

    def move(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(anyio, "current_time", lambda: now() + passed)
    return move


async def test_what_a_user_brought_is_used_and_known_to_be_theirs(wire: Wire) -> None:
    found = await registries(wire, Ring(Found(ALICE))).connect("r.example", repository="app", asker=asker())
    assert (found.credential, found.borrowed) == ("user:alice", True)


async def test_two_jobs_that_bring_the_same_share_a_client_and_its_tokens(wire: Wire) -> None:
    ring = Ring(Found(ALICE, 1))
    all_ = registries(wire, ring)
    first = await all_.connect("r.example", repository="app", asker=asker())
    ring.found = Found(Credential("caller", "alice", "one", where="elsewhere"), 2)
    assert await all_.connect("r.example", repository="app", asker=asker()) is first
    ring.found = Found(AGAIN, 3)
    assert await all_.connect("r.example", repository="app", asker=asker()) is not first


async def test_who_chooses_none_is_nobody_whatever_there_is(wire: Wire) -> None:
    found = await registries(wire, Ring(Found(ALICE))).connect("r.example", repository="app", asker=asker(ANONYMOUS))
    assert (found.credential, found.borrowed) == ("anonymous", False)


async def test_who_chooses_the_daemons_where_it_has_none_is_told_so(wire: Wire) -> None:
    with pytest.raises(RegistryError) as caught:
        await registries(wire, Ring(Found(ALICE))).connect("r.example", repository="app", asker=asker(DAEMON))
    assert caught.value.code is Code.REGISTRY_CREDENTIALS


async def test_a_key_that_cannot_be_used_is_waited_for(wire: Wire) -> None:
    ring = Ring(failure=DaemonError(Code.DAEMON_CONFIG, "/var/lib/pushd/sealing.key", "is too short"))
    with pytest.raises(RegistryError) as caught:
        await registries(wire, ring).connect("r.example", repository="app", asker=asker())
    assert caught.value.code is Code.REGISTRY_NEEDS_CREDENTIAL
    assert caught.value.retry_after
    assert "/var/lib/pushd/sealing.key" in str(caught.value)


async def test_a_credential_that_was_refused_is_spent(wire: Wire, registry: FakeRegistry) -> None:
    ring = Ring(Found(ALICE))
    all_ = registries(wire, ring)
    registry.behaviour = Behaviour(auth=Basic("alice", "one"))
    client = await all_.connect(registry.address, repository="app", asker=asker())
    assert await client.head_manifest("app", "1") is None
    assert (client.accepted, client.refused) == (True, False)
    await all_.refused(registry.address, repository="app", asker=asker())
    assert ring.spent == [], "it was not"
    registry.behaviour = Behaviour(auth=Basic("alice", "two"))
    with pytest.raises(RegistryError):
        await client.head_manifest("app", "1")
    assert (client.accepted, client.refused) == (True, True)
    await all_.refused(registry.address, repository="app", asker=asker())
    assert ring.spent == [7]


async def test_one_that_was_brought_in_its_place_meanwhile_is_not(wire: Wire, registry: FakeRegistry) -> None:
    ring = Ring(Found(ALICE))
    all_ = registries(wire, ring)
    registry.behaviour = Behaviour(auth=Basic("alice", "two"))
    client = await all_.connect(registry.address, repository="app", asker=asker())
    with pytest.raises(RegistryError):
        await client.head_manifest("app", "1")
    ring.found = Found(AGAIN, 8)
    await all_.refused(registry.address, repository="app", asker=asker())
    assert ring.spent == []


async def test_credentials_that_nobody_asks_for_do_not_stay_in_memory(
    wire: Wire, later: Callable[[float], None]
) -> None:
    ring = Ring(Found(ALICE))
    all_ = registries(wire, ring)
    first = await all_.connect("r.example", repository="app", asker=asker())
    later(800)
    all_.sweep()
    assert await all_.connect("r.example", repository="app", asker=asker()) is first
    later(800)
    all_.sweep()
    assert await all_.connect("r.example", repository="app", asker=asker()) is first, "it was asked for since"
    later(1000)
    all_.sweep()
    assert all_._clients == {}
