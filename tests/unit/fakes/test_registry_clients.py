"""The fake registry satisfies real clients: what crane and skopeo push is what they pull."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fakes.behaviour import DISTRIBUTION_2, DISTRIBUTION_3, ZOT, Basic, Bearer, Behaviour
from tests.fakes.faults import CutBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.integration.parts import CRANE, SKOPEO, assert_identical, read_back, run

if TYPE_CHECKING:
    from pathlib import Path

BEHAVIOURS = {"distribution-2": DISTRIBUTION_2, "distribution-3": DISTRIBUTION_3, "zot": ZOT}
IMAGE = ImageSpec(tag="1.4", layers=[300_000, 1024], platforms=["linux/amd64", "linux/arm64"])


def push_with_skopeo(layout: Path, reference: str, *more: str) -> None:
    copied = run(
        SKOPEO.find(),
        *("--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", *more),
        f"oci:{layout}:1.4",
        f"docker://{reference}",
    )
    assert copied.returncode == 0, copied.stderr


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_what_skopeo_pushes_skopeo_reads_back(tmp_path: Path, behaviour: Behaviour) -> None:
    layout = build_layout(tmp_path / "app", [IMAGE])
    with FakeRegistry(behaviour).in_thread() as registry:
        push_with_skopeo(layout.path, f"{registry.address}/team/app:1.4")
        back = read_back(f"{registry.address}/team/app:1.4", tmp_path / "back")
    assert_identical(layout, layout.image, back)


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_what_crane_pushes_is_all_there(tmp_path: Path, behaviour: Behaviour) -> None:
    layout = build_layout(tmp_path / "app", [IMAGE])
    with FakeRegistry(behaviour).in_thread() as registry:
        pushed = run(CRANE.find(), "push", "--index", layout.path, f"{registry.address}/team/app:1.4")
        assert pushed.returncode == 0, pushed.stderr
        found = registry.repository("team/app")
        assert set(found.blobs) == {str(blob.digest) for blob in layout.image.blobs}
        assert str(layout.image.digest) in found.manifests


@pytest.mark.parametrize("auth", [Basic(), Bearer(), Bearer(account=None)], ids=["basic", "bearer", "anonymous bearer"])
def test_skopeo_pushes_with_credentials(tmp_path: Path, auth: Basic | Bearer) -> None:
    layout = build_layout(tmp_path / "app", [IMAGE])
    with FakeRegistry(Behaviour(auth=auth)).in_thread() as registry:
        account = auth if isinstance(auth, Basic) else auth.account
        known = ["--dest-creds", f"{account.username}:{account.password}"] if account else []
        push_with_skopeo(layout.path, f"{registry.address}/team/app:1.4", *known)
        assert str(layout.image.digest) in registry.repository("team/app").manifests
        assert (registry.count(Kind.TOKEN) > 0) is isinstance(auth, Bearer)


def test_crane_pushes_with_a_token(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [IMAGE])
    with FakeRegistry(Behaviour(auth=Bearer())).in_thread() as registry:
        account = {"auths": {registry.address: {"username": Basic().username, "password": Basic().password}}}
        (tmp_path / "config.json").write_text(json.dumps(account))
        pushed = run(
            *(CRANE.find(), "push", "--index", layout.path, f"{registry.address}/team/app:1.4"),
            environment={"DOCKER_CONFIG": str(tmp_path), "PATH": ""},
        )
        assert pushed.returncode == 0, pushed.stderr
        assert registry.count(Kind.TOKEN) == 1


def test_crane_starts_a_blob_over_whose_connection_was_cut(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [IMAGE])
    with FakeRegistry(ZOT).in_thread() as registry:
        cut = registry.misbehave(CutBody(after=100), kind=Kind.STREAM)
        pushed = run(CRANE.find(), "push", "--index", layout.path, f"{registry.address}/team/app:1.4")
        assert pushed.returncode == 0, pushed.stderr
        assert cut.acted == 1
        assert registry.count(Kind.STREAM) == len(layout.image.blobs) + 1
