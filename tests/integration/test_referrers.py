"""What refers to an image arrives with it: at registries that list nothing by themselves, and at one that does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from pushd.oci.referrers import referrers_tag
from tests.fakes.faults import Answer
from tests.fakes.images import INDEX, MANIFEST, ImageSpec, build_layout, entry
from tests.fakes.referrers import build_signed, cosign, keys_of, refer, tag_of, tagged
from tests.fakes.traffic import Kind
from tests.integration.conftest import NAMES
from tests.integration.daemon import Daemon
from tests.integration.parts import ORAS, RealRegistry, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pushd.oci.digest import Digest
    from tests.fakes.referrers import Signed
    from tests.fakes.registry import FakeRegistry


@dataclass(frozen=True)
class Place:
    """A repository somewhere, and whether the registry lists referrers by itself."""

    address: str
    lists: bool
    repository: str = "team/app"

    def reference(self, tag: str = "1.4") -> str:
        return f"{self.address}/{self.repository}:{tag}"

    def manifest(self, reference: str) -> bytes:
        return self._ask(f"manifests/{reference}")

    def blob(self, digest: Digest) -> bytes:
        return self._ask(f"blobs/{digest}")

    def listed(self, subject: Digest) -> list[dict[str, Any]]:
        index = self._ask(f"referrers/{subject}") if self.lists else self.manifest(referrers_tag(subject))
        listed: list[dict[str, Any]] = json.loads(index)["manifests"]
        return listed

    def has_tag(self, tag: str) -> bool:
        try:
            return bool(self.manifest(tag))
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False

    def remove(self, digest: Digest) -> None:
        self._ask(f"manifests/{digest}", method="DELETE")

    def _ask(self, path: str, method: str = "GET") -> bytes:
        url = f"http://{self.address}/v2/{self.repository}/{path}"
        request = urllib.request.Request(url, headers={"Accept": f"{MANIFEST}, {INDEX}"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
            return content


def started(name: str, tmp_path: Path) -> Iterator[RealRegistry]:
    directory = tmp_path / f"at-{name}"
    directory.mkdir()
    (tool,) = (tool for tool, known in NAMES.items() if known == name)
    real = RealRegistry(name, tool.find(), directory)
    try:
        real.start()
        yield real
    finally:
        real.stop()


@pytest.fixture(params=[*NAMES.values(), "API"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give a repository in each of the registries in turn: two that have no referrers API, and one that has."""
    if request.param == "API":
        served: FakeRegistry = request.getfixturevalue("served")
        yield Place(served.address, lists=True)
        return
    for real in started(request.param, tmp_path):
        yield Place(real.address, lists=False)


def push(daemon: Daemon, source: str, *destinations: str, **more: object) -> dict[str, Any]:
    job: dict[str, Any] = daemon.wait(daemon.submit(source, *destinations, with_referrers=True, **more))
    assert job["state"] == "succeeded", job
    return job


def check_there(place: Place, signed: Signed) -> None:
    for manifest in signed.manifests:
        if manifest is not signed.sig:
            assert place.manifest(str(manifest.digest)) == signed.layout.blob_path(manifest.digest).read_bytes()
    for manifest, subject in signed.referring:
        (listed,) = place.listed(subject)
        said = json.loads(place.manifest(str(manifest.digest)))
        wanted = {"artifactType": said["artifactType"], "annotations": said["annotations"]}
        assert listed == entry(manifest, **wanted)
    assert place.manifest("1.4") == signed.layout.blob_path(signed.image.digest).read_bytes()
    assert place.manifest(tag_of(signed.image.digest)) == signed.layout.blob_path(signed.sig.digest).read_bytes()
    for manifest in (signed.signature, signed.sbom, signed.countersigned, signed.sig):
        fields = json.loads(signed.layout.blob_path(manifest.digest).read_bytes())
        for blob in (fields["config"], *fields["layers"]):
            path = signed.layout.path / "blobs" / blob["digest"].replace(":", "/")
            assert place.blob(blob["digest"]) == path.read_bytes()


def test_an_index_with_attestations_and_signatures_arrives_complete(
    daemon: Daemon, place: Place, tmp_path: Path
) -> None:
    signed = build_signed(tmp_path / "app")
    job = push(daemon, signed.source, place.reference())
    assert job["referrers"] == 4
    check_there(place, signed)
    again = push(daemon, signed.source, place.reference())
    assert again["deliveries"][0]["transfers"] == []
    asked = {"source": signed.source, "destinations": [place.reference()], "with_referrers": True}
    plan = daemon.request("POST", "/v1/plan", asked).body
    assert (plan["referrers"], plan["destinations"][0]["action"]) == (4, "nothing")


@pytest.mark.parametrize("origin", [*NAMES.values(), "API"], ids=lambda name: f"from {name}")
def test_from_registry_to_registry_it_arrives_complete(
    daemon: Daemon, place: Place, served: FakeRegistry, origin: str, tmp_path: Path
) -> None:
    signed = build_signed(tmp_path / "app")

    def through(address: str) -> None:
        push(daemon, signed.source, f"{address}/base/app:1.4")
        push(daemon, f"docker://{address}/base/app:1.4", place.reference())
        check_there(place, signed)

    if origin == "API":
        through(served.address)
        return
    (tmp_path / "origin").mkdir()
    for real in started(origin, tmp_path / "origin"):
        through(real.address)


