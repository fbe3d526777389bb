"""A source in a registry: the daemon reads it, with the caller's own credential for it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from pushd.client import Client
from pushd.client.sources import absolute, in_registry
from pushd.errors import Code, SourceError
from tests.fakes.daemon import FakeDaemon, answer, job, problem

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "docker://base.example.com/app:1"
DESTINATION = "registry.example.com/team/app:1"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the caller credentials for both registries, and for one more."""
    auths = {
        name: {"auth": base64.b64encode(f"{name[0]}:secret".encode()).decode()}
        for name in ("base.example.com", "registry.example.com", "other.example.com")
    }
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_name_goes_to_the_daemon_as_it_is() -> None:
    assert absolute(SOURCE, "/elsewhere") == SOURCE
    assert in_registry(SOURCE) == (SOURCE,)
    assert in_registry("oci:/docker://x") == ()


@pytest.mark.usefixtures("own")
def test_the_callers_own_for_the_source_is_handed_over_too(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "pushd.sock", answer(job(), status=202)) as daemon:
        Client(str(tmp_path / "pushd.sock")).submit(SOURCE, [DESTINATION])
    body = daemon.received[0].json
    assert body["source"] == SOURCE
    assert {one["registry"] for one in body["credentials"]} == {"base.example.com", "registry.example.com"}


@pytest.mark.parametrize("code", [Code.SOURCE_NOT_FOUND, Code.SOURCE_UNREADABLE])
def test_it_is_not_opened_here_when_the_daemon_cannot(tmp_path: Path, code: Code) -> None:
    with FakeDaemon(tmp_path / "pushd.sock", problem(code, 422, "is not there")) as daemon:
        with pytest.raises(SourceError) as caught:
            Client(str(tmp_path / "pushd.sock")).submit(SOURCE, [DESTINATION])
        assert caught.value.code is code
    assert len(daemon.received) == 1
