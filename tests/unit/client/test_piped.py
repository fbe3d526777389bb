"""Archives that come down a pipe."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client, piped
from pushd.errors import Code, DaemonError, PushdError, RequestError, SourceError
from tests.fakes.archives import (
    LAYER,
    Link,
    SavedImage,
    docker_archive,
    docker_members,
    manifest_of,
    of_kind,
    tar,
)
from tests.fakes.images import ImageSpec, build_layout, entry, pack
from tests.fakes.spool_server import Answer, Cut, Lose, Refusal, Restart, SpoolServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.archives import Member
    from tests.fakes.images import Layout
    from tests.fakes.spool_server import Fault

DESTINATION = "registry.example.com/team/app:1.4"
MIB = 1 << 20


class Pipe(io.RawIOBase):
    """Bytes that can only be read once and forwards, in portions as a pipe gives them."""

    def __init__(self, content: bytes, portion: int = 1 << 16) -> None:
        super().__init__()
        self._content = memoryview(content)
        self._portion = portion

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._content[: min(len(buffer), self._portion)]
        buffer[: len(part)] = part
        self._content = self._content[len(part) :]
        return len(part)

    @property
    def left(self) -> int:
        return len(self._content)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SpoolServer]:
    with SpoolServer(tmp_path / "pushd.sock") as server:
        yield server


@pytest.fixture
def client(daemon: SpoolServer) -> Client:
    return Client(str(daemon.path), patience=5.0)


def _submit(client: Client, content: bytes, reference: str = "", **more: Any) -> None:
    pipe = Pipe(content)
    client.submit_stream(io.BufferedReader(pipe), [DESTINATION], reference=reference, **more)
    assert not pipe.left


def _refused(client: Client, content: bytes, reference: str = "") -> PushdError:
    with pytest.raises(PushdError) as caught:
        client.submit_stream(io.BufferedReader(Pipe(content)), [DESTINATION], reference=reference)
    return caught.value


def _root(daemon: SpoolServer) -> bytes:
    """Give the manifest of the only job."""
    (submitted,) = daemon.jobs
    return daemon.files(submitted["spooled"]["entry"])[submitted["spooled"]["digest"]]


def _bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", images=[ImageSpec(tag="1.4", layers=[3_000_000, 2048])])


# ------------------------------------------------------------------------------------------------- OCI archives


def test_an_oci_archive_is_brought_as_it_is(
    daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path
) -> None:
    content = pack(layout.path, tmp_path / "app.tar").read_bytes()
    _submit(client, content, priority=3, labels={"a": "b"}, idempotency_key="k")
    (submitted,) = daemon.jobs
    root = layout.image.root
    assert submitted["spooled"]["digest"] == str(root.digest)
    assert submitted["spooled"]["media_type"] == root.media_type
    assert (submitted["source"], submitted["priority"], submitted["labels"]) == ("-:1.4", 3, {"a": "b"})
    assert daemon.keys == ["k"]
    built = layout.image
    expected = {str(one.digest): layout.blob_path(one.digest).read_bytes() for one in (*built.manifests, *built.blobs)}
    assert daemon.files("entry-1") == expected


def test_gzip_is_undone_on_the_way(daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path) -> None:
    content = pack(layout.path, tmp_path / "app.tar").read_bytes()
    half = len(content) // 2
    members = gzip.compress(content[:half], 1) + gzip.compress(content[half:], 1) + bytes(512)
    _submit(client, members)
    assert daemon.jobs[0]["spooled"]["digest"] == str(layout.image.digest)


def test_the_chosen_platforms_of_an_index_are_the_image(daemon: SpoolServer, client: Client, tmp_path: Path) -> None:
    spec = ImageSpec(platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(tmp_path / "multi", images=[spec])
    _submit(client, pack(layout.path, tmp_path / "app.tar").read_bytes(), platforms=["linux/arm64"])
    (submitted,) = daemon.jobs
    assert submitted["platforms"] == ["linux/arm64"]
    listed = {child["digest"] for child in json.loads(_root(daemon))["manifests"]}
    assert listed == {str(one.digest) for one in layout.image.parts["linux/arm64"].manifests}
    assert layout.image.parts["linux/arm64"].digests <= daemon.files("entry-1").keys()


def test_of_the_platforms_that_were_not_chosen_nothing_has_to_be_in_the_archive(
    daemon: SpoolServer, client: Client, tmp_path: Path
) -> None:
    """As `docker save` leaves it of an image of which only one platform was ever pulled."""
    layout = build_layout(tmp_path / "multi", images=[ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    arm64 = layout.image.parts["linux/arm64"]
    for lacking in (*arm64.manifests, *arm64.blobs):
        layout.blob_path(lacking.digest).unlink()
    content = pack(layout.path, tmp_path / "app.tar").read_bytes()
    _submit(client, content, platforms=["linux/amd64"])
    assert len(json.loads(_root(daemon))["manifests"]) == 1
    refused = _refused(client, content)
    assert refused.code is Code.SOURCE_BLOB_MISSING
    assert "--platform" in refused.hint


def test_one_image_of_several_is_chosen_by_its_name(daemon: SpoolServer, client: Client, tmp_path: Path) -> None:
    specs = [ImageSpec(tag="one"), ImageSpec(tag="two", platforms=["linux/amd64", "linux/arm64"])]
    layout = build_layout(tmp_path / "many", images=specs)
    content = pack(layout.path, tmp_path / "many.tar").read_bytes()
    _submit(client, content, "two")
    assert daemon.jobs[0]["spooled"]["digest"] == str(layout.images["two"].digest)
    assert daemon.jobs[0]["source"] == "-:two"
    refused = _refused(client, content)
    assert refused.code is Code.SOURCE_AMBIGUOUS
    assert "-:NAME" in refused.hint
    assert _refused(client, content, "three").code is Code.SOURCE_REFERENCE_UNKNOWN
    assert set(daemon.entries) == {"entry-1"}


def test_the_room_grows_with_what_comes_and_is_given_back(
    daemon: SpoolServer, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(piped, "FIRST", 1000)
    layers = [_bytes(700 + number, number) for number in range(6)]
    layout = build_layout(tmp_path / "app", images=[ImageSpec(layers=[70_000, 100_000, 80_000])])
    content = pack(layout.path, tmp_path / "app.tar").read_bytes()
    _submit(client, content)
    held = sum(map(len, daemon.files("entry-1").values()))
    assert daemon.reserved[0] == 1000
    assert daemon.reserved[-1] == held
    assert len(daemon.reserved) < 2 + len(layers)


def test_a_quota_that_cannot_be_doubled_is_used_to_its_end(
    daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path
) -> None:
    content = pack(layout.path, tmp_path / "app.tar").read_bytes()
    daemon.quota = 3_010_000
    _submit(client, content)
    assert daemon.jobs


def test_a_quota_that_is_too_small_is_told_and_nothing_is_left(
    daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path
) -> None:
    daemon.quota = 2_000_000
    refused = _refused(client, pack(layout.path, tmp_path / "app.tar").read_bytes())
    assert refused.code is Code.REQUEST_LIMIT
    assert daemon.entries == {}


def test_progress_is_told_without_a_total(daemon: SpoolServer, client: Client) -> None:
    told: list[tuple[int, int | None]] = []
    saved = SavedImage([_bytes(20 * MIB)])
    _submit(client, docker_archive([saved]), progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told[:3]] == [8 * MIB, 16 * MIB, 20 * MIB]
    assert {total for _, total in told} == {None}


# ---------------------------------------------------------------------------------------------- docker archives


@pytest.mark.parametrize("flat", [False, True])
def test_what_docker_save_wrote_before_25_becomes_an_oci_image(daemon: SpoolServer, client: Client, flat: bool) -> None:
    saved = SavedImage([_bytes(100_000), _bytes(2_000, 2)], names=["app:1"])
    _submit(client, docker_archive([saved], flat=flat))
    assert _root(daemon) == manifest_of(saved)
    files = daemon.files("entry-1")
    for content in (*saved.layers, saved.config):
        assert files[f"sha256:{hashlib.sha256(content).hexdigest()}"] == content
    assert daemon.jobs[0]["source"] == "-:app:1"
    assert daemon.jobs[0]["spooled"]["media_type"] == "application/vnd.oci.image.manifest.v1+json"


def test_the_same_archive_gives_the_same_image_each_time(daemon: SpoolServer, client: Client) -> None:
    content = docker_archive([SavedImage([_bytes(100_000)])])
    _submit(client, content)
    _submit(client, content)
    first, second = (job["spooled"]["digest"] for job in daemon.jobs)
    assert first == second


@pytest.mark.parametrize("size", [100_000, 3000, 10])
def test_a_layer_that_was_linked_is_found_and_one_used_twice_is_listed_twice(
    daemon: SpoolServer, client: Client, size: int
) -> None:
    layer = _bytes(size)
    saved = SavedImage([layer, _bytes(1024, 2), layer])
    _submit(client, docker_archive([saved], links=True))
    assert _root(daemon) == manifest_of(saved)


def test_a_hard_link_is_named_from_the_top_of_the_archive(daemon: SpoolServer, client: Client) -> None:
    layer = _bytes(100_000)
    saved = SavedImage([layer, layer])
    members = docker_members([saved], links=True)
    (name,) = (name for name, content in members.items() if isinstance(content, Link))
    target = next(other for other, content in members.items() if content == layer)
    members[name] = Link(target, hard=True)
    _submit(client, tar(members))
    assert _root(daemon) == manifest_of(saved)


@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd", "loop", "nothing"])
def test_a_link_that_leads_out_or_round_or_nowhere_is_refused(daemon: SpoolServer, client: Client, target: str) -> None:
    config = SavedImage([b"x"]).config
    listed = [{"Config": "c.json", "Layers": ["loop"], "RepoTags": None}]
    members: dict[str, Member] = {
        "c.json": config,
        "loop": Link(target),
        "manifest.json": json.dumps(listed).encode(),
    }
    refused = _refused(client, tar(members))
    assert refused.code in (Code.SOURCE_ARCHIVE_INVALID, Code.SOURCE_BLOB_MISSING)
    assert daemon.entries == {}


@pytest.mark.parametrize(("opened", "suffix"), [(gzip.compress, "+gzip"), (lambda _: b"\x28\xb5\x2f\xfdzstd", "+zstd")])
def test_a_compressed_layer_is_called_what_it_is(daemon: SpoolServer, client: Client, opened: Any, suffix: str) -> None:
    plain = _bytes(100_000)
    saved = SavedImage([opened(plain)], plain=[plain])
    _submit(client, docker_archive([saved]))
    assert _root(daemon) == manifest_of(saved, [suffix])


@pytest.mark.parametrize("reference", ["app:2", "docker.io/library/app:2", "@1"])
def test_a_saved_image_is_chosen_by_any_of_its_names(daemon: SpoolServer, client: Client, reference: str) -> None:
    images = [SavedImage([b"1" * 2000], names=["app:1"]), SavedImage([b"2" * 2000], names=["app:2", "app:latest"])]
    _submit(client, docker_archive(images), reference)
    assert _root(daemon) == manifest_of(images[1])


def test_a_saved_image_is_latest_without_a_tag(daemon: SpoolServer, client: Client) -> None:
    images = [SavedImage([b"1" * 2000], names=["app:1"]), SavedImage([b"2" * 2000], names=["app:latest"])]
    _submit(client, docker_archive(images), "app")
    assert _root(daemon) == manifest_of(images[1])


def test_of_several_saved_images_one_must_be_named(client: Client) -> None:
    images = [SavedImage([b"1" * 2000], names=["app:1"]), SavedImage([b"2" * 2000], names=["app:2"])]
    refused = _refused(client, docker_archive(images))
    assert refused.code is Code.SOURCE_AMBIGUOUS
    assert "app:1, app:2" in str(refused)


@pytest.mark.parametrize("reference", ["", "app:1", "1", "docker.io/library/app:1"])
def test_what_docker_25_saves_is_taken_as_the_oci_image_it_is(
    daemon: SpoolServer, client: Client, reference: str
) -> None:
    saved = SavedImage([_bytes(100_000)])
    _submit(client, docker_archive([saved], oci=True), reference)
    assert _root(daemon) == manifest_of(saved) + b"\n"


def test_what_docker_25_leaves_out_of_its_index_is_found_in_its_list(daemon: SpoolServer, client: Client) -> None:
    saved = SavedImage([_bytes(100_000)], names=[])
    members = docker_members([saved], oci=True)
    members["index.json"] = b'{"schemaVersion":2,"manifests":null}'
    _submit(client, tar(members))
    assert _root(daemon) == manifest_of(saved)
    assert daemon.jobs[0]["source"] == "-"


def test_a_layer_that_is_not_the_one_its_config_names_is_refused(daemon: SpoolServer, client: Client) -> None:
    saved = SavedImage([_bytes(100_000)], plain=[b"another"])
    refused = _refused(client, docker_archive([saved]))
    assert refused.code is Code.SOURCE_ARCHIVE_INVALID
    assert "its config says" in str(refused)
    assert daemon.entries == {}


# -------------------------------------------------------------------------------------------- bad archives


def _valid() -> dict[str, Member]:
    return docker_members([SavedImage([_bytes(100_000)])])


BAD: list[tuple[bytes, str]] = [
    (tar({"etc/hosts": b"127.0.0.1"}), "docker export"),
    (tar({"../x": b"", **_valid()}), "leads out"),
    (tar({"/x": b"", **_valid()}), "leads out"),
    (tar([*_valid().items(), ("manifest.json", b"[]")]), "more than once"),
    (tar({"blobs/sha256/" + "0" * 64: Link("x")}), "a symbolic link"),
    (tar({"manifest.json": b"{}"}), "no list"),
    (tar({"manifest.json": b"[" * 100_000}), "not JSON"),
    (tar({"manifest.json": b"\xff"}), "not JSON"),
    (tar({"manifest.json": b"[1]"}), "no object"),
    (tar({"manifest.json": b'[{"Layers":[]}]'}), "no Config"),
    (tar({"manifest.json": b'[{"Config":"c","Layers":[1]}]'}), "no list of names"),
    (tar({"manifest.json": b'[{"Config":"c","Layers":["l"]}]', "c": b"{}"}), "does not name its layers"),
    (tar({"manifest.json": b'[{"Config":"c","Layers":["l"]}]', "c": b"hello"}), "not JSON"),
    (
        tar({"manifest.json": b'[{"Config":"c","Layers":["l"]}]', "c": b'{"rootfs":{"diff_ids":[]}}'}),
        "lists 1 layers",
    ),
    (tar({"manifest.json": b'[{"Config":"c","Layers":[]}]'}), "is not there"),
    (tar({"manifest.json": b"[" + b" " * (4 << 20) + b"]"}), "manifest.json in the archive: is 4194306 bytes"),
    (
        tar({"manifest.json": b'[{"Config":"c"}]', "c": b"{" + b" " * (4 << 20)}),
        "c in the archive: is 4194305 bytes",
    ),
    (tar({"manifest.json": b'[{"Config":"c"}]', "c": b"hello" * 20_000}), "c in the archive: is not JSON"),
    (
        tar(
            {
                "manifest.json": b'[{"Config":"c","Layers":["l"]}]',
                "c": b'{"rootfs":{"diff_ids":["sha1:0"]}}',
                "l": b"",
            }
        ),
        "names a layer 'sha1:0', which has the algorithm sha1",
    ),
    (tar({"repositories": b"{}", "0" * 64 + "/layer.tar": b""}), "by a Docker before 1.10"),
    (tar({"dev/console": of_kind(tarfile.CHRTYPE), "run/x": of_kind(tarfile.FIFOTYPE)}), "docker export"),
    (tar([("manifest.json", b'[{"Config":"c"}]'), ("c", of_kind(tarfile.FIFOTYPE))]), "has 'c', which is a FIFO"),
    (tar({"x": of_kind(tarfile.GNUTYPE_SPARSE), **_valid()}), "a sparse file"),
]
"""Those that are refused alike when they are named by their path."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello", "truncated"),
        (b"no tar at all" * 1000, "is no tar"),
        (bytes(1024), "neither an index.json nor a manifest.json"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "unzstd"),
        (b"\xfd7zXZ\0" + bytes(600), "unxz"),
        (b"BZh9" + bytes(600), "bunzip2"),
        (b"\x1f\x8b\x08\x00garbage" + bytes(100), "does not add up"),
        (gzip.compress(tar(_valid()))[:-4], "truncated"),
        (gzip.compress(tar(_valid()))[:5000], "truncated"),
        (gzip.compress(tar(_valid()))[:-8] + bytes(8), "does not add up"),
        (gzip.compress(tar(_valid())) + b"more", "does not add up"),
        (tar(_valid())[:60_000], "within"),
        (tar(_valid())[:-10240], "truncated"),
        *BAD,
        (tar({"index.json": b'{"manifests":[]}'}), "no oci-layout"),
        (tar({"index.json": b'{"manifests":[]}', "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}), "no image"),
    ],
)
def test_a_bad_archive_ends_in_a_clear_error_and_leaves_nothing(
    daemon: SpoolServer, client: Client, content: bytes, said: str
) -> None:
    refused = _refused(client, content)
    assert isinstance(refused, SourceError)
    assert said in str(refused)
    assert (daemon.entries, daemon.jobs) == ({}, [])


@pytest.mark.parametrize("content", [content for content, _ in BAD])
def test_it_is_refused_for_the_same_reason_by_its_path(
    daemon: SpoolServer, client: Client, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "app.tar").write_bytes(content)
    refused = _refused(client, content)
    with pytest.raises(SourceError) as caught:
        client.submit(f"docker-archive:{tmp_path}/app.tar", [DESTINATION])
    said = caught.value
    subject = said.subject.replace(f"{tmp_path}/app.tar", "the archive")
    assert (said.code, subject) == (refused.code, refused.subject)
    assert said.detail.startswith(refused.detail)  # of what was kept more can be said


def _saved(**more: bool) -> bytes:
    plain = _bytes(5000, 3)
    images = [
        SavedImage([_bytes(100_000), _bytes(3000, 2), _bytes(100_000)], names=["app:1", "example.com/app:one"]),
        SavedImage([_bytes(100_000), gzip.compress(plain)], names=["app:latest"], plain=[_bytes(100_000), plain]),
    ]
    return docker_archive(images, **more)


@pytest.mark.parametrize(
    "reference", ["app:1", "app", "docker.io/library/app", "example.com/app:one", "@0", "@1", "", "x"]
)
@pytest.mark.parametrize(
    "content",
    [
        _saved(),
        _saved(links=True),
        _saved(flat=True),
        _saved(oci=True),
        tar({**docker_members([]), "index.json": b"{}"}),
    ],
    ids=["before 25", "linked", "flat", "since 25", "empty"],
)
def test_an_archive_is_the_same_image_down_a_pipe_and_by_its_path(
    daemon: SpoolServer, client: Client, tmp_path: Path, content: bytes, reference: str
) -> None:
    (tmp_path / "app.tar").write_bytes(content)
    daemon.refuse_path(Refusal(422, "source.unreadable"))

    def given(submit: Callable[[], object]) -> object:
        try:
            submit()
        except SourceError as error:
            return error.code, error.detail
        spooled = daemon.jobs[-1]["spooled"]
        files = daemon.files(spooled["entry"])
        manifest = json.loads(files[spooled["digest"]])
        return spooled["digest"], {
            one["digest"]: files[one["digest"]] for one in (manifest["config"], *manifest["layers"])
        }

    stream = io.BytesIO(content)
    down_a_pipe = given(lambda: client.submit_stream(stream, [DESTINATION], reference=reference))
    by_its_path = given(lambda: client.submit(f"docker-archive:{tmp_path}/app.tar:{reference}", [DESTINATION]))
    assert by_its_path == down_a_pipe


def test_a_name_that_would_command_a_terminal_is_shown_harmless(client: Client) -> None:
    refused = _refused(client, tar([("\x1b[31mred", b""), ("\x1b[31mred", b"")]))
    assert "\x1b" not in str(refused)


def test_an_archive_that_lacks_a_platform_of_its_index_says_what_to_do(client: Client, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "m", images=[ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    layout.blob_path(layout.image.manifests[0].digest).unlink()
    refused = _refused(client, pack(layout.path, tmp_path / "m.tar").read_bytes())
    assert refused.code is Code.SOURCE_BLOB_MISSING
    assert "--platform" in refused.hint


def test_a_blob_that_is_missing_is_named(client: Client, layout: Layout, tmp_path: Path) -> None:
    blob = layout.image.layers[0]
    layout.blob_path(blob.digest).unlink()
    refused = _refused(client, pack(layout.path, tmp_path / "app.tar").read_bytes())
    assert refused.code is Code.SOURCE_BLOB_MISSING
    assert blob.digest.encoded in str(refused)


def test_a_blob_of_another_size_than_its_manifest_says_is_named(client: Client, layout: Layout, tmp_path: Path) -> None:
    blob = layout.image.layers[0]
    manifest = json.loads(layout.blob_path(layout.image.digest).read_bytes())
    manifest["layers"][0]["size"] += 1
    layout.write_index(entry(layout.put_json(manifest, layout.image.root.media_type)))
    refused = _refused(client, pack(layout.path, tmp_path / "app.tar").read_bytes())
    assert refused.code is Code.SOURCE_BLOB_SIZE
    assert str(blob.digest) in str(refused)


def test_a_blob_that_is_damaged_is_named(daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path) -> None:
    blob = layout.image.layers[0]
    layout.blob_path(blob.digest).write_bytes(bytes(blob.size))
    refused = _refused(client, pack(layout.path, tmp_path / "app.tar").read_bytes())
    assert refused.code is Code.SOURCE_BLOB_DIGEST
    assert blob.digest.encoded in str(refused)
    assert daemon.entries == {}


def test_a_stream_that_fails_is_not_taken_for_its_end(daemon: SpoolServer, client: Client) -> None:
    class Failing(Pipe):
        def readinto(self, buffer: Any) -> int:
            if self.left < 50_000:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    with pytest.raises(SourceError) as caught:
        client.submit_stream(io.BufferedReader(Failing(tar(_valid()))), [DESTINATION])
    assert caught.value.code is Code.SOURCE_UNREADABLE
    assert daemon.entries == {}


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(daemon: SpoolServer, client: Client) -> None:
    saved = SavedImage([_bytes(300_000)])
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        with open(writing, "wb") as pipe:  # noqa: PTH123 (a descriptor, no path)
            pipe.write(docker_archive([saved]))

    writer = threading.Thread(target=write)
    with open(reading, "rb") as stream:  # noqa: PTH123 (likewise)
        threading.Timer(0.1, writer.start).start()
        client.submit_stream(stream, [DESTINATION])
    writer.join()
    assert _root(daemon) == manifest_of(saved)


# ------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    "faults",
    [
        [Cut(after=0)],
        [Cut(after=100)],
        [Cut()],
        [None, Cut(after=5_000_000), Cut(after=1_000_000)],
        [None, None, Cut()],
        [None, None, None, Cut()],
        [None, Restart(after=4_000_000)],
        [Restart(after=4_000_000), Restart()],
        [Answer(503, "store.unavailable"), None, Answer(503, "store.unavailable")],
        [Lose(keep=1000)],
        [None, Lose(keep=9_000_000)],
    ],
)
def test_a_break_while_a_stream_is_brought_costs_nothing(
    daemon: SpoolServer, client: Client, faults: list[Fault | None]
) -> None:
    saved = SavedImage([_bytes(20 * MIB), _bytes(100_000, 2), _bytes(20 * MIB)])
    daemon.faults.extend(faults)
    _submit(client, docker_archive([saved]))
    assert _root(daemon) == manifest_of(saved)


@pytest.mark.parametrize("fault", [Restart(after=100, forget=True), Lose(keep=1000)])
def test_bytes_that_nobody_has_any_more_are_told(daemon: SpoolServer, client: Client, fault: Fault) -> None:
    daemon.faults.extend([None, fault])
    with pytest.raises(RequestError) as caught:
        client.submit_stream(io.BytesIO(docker_archive([SavedImage([_bytes(20 * MIB)])])), [DESTINATION])
    assert caught.value.code is Code.REQUEST_NOT_FOUND
    assert "bring it once more" in str(caught.value)


def test_a_daemon_that_stays_away_is_given_up(daemon: SpoolServer) -> None:
    daemon.faults.extend([None, Restart(after=100, seconds=60)])
    client = Client(str(daemon.path), patience=0.3)
    with pytest.raises(DaemonError) as caught:
        client.submit_stream(io.BytesIO(docker_archive([SavedImage([_bytes(20 * MIB)])])), [DESTINATION])
    assert caught.value.code is Code.DAEMON_UNREACHABLE


def test_a_refused_job_leaves_nothing_behind(daemon: SpoolServer, client: Client) -> None:
    daemon.refuse_submission = Refusal(403, "request.forbidden", "not to that registry")
    refused = _refused(client, docker_archive([SavedImage([_bytes(100_000)])]))
    assert refused.code is Code.REQUEST_FORBIDDEN
    assert daemon.entries == {}


# ------------------------------------------------------------------------------------------------- real producers


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not there to write real archives")
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_skopeo_writes_is_taken(
    daemon: SpoolServer, client: Client, tmp_path: Path, kind: str, compressed: bool
) -> None:
    layout = build_layout(tmp_path / "app", images=[ImageSpec(tag="1.4", layers=[300_000, 2048])])
    file = tmp_path / "out.tar"
    name = "docker.io/library/app:1.4" if kind == "docker-archive" else "1.4"
    command = ["skopeo", "--insecure-policy", "copy", f"oci:{layout.path}:1.4", f"{kind}:{file}:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    content = file.read_bytes()
    _submit(client, gzip.compress(content) if compressed else content, "app:1.4" if kind == "docker-archive" else "")
    manifest = json.loads(_root(daemon))
    assert len(manifest["layers"]) == 2
    expected = LAYER if kind == "docker-archive" else f"{LAYER}+gzip"
    assert {layer["mediaType"] for layer in manifest["layers"]} == {expected}