@pytest.mark.parametrize("place", list(NAMES.values()), indirect=True)
def test_it_is_there_before_tags_that_move_together_do(
    daemon: Daemon, place: Place, served: FakeRegistry, tmp_path: Path
) -> None:
    signed = build_signed(tmp_path / "app")
    served.misbehave(Answer(status=503), kind=Kind.OPEN)
    destinations = [place.reference(), f"{served.address}/team/app:1.4"]
    job = daemon.submit(signed.source, *destinations, with_referrers=True, tags="together")
    wait_until(lambda: daemon.job(job)["deliveries"][0]["ready"], "one destination is ready", pause=0.01)
    assert not place.has_tag("1.4")
    assert place.has_tag(tag_of(signed.image.digest))
    assert [one["digest"] for one in place.listed(signed.image.digest)] == [str(signed.signature.digest)]
    assert daemon.wait(job)["state"] == "succeeded"
    for there in (place, Place(served.address, lists=True)):
        check_there(there, signed)


def test_jobs_at_once_lose_none_of_what_refers_to_one_image(daemon: Daemon, place: Place, tmp_path: Path) -> None:
    names, jobs = "abcdef", []
    for name in names:
        layout = build_layout(tmp_path / name, [ImageSpec(tag="1.4")])
        root = layout.image.root
        layout.write_index(
            tagged("1.4", root),
            entry(refer(layout, root, said=name)),
            tagged(tag_of(root.digest), cosign(layout, root.digest, name)),
        )
        jobs.append(daemon.submit(f"oci:{layout.path}:1.4", place.reference(name), with_referrers=True))
    assert {daemon.wait(job)["state"] for job in jobs} == {"succeeded"}
    assert {one["annotations"]["org.example.said"] for one in place.listed(root.digest)} == set(names)
    assert sorted(keys_of(place.manifest(tag_of(root.digest)))) == list(names)


def test_daemons_at_once_lose_none_of_each_others(daemon: Daemon, place: Place, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    another = Daemon(tmp_path / "another")
    try:
        another.start()
        jobs = []
        for name, at in (("a", daemon), ("b", another)):
            layout = build_layout(tmp_path / name, [ImageSpec(tag="1.4")])
            root = layout.image.root
            layout.write_index(
                tagged("1.4", root),
                entry(refer(layout, root, said=name)),
                tagged(tag_of(root.digest), cosign(layout, root.digest, name)),
            )
            jobs.append((at, at.submit(f"oci:{layout.path}:1.4", place.reference(), with_referrers=True)))
        assert {at.wait(job)["state"] for at, job in jobs} == {"succeeded"}
        assert {one["annotations"]["org.example.said"] for one in place.listed(root.digest)} == {"a", "b"}
        assert sorted(keys_of(place.manifest(tag_of(root.digest)))) == ["a", "b"]
        another.close()
    finally:
        another.discard()


def test_oras_finds_it_and_what_oras_copied_is_taken_along(daemon: Daemon, place: Place, tmp_path: Path) -> None:
    signed = build_signed(tmp_path / "app")
    push(daemon, signed.source, place.reference())
    found = run(ORAS.find(), "discover", "--plain-http", "--format", "json", place.reference())
    assert found.returncode == 0, found.stderr
    assert str(signed.signature.digest) in found.stdout
    copied = run(
        *(ORAS.find(), "copy", "--recursive", "--from-plain-http", place.reference()),
        *("--to-oci-layout", f"{tmp_path / 'copied'}:1.4"),
    )
    assert copied.returncode == 0, copied.stderr
    job = push(daemon, f"oci:{tmp_path / 'copied'}:1.4", f"{place.address}/again/app:1.4")
    assert job["referrers"] == 3, "oras knows nothing of cosign's tags"
    again = Place(place.address, place.lists, "again/app")
    for manifest, subject in signed.referring:
        assert [one["digest"] for one in again.listed(subject)] == [str(manifest.digest)]


def test_what_was_listed_and_removed_since_is_no_obstacle(daemon: Daemon, place: Place, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4")])
    for said in ("one", "two", "three"):
        signature = refer(layout, layout.image.root, said=said)
        layout.write_index(tagged("1.4", layout.image.root), entry(signature))
        push(daemon, f"oci:{layout.path}:1.4", place.reference())
        if said == "one":
            place.remove(signature.digest)
    assert {one["annotations"]["org.example.said"] for one in place.listed(layout.image.digest)} == {"two", "three"}


def test_an_image_that_nobody_signed_arrives_alone(daemon: Daemon, place: Place, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4")])
    job = push(daemon, f"oci:{layout.path}:1.4", place.reference())
    assert job["referrers"] == 0
    assert not place.has_tag(referrers_tag(layout.image.digest))


def test_a_source_that_lies_is_refused_before_anything_is_taken(daemon: Daemon, place: Place, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4"), ImageSpec(tag="1.5")])
    ours, other = (layout.images[tag].root for tag in ("1.4", "1.5"))
    index = layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(other)]}, INDEX)
    layout.write_index(tagged("1.4", ours), tagged(referrers_tag(ours.digest), index))
    asked = {"source": f"oci:{layout.path}:1.4", "destinations": [place.reference()], "with_referrers": True}
    refused = daemon.request("POST", "/v1/jobs", asked)
    assert (refused.status, refused.body["code"]) == (422, "source.manifest_invalid")
    assert str(other.digest) in refused.body["detail"]
    assert not place.has_tag("1.4")
