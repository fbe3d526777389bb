"""Plain files, handed over as an artifact and brought to the spool."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client, files
from pushd.client.opening import open_at
from pushd.errors import Code, PushdError, RequestError, SourceError
from pushd.job import Verify
from pushd.source.extent import Extent
from tests.fakes.spool_server import Cut, Restart, SpoolServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.fakes.spool_server import Fault

DESTINATION = "registry.example.com/team/report:1"
TYPE = "application/vnd.example.report.v1"
EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
PLAIN, GZIP = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"
TITLE = "org.opencontainers.image.title"
MIB = 1 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SpoolServer]:
    with SpoolServer(tmp_path / "pushd.sock") as server:
        yield server


@pytest.fixture
def client(daemon: SpoolServer) -> Client:
    return Client(str(daemon.path), patience=5.0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory that names are relative to, and go there."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def _submit(client: Client, *given: str | tuple[str, str], **more: Any) -> None:
    named = [(one, "") if isinstance(one, str) else one for one in given]
    client.submit_files(named, [DESTINATION], **{"artifact_type": TYPE, **more})


def _refused(client: Client, *given: str | tuple[str, str], **more: Any) -> PushdError:
    with pytest.raises(PushdError) as caught:
        _submit(client, *given, **more)
    return caught.value


def _manifest(daemon: SpoolServer) -> Any:
    """Give the manifest of the newest job, which is in its entry with all it refers to."""
    spooled = daemon.jobs[-1]["spooled"]
    held = daemon.files(spooled["entry"])
    assert spooled["media_type"] == "application/vnd.oci.image.manifest.v1+json"
    manifest = json.loads(held[spooled["digest"]])
    assert held.keys() == {layer["digest"] for layer in (manifest["config"], *manifest["layers"])} | {spooled["digest"]}
    return manifest


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


# ------------------------------------------------------------------------------------------------ what is brought


def test_files_are_layers_under_their_names_and_the_job_is_as_it_was_asked_for(
    daemon: SpoolServer, client: Client, here: Path
) -> None:
    (here / "sub").mkdir()
    (here / "report.json").write_bytes(b"{}\n")
    (here / "sub" / "data.bin").write_bytes(bytes(3_000_000))
    told: list[tuple[int, int | None]] = []

    job = client.submit_files(
        [("./report.json", "application/json"), ("sub//data.bin", "")], [DESTINATION, "two.example.com/x:1"],
        artifact_type=TYPE, annotations={"k": "v"}, labels={"a": "b"}, priority=3, verify=Verify.BLOBS,
        idempotency_key="key", progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip

    manifest = _manifest(daemon)
    assert manifest["artifactType"] == TYPE
    assert manifest["annotations"] == {"k": "v"}
    assert manifest["layers"] == [
        {"mediaType": "application/json", "digest": _digest(b"{}\n"), "size": 3, "annotations": {TITLE: "report.json"}},
        {
            "mediaType": PLAIN, "digest": _digest(bytes(3_000_000)), "size": 3_000_000,
            "annotations": {TITLE: "sub/data.bin"},
        },
    ]  # fmt: skip
    submitted = daemon.jobs[0]
    assert submitted["source"] == job.source == "files:report.json, sub/data.bin"
    assert submitted["destinations"] == [DESTINATION, "two.example.com/x:1"]
    assert (submitted["labels"], submitted["priority"], submitted["verify"]) == ({"a": "b"}, 3, "blobs")
    assert daemon.keys == ["key"]
    assert told[-1] == (daemon.reserved[0], daemon.reserved[0])


def test_a_directory_is_one_layer_that_says_how_it_is_unpacked(daemon: SpoolServer, client: Client, here: Path) -> None:
    (here / "charts" / "deep").mkdir(parents=True)
    (here / "charts" / "deep" / "a").write_bytes(b"a" * 5000)
    _submit(client, "charts/", ("./charts/deep", "application/vnd.example.deep+gzip"))
    first, second = _manifest(daemon)["layers"]
    content = daemon.files("entry-1")[first["digest"]]
    assert first["mediaType"] == GZIP
    assert first["annotations"] == {
        TITLE: "charts", "io.deis.oras.content.unpack": "true",
        "io.deis.oras.content.digest": _digest(gzip.decompress(content)),
    }  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getnames() == ["charts", "charts/deep", "charts/deep/a"]
    assert (second["mediaType"], second["annotations"][TITLE]) == ("application/vnd.example.deep+gzip", "charts/deep")


def test_the_same_files_are_the_same_artifact(
    daemon: SpoolServer, client: Client, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "charts").mkdir()
    (here / "charts" / "a").write_bytes(b"a")
    (here / "b").write_bytes(b"b")
    _submit(client, "charts", "b", annotations={"x": "1", "y": "2"})
    os.utime(here / "b", (1, 1))
    os.utime(here / "charts" / "a", (1, 1))
    monkeypatch.chdir("/")
    _submit(client, "charts", "b", annotations={"y": "2", "x": "1"}, directory=str(here))
    first, second = (job["spooled"]["digest"] for job in daemon.jobs)
    assert first == second
    assert "org.opencontainers.image.created" not in json.dumps(_manifest(daemon))


def test_the_time_is_told_where_the_environment_has_one(
    daemon: SpoolServer, client: Client, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (here / "d").mkdir()
    _submit(client, "d")
    manifest = _manifest(daemon)
    assert manifest["annotations"] == {"org.opencontainers.image.created": "2023-11-14T22:13:20Z"}
    with tarfile.open(fileobj=io.BytesIO(daemon.files("entry-1")[manifest["layers"][0]["digest"]])) as archive:
        assert [member.mtime for member in archive] == [1_700_000_000]
    _submit(client, "d", annotations={"org.opencontainers.image.created": "mine"})
    assert _manifest(daemon)["annotations"] == {"org.opencontainers.image.created": "mine"}


def test_what_is_the_same_twice_is_brought_once_under_both_names(
    daemon: SpoolServer, client: Client, here: Path
) -> None:
    (here / "a").write_bytes(b"same")
    (here / "b").write_bytes(b"same")
    _submit(client, "a", "b")
    assert [layer["annotations"][TITLE] for layer in _manifest(daemon)["layers"]] == ["a", "b"]
    assert [name for name, _, _ in daemon.requests].count(_digest(b"same")) == 1


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_a_file_may_be_empty_or_just_like_the_config(
    daemon: SpoolServer, client: Client, here: Path, content: bytes
) -> None:
    (here / "a").write_bytes(content)
    _submit(client, "a")
    (layer,) = _manifest(daemon)["layers"]
    assert (layer["digest"], layer["size"]) == (_digest(content), len(content))


def test_without_files_the_empty_layer_is_all_there_is(daemon: SpoolServer, client: Client, here: Path) -> None:
    _submit(client, annotations={"k": "v"})
    manifest = _manifest(daemon)
    assert manifest["layers"] == [manifest["config"]]
    assert manifest["config"]["digest"] == EMPTY
    assert daemon.jobs[0]["source"] == "files:"


def test_links_are_gone_through_where_they_are_named(daemon: SpoolServer, client: Client, here: Path) -> None:
    (here / "real").mkdir()
    (here / "real" / "f").write_bytes(b"f")
    (here / "to_directory").symlink_to("real")
    (here / "to_file").symlink_to(here / "real" / "f")
    _submit(client, "to_directory", "to_file")
    first, second = _manifest(daemon)["layers"]
    assert (first["mediaType"], second["mediaType"]) == (GZIP, PLAIN)
    assert second["digest"] == _digest(b"f")


def test_a_colon_in_a_name_is_one(daemon: SpoolServer, client: Client, here: Path) -> None:
    (here / "a:text").write_bytes(b"1")
    _submit(client, "a:text")
    assert _manifest(daemon)["layers"][0]["annotations"] == {TITLE: "a:text"}


@pytest.mark.parametrize("faults", [[Cut(after=700_000), Cut()], [Restart(after=900_000)], [Restart(forget=True)]])
def test_what_breaks_on_the_way_goes_on_where_it_stopped(
    daemon: SpoolServer, client: Client, here: Path, faults: list[Fault | None]
) -> None:
    (here / "d").mkdir()
    (here / "d" / "large").write_bytes(os.urandom(3_000_000))
    (here / "f").write_bytes(os.urandom(2_000_000))
    daemon.faults.extend(faults)
    _submit(client, "d", "f")
    assert len(_manifest(daemon)["layers"]) == 2


def test_a_plan_brings_the_files_and_leaves_nothing(daemon: SpoolServer, client: Client, here: Path) -> None:
    (here / "a").write_bytes(b"1")
    plan = client.plan_files([("a", "")], [DESTINATION], artifact_type=TYPE, verify=Verify.BLOBS, if_tag="absent")
    assert plan["source"] == "files:a"
    (asked,) = daemon.plans
    assert (asked["verify"], asked["if_tag"]) == ("blobs", "absent")
    assert (daemon.entries, daemon.deleted, daemon.jobs) == ({}, ["entry-1"], [])


def test_nothing_is_left_open_nor_lying_about(
    daemon: SpoolServer, client: Client, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (here / "d").mkdir()
    (here / "f").write_bytes(b"1")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert _refused(client, "d", "f", "g", directory=str(here)).code is Code.SOURCE_NOT_FOUND
    _submit(client, "d", "f", directory=str(here))
    assert _open_below(tmp_path) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def _open_below(directory: Path) -> list[Path]:
    opened = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the daemon's threads close theirs when they like
            opened.append(fd.readlink())
    return [path for path in opened if path.is_relative_to(directory)]


# ----------------------------------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/hostname", "is absolute or leads upwards"),
        ("..", "is absolute or leads upwards"),
        ("../a", "is absolute or leads upwards"),
        ("d/../a", "is absolute or leads upwards"),
        ("", "is no name of a file"),
        ("a\0b", "is no name of a file"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_what_is_no_name_wherever_it_is_pulled_is_refused(
    daemon: SpoolServer, client: Client, here: Path, name: str, words: str
) -> None:
    (here / "d").mkdir()
    (here / "a").touch()
    refused = _refused(client, name)
    assert refused.code is Code.REQUEST_MALFORMED
    assert words in str(refused)
    assert daemon.entries == {}


@pytest.mark.parametrize("given", [("a", "a"), ("a", "./a"), ("d", "d/"), (".", "./")])
def test_one_name_cannot_be_there_twice(
    daemon: SpoolServer, client: Client, here: Path, given: tuple[str, str]
) -> None:
    (here / "a").touch()
    (here / "d").mkdir()
    refused = _refused(client, *given)
    assert refused.code is Code.REQUEST_MALFORMED
    assert "is there twice" in str(refused)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"artifact_type": "report"}, "artifact_type: is 'report', which is no media type"),
        ({"artifact_type": ""}, "artifact_type: is '', which is no media type"),
        ({"artifact_type": "text/plain; charset=utf-8"}, "which is no media type"),
        ({"annotations": {"": "x"}}, "annotations: have one without a name"),
        ({"annotations": {"k": "\udcff"}}, "annotation 'k': is not UTF-8"),
        ({"annotations": {"\udcff": "v"}}, "is not UTF-8"),
    ],
)
def test_what_no_manifest_can_say_is_refused(
    daemon: SpoolServer, client: Client, here: Path, more: dict[str, Any], words: str
) -> None:
    (here / "a").touch()
    refused = _refused(client, "a", **more)
    assert isinstance(refused, RequestError)
    assert words in str(refused)
    assert daemon.entries == {}


def test_a_media_type_that_is_none_is_refused_with_the_file_it_is_for(client: Client, here: Path) -> None:
    (here / "a").touch()
    assert "the media type of 'a': is 'text', which is no media type" in str(_refused(client, ("a", "text")))


@pytest.mark.parametrize("epoch", ["yesterday", "-1", "1.5", "253402300800", "٣"])
def test_a_time_that_is_none_is_refused(
    client: Client, here: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    assert "SOURCE_DATE_EPOCH: is " in str(_refused(client))


@pytest.mark.parametrize(("name", "hint"), [("nope", ""), ("nope:text/pl@in", "a media type where it looks like one")])
def test_a_file_that_is_not_there_is_named(
    daemon: SpoolServer, client: Client, here: Path, name: str, hint: str
) -> None:
    refused = _refused(client, name)
    assert (refused.code, refused.subject) == (Code.SOURCE_NOT_FOUND, name)
    assert hint in refused.hint
    assert daemon.entries == {}


def test_a_directory_to_look_in_that_is_not_there_is_named(client: Client, here: Path) -> None:
    refused = _refused(client, "a", directory=str(here / "nope"))
    assert (refused.code, refused.subject) == (Code.SOURCE_NOT_FOUND, str(here / "nope"))
    (here / "file").touch()
    assert _refused(client, "a", directory=str(here / "file")).code is Code.SOURCE_UNREADABLE


def test_a_file_the_caller_may_not_read_is_named(
    here: Path, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    (here / "secret").touch(0)
    directory = os.open(here, os.O_PATH)
    try:
        with powerless(), pytest.raises(SourceError) as caught:
            open_at(directory, "secret", "secret", follow=True)
    finally:
        os.close(directory)
    assert caught.value.code is Code.SOURCE_UNREADABLE
    assert str(caught.value).startswith("secret: may not be read; you are uid ")


@pytest.mark.parametrize("name", ["fifo", "d", "to_fifo"])
def test_a_fifo_is_named_and_nobody_waits_for_it(daemon: SpoolServer, client: Client, here: Path, name: str) -> None:
    (here / "d").mkdir()
    for path in ("fifo", "d/fifo"):
        os.mkfifo(here / path)
    (here / "to_fifo").symlink_to("fifo")
    refused = _refused(client, name)
    assert refused.code is Code.SOURCE_BLOB_NOT_REGULAR
    assert str(refused).startswith(f"{'d/fifo' if name == 'd' else name}: is a FIFO")
    assert daemon.entries == {}


def test_a_disk_that_fails_is_told_with_the_file(client: Client, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(5, "Input/output error")

    (here / "a").touch()
    monkeypatch.setattr("os.pread", fail)
    assert str(_refused(client, "a")) == "a: cannot be read: Input/output error"


def test_a_device_is_named_and_not_opened(client: Client) -> None:
    refused = _refused(client, "null", directory="/dev")
    assert (refused.code, refused.subject) == (Code.SOURCE_BLOB_NOT_REGULAR, "null")


def test_a_file_that_is_no_bytes_on_a_disk_is_refused_and_not_taken_for_empty(
    daemon: SpoolServer, client: Client
) -> None:
    refused = _refused(client, "version", directory="/proc")
    assert refused.code is Code.SOURCE_BLOB_NOT_REGULAR
    assert str(refused) == "version: has more bytes than its size says; copy it, and push the copy"
    assert daemon.jobs == []


@pytest.mark.parametrize("name", ["swapped", "gone"])
def test_what_was_put_in_place_of_a_file_in_the_last_moment_is_looked_at_too(
    client: Client, here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (here / "file").touch()
    os.mkfifo(here / "swapped")
    status = (here / "file").stat()
    directory = os.open(here, os.O_PATH)
    monkeypatch.setattr("os.stat", lambda *_, **__: status)  # what was there when it was looked at
    expected = FileNotFoundError if name == "gone" else SourceError
    try:
        with pytest.raises(expected):
            open_at(directory, name, name)
    finally:
        monkeypatch.undo()
        os.close(directory)


def test_too_many_for_a_manifest_is_said(
    daemon: SpoolServer, client: Client, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = _refused(client, annotations={"k": "x" * (5 * MIB)})
    assert refused.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert daemon.entries == {}


def test_no_room_to_pack_a_directory_says_what_to_do(
    client: Client, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "d").mkdir()
    (here / "d" / "large").write_bytes(os.urandom(MIB))
    monkeypatch.setattr(files, "_temporary", _Full)
    refused = _refused(client, "d")
    assert refused.code is Code.SOURCE_UNREADABLE
    assert str(refused).startswith("d: cannot be packed: No space left on device; set TMPDIR")


class _Full(io.BytesIO):
    def write(self, content: Any) -> int:
        if len(content) > 2:
            raise OSError(28, "No space left on device")
        return super().write(content)


def test_no_place_for_temporary_files_is_said(client: Client, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(here / "nope"))
    monkeypatch.setattr("tempfile.tempdir", str(here / "nope"))
    refused = _refused(client, directory=str(here))
    assert "a temporary file: cannot be made" in str(refused)
    assert "TMPDIR" in refused.hint


# ------------------------------------------------------------------------------------------------- what changes


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def _old(path: Path, size: int) -> Path:
    """Make a file that no clock is too coarse for: whatever writes to it later changes its time."""
    path.write_bytes(bytes(size))
    os.utime(path, (1, 1))
    return path


CHANGES = [
    pytest.param(_grow, id="grows"),
    pytest.param(lambda path: os.truncate(path, 5), id="shrinks"),
    pytest.param(lambda path: path.write_bytes(path.read_bytes()), id="is written anew"),
    pytest.param(_replace, id="is replaced"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_first_read_is_not_submitted(
    daemon: SpoolServer, client: Client, here: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    _old(here / "large", 3 * MIB)
    read = Extent.read

    def changing(self: Extent, offset: int, length: int) -> bytes:
        content = read(self, offset, length)
        if offset == MIB:
            change(here / "large")
        return content

    monkeypatch.setattr(Extent, "read", changing)
    refused = _refused(client, "large")
    assert (refused.code, refused.subject) == (Code.SOURCE_CHANGED, "large")
    assert (daemon.jobs, daemon.entries) == ([], {})


@pytest.mark.parametrize("change", [*CHANGES, pytest.param(Path.unlink, id="goes")])
@pytest.mark.parametrize("size", [0, 3 * MIB])
def test_a_file_that_changes_before_it_is_brought_is_not_submitted(
    daemon: SpoolServer, client: Client, here: Path, size: int, change: Callable[[Path], object]
) -> None:
    _old(here / "large", size)
    create = daemon._create

    def changing(size: int) -> tuple[int, object]:
        change(here / "large")
        return create(size)

    daemon._create = changing  # type: ignore[method-assign]  # between the two readings
    refused = _refused(client, "large")
    assert (refused.code, refused.subject) == (Code.SOURCE_CHANGED, "large")
    assert (daemon.jobs, daemon.entries) == ([], {})


def test_a_change_that_no_clock_has_seen_is_found_by_the_digest(
    daemon: SpoolServer, client: Client, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a").write_bytes(b"before")
    status = (here / "a").stat()
    create = daemon._create

    def changing(size: int) -> tuple[int, object]:
        (here / "a").write_bytes(b"behind")
        return create(size)

    daemon._create = changing  # type: ignore[method-assign]  # as above
    monkeypatch.setattr(files, "open_at", lambda *_, **__: (os.open(here / "a", os.O_RDONLY), status))
    for module in ("pushd.source.extent", "pushd.client.opening"):
        monkeypatch.setattr(f"{module}.check_unchanged", lambda *_: None)
    refused = _refused(client, "a")
    assert (refused.code, refused.subject) == (Code.SOURCE_CHANGED, "a")
    assert daemon.jobs == []


def test_a_source_is_shown_on_one_line_of_bounded_length(daemon: SpoolServer, client: Client, here: Path) -> None:
    names = [f"{number}-\N{RIGHT-TO-LEFT OVERRIDE}\n{'x' * 50}" for number in range(20)]
    for name in names:
        (here / name).touch()
    _submit(client, *names)
    assert re.fullmatch(r"files:[ -~]{1,200}", daemon.jobs[0]["source"])
