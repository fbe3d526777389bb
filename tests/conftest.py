"""Fixtures every test may ask for."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import aioresponses.core
import pytest
from hypothesis import settings

from tests.emitted import Emitted, Watching
from tests.fakes.registry import FakeRegistry
from tests.moods import tried

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aioresponses import aioresponses as Mocked  # noqa: N812 (the class has a function's name)


# Property tests are judged by what they find: a busy machine is not a finding, and a hang meets pytest's timeout.
settings.register_profile("pushd", deadline=None)
settings.load_profile("pushd")

_EMITTED = Emitted()
_EMITTED.watch()


def pytest_configure(config: pytest.Config) -> None:
    """Begin as a terminal would have it, and look at what is told."""
    # Whoever runs the tests in the background may have SIGINT ignored, and so would all they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Watching(_EMITTED), "emitted")
    config.pluginmanager.register(tried, "tried")


@pytest.fixture(scope="session", autouse=True)
def _nobodys_credentials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the logins of whoever runs the tests out of them: clients hand such over, and daemons read them."""
    nowhere = str(tmp_path_factory.getbasetemp() / "nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", nowhere)
        patch.setenv("XDG_CONFIG_HOME", nowhere)
        for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    """Give a registry on a loopback port; what it does not understand fails the test."""
    async with FakeRegistry() as fake:
        yield fake


class _WrittenWriter:
    """The writer of a request that has been sent."""

    output_size = 0


class _MockedResponse(aiohttp.ClientResponse):
    """What aioresponses 0.7.9 answers with: aiohttp 3.14 wants a `stream_writer`, which it does not know."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", _WrittenWriter())
        super().__init__(*args, **kwargs)


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mocked]:
    """Give aioresponses, for small tests from status to error; loopback goes through to real servers."""
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _MockedResponse)
    with aioresponses.aioresponses(passthrough=["http://127.0.0.1"]) as mocked:
        yield mocked
