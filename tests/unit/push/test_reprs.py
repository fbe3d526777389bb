"""What the daemon is made of shows no secret: `repr` of all of it, while it pushes and when that has failed."""

from __future__ import annotations

import base64
import gc
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from pushd.credentials.credential import Credential
from pushd.job import JobSpec
from pushd.push.delivery import Deliverer
from pushd.work import Handed
from tests.fakes.behaviour import Basic, Bearer, Behaviour
from tests.fakes.callers import ROOT
from tests.fakes.faults import Action
from tests.fakes.images import build_layout
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from aiohttp import web

    from tests.fakes.faults import Exchange
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder

CANARY = "c4n4ry"
ACCOUNT = Basic("alice", f"{CANARY}Password")
ENCODED = base64.b64encode(f"alice:{ACCOUNT.password}".encode()).decode()


def shown() -> Iterator[str]:
    """Give the `repr` of everything that is an instance of a class of ours."""
    for thing in gc.get_objects():
        if str(type(thing).__module__).startswith("pushd."):
            with suppress(AttributeError):  # one that is half made
                yield repr(thing)


class Look(Action):
    """Look around while a request is under way."""

    def __init__(self) -> None:
        self.leaks: list[str] = []
        self.looked = 0

    async def arrive(self, exchange: Exchange) -> None:
        found = list(shown())
        self.looked += len(found)
        self.leaks += [text for text in found if CANARY in text or ENCODED in text]

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        pass


async def test_no_repr_of_anything_of_ours_shows_a_secret(
    house: Builder, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fakes.tokens.secrets.token_urlsafe", lambda: f"{CANARY}Token")
    registry.behaviour = Behaviour(auth=Bearer(account=ACCOUNT))
    look = Look()
    for kind in (Kind.TOKEN, Kind.OPEN, Kind.COMMIT, Kind.MANIFEST):
        registry.misbehave(look, kind=kind)
    handed = Handed(scope=registry.address, credential=Credential("caller", ACCOUNT.username, ACCOUNT.password))
    login = Handed(scope=registry.address, credential=Credential("login", ACCOUNT.username, ACCOUNT.password))
    errors: list[BaseException] = []
    deliver = Deliverer.deliver

    async def delivering(*args: object) -> object:
        try:
            return await deliver(*args)  # type: ignore[arg-type]  # whatever it was called with
        except Exception as error:
            errors.append(error)
            raise

    monkeypatch.setattr(Deliverer, "deliver", delivering)
    source = f"oci:{build_layout(tmp_path / 'image').path}"
    async with house.run() as pushd:
        await pushd.house.logins.store("work", login, caller=ROOT)
        for tag, given in (("1", handed), ("2", wrong(registry))):
            spec = JobSpec(source=source, destinations=(f"{registry.address}/app:{tag}",))
            await pushd.ended(await pushd.house.engine.submit(spec, handed=(given,), caller=ROOT))
        found = list(shown())
        look.leaks += [text for text in found if CANARY in text or ENCODED in text]
        assert len(found) > 100
    assert look.looked > 400
    assert look.leaks == []
    (error,) = errors
    told = "".join(traceback.format_exception(error))
    assert CANARY not in told
    assert ENCODED not in told


def wrong(registry: FakeRegistry) -> Handed:
    return Handed(scope=registry.address, credential=Credential("caller", "alice", f"{CANARY}Wrong"))
