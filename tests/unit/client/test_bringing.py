"""A source the daemon cannot read is opened here, and its bytes are brought to the spool."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client, bringing
from pushd.errors import Code, DaemonError, RequestError, SourceError, StoreError
from pushd.job import Validate
from pushd.oci.digest import Digest
from pushd.source import SpooledSource
from tests.fakes.archives import SavedImage, docker_archive, manifest_of
from tests.fakes.dirs import flatten
from tests.fakes.images import ImageSpec, build_layout, entry, pack
from tests.fakes.referrers import cosign, refer, tag_of, tagged
from tests.fakes.spool_server import Answer, Cut, Lose, Refusal, Restart, SpoolServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.spool_server import Fault

DESTINATION = "registry.example.com/team/app:1.4"
BIG = 3_000_000


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SpoolServer]:
    with SpoolServer(tmp_path / "pushd.sock") as server:
        yield server


@pytest.fixture
def client(daemon: SpoolServer) -> Client:
    return Client(str(daemon.path), patience=5.0)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", images=[ImageSpec(tag="1.4", layers=[BIG, 2048, 70_000])])


def _whole(layout: Layout) -> dict[str, bytes]:
    """Give what an entry with all of the image holds."""
    built = layout.image
    return {str(one.digest): layout.blob_path(one.digest).read_bytes() for one in (*built.manifests, *built.blobs)}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "request.path_refused"),
        (403, "source.forbidden"),
        (422, "source.not_found"),
        (422, "source.unreadable"),
        (422, "source.unsupported"),
    ],
)
def test_an_image_the_daemon_cannot_read_is_brought_and_submitted_as_it_was_asked_for(
    daemon: SpoolServer, client: Client, layout: Layout, status: int, code: str
) -> None:
    daemon.refuse_path(Refusal(status, code))
    job = client.submit(f"oci:{layout.path}:1.4", [DESTINATION], labels={"a": "b"}, idempotency_key="k")
    (submitted,) = daemon.jobs
    root = layout.image.root
    assert submitted["source"] == job.source == f"oci:{layout.path}:1.4"
    assert submitted["labels"] == {"a": "b"}
    assert submitted["spooled"] == {
        "entry": "entry-1", "media_type": root.media_type, "digest": str(root.digest), "size": root.size,
    }  # fmt: skip
    assert daemon.files("entry-1") == _whole(layout)
    assert daemon.keys == ["k", "k"]
    assert daemon.reserved == [sum(map(len, _whole(layout).values()))]


@pytest.mark.parametrize("packed", [False, True], ids=["layout", "archive"])
def test_what_refers_to_an_image_is_brought_with_a_list_of_it(
    daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path, *, packed: bool
) -> None:
    root = layout.image.root
    signature, sig = refer(layout, root), cosign(layout, root.digest, "alice")
    layout.write_index(tagged("1.4", root), entry(signature), tagged(tag_of(root.digest), sig))
    daemon.refuse_path(Refusal(403, "source.forbidden"))
    path = f"oci-archive:{pack(layout.path, tmp_path / 'app.tar')}" if packed else f"oci:{layout.path}"
    client.submit(f"{path}:1.4", [DESTINATION], with_referrers=True)
    (submitted,) = daemon.jobs
    assert submitted["with_referrers"] is True
    brought = daemon.files("entry-1")
    assert brought.keys() > {*_whole(layout), str(signature.digest), str(sig.digest)}
    directory = tmp_path / "entry"
    (directory / "blobs" / "sha256").mkdir(parents=True)
    for name, content in brought.items():
        (directory / "blobs" / "sha256" / name.removeprefix("sha256:")).write_bytes(content)
    source = SpooledSource(directory, root, Digest.parse(submitted["spooled"]["referrers"]))
    image = source.with_referrers(source.image())
    source.close()
    assert {document.descriptor for document in image.referrers} == {signature, sig}
    assert image.tags == ((tag_of(root.digest), sig.digest),)
    assert sum(map(len, brought.values())) == daemon.reserved[0]


def test_an_archive_is_brought_blob_by_blob(
    daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path
) -> None:
    archive = pack(layout.path, tmp_path / "app.tar")
    client.submit(f"oci-archive:{archive}", [DESTINATION])
    assert daemon.files("entry-1") == _whole(layout)


def test_a_plain_directory_is_brought_blob_by_blob(
    daemon: SpoolServer, client: Client, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flatten(layout, tmp_path / "app:1.4")
    monkeypatch.chdir(tmp_path)
    job = client.submit("dir:app:1.4", [DESTINATION])
    assert job.source == f"dir:{tmp_path}/app:1.4"
    assert daemon.files("entry-1") == _whole(layout)


def test_what_docker_saved_is_brought_with_the_manifest_that_is_made_for_it(
    daemon: SpoolServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = SavedImage([b"1" * 70_000, b"2" * 3000])
    (tmp_path / "app.tar").write_bytes(docker_archive([saved], links=True))
    monkeypatch.chdir(tmp_path)
    job = client.submit("docker-archive:app.tar:app:1", [DESTINATION])
    assert job.source == f"docker-archive:{tmp_path}/app.tar:app:1"
    contents = (manifest_of(saved), saved.config, *saved.layers)
    assert daemon.files("entry-1") == {str(Digest.of(content)): content for content in contents}


def test_a_layer_that_docker_did_not_save_so_is_found_on_the_way(
    daemon: SpoolServer, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "app.tar").write_bytes(docker_archive([SavedImage([b"1" * 70_000], plain=[b"2" * 70_000])]))
    with pytest.raises(SourceError) as caught:
        client.submit(f"docker-archive:{tmp_path}/app.tar", [DESTINATION])
    assert caught.value.code is Code.SOURCE_BLOB_DIGEST
    assert (daemon.entries, daemon.jobs) == ({}, [])


def test_an_index_is_brought_with_all_it_lists(daemon: SpoolServer, client: Client, tmp_path: Path) -> None:
    platforms = ["linux/amd64", "linux/arm64"]
    layout = build_layout(
        tmp_path / "multi", images=[ImageSpec(layers=[512, 0], platforms=platforms, compressed=False)]
    )
    client.submit(f"oci:{layout.path}", [DESTINATION])
    assert daemon.files("entry-1") == _whole(layout)


def test_of_an_index_only_the_chosen_platforms_are_brought(daemon: SpoolServer, client: Client, tmp_path: Path) -> None:
    spec = ImageSpec(layers=[512], platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(tmp_path / "multi", images=[spec])
    client.submit(f"oci:{layout.path}", [DESTINATION], platforms=["linux/x86_64"])
    (submitted,) = daemon.jobs
    root = submitted["spooled"]["digest"]
    assert submitted["platforms"] == ["linux/x86_64"]
    assert daemon.files("entry-1").keys() == layout.image.parts["linux/amd64"].digests | {root}
    assert root != str(layout.image.root.digest)
    assert daemon.reserved == [sum(map(len, daemon.files("entry-1").values()))]


def test_a_platform_the_image_does_not_have_is_told_before_a_byte_is_brought(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    with pytest.raises(SourceError) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION], platforms=["linux/s390x"])
    assert caught.value.code is Code.SOURCE_PLATFORM_UNKNOWN
    with pytest.raises(RequestError) as refused:
        client.plan(f"oci:{layout.path}", [DESTINATION], platforms=["s390x"])
    assert refused.value.code is Code.REQUEST_MALFORMED
    assert daemon.entries == {}


def test_many_small_files_take_a_connection_for_each_thread_and_not_for_each_file(
    daemon: SpoolServer, client: Client, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "small", images=[ImageSpec(layers=[300] * 100, compressed=False)])
    client.submit(f"oci:{layout.path}", [DESTINATION])
    assert daemon.files("entry-1") == _whole(layout)
    assert len(daemon.requests) == 102
    assert daemon.connections <= 8


def test_the_bytes_brought_are_told_on_the_way_and_add_up(daemon: SpoolServer, client: Client, layout: Layout) -> None:
    told: list[tuple[int, int | None]] = []
    client.submit(f"oci:{layout.path}", [DESTINATION], progress=lambda done, total: told.append((done, total)))
    size = daemon.reserved[0]
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 5


def test_nothing_is_told_when_the_daemon_reads_the_path_itself(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    daemon.refuse_path(None)
    told: list[object] = []
    client.submit(f"oci:{layout.path}", [DESTINATION], progress=lambda *said: told.append(said))
    assert (told, daemon.entries) == ([], {})


# ------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    "faults",
    [
        [Cut(after=0)],
        [Cut(after=1)],
        [Cut(after=700_000), Cut(after=1_000_000)],
        [Cut()],
        [Cut(), Cut(), Cut(), Cut(), Cut()],
        [Restart(after=900_000)],
        [Restart(after=900_000), Restart(), Cut(after=100)],
        [Lose(keep=0)],
        [Lose(keep=100_000)],
        [Answer(503, "store.unavailable")],
        [None, None, Restart(after=10)],
    ],
)
def test_what_breaks_on_the_way_goes_on_where_it_stopped(
    daemon: SpoolServer, client: Client, layout: Layout, faults: list[Fault | None]
) -> None:
    daemon.faults.extend(faults)
    client.submit(f"oci:{layout.path}", [DESTINATION])
    assert daemon.files("entry-1") == _whole(layout)
    assert list(daemon.entries) == ["entry-1"]


def test_after_a_break_only_what_is_missing_is_sent(
    daemon: SpoolServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "_HANDS", 1)  # so that the third fault meets the third file
    layout = build_layout(tmp_path / "one", images=[ImageSpec(layers=[BIG])])
    daemon.faults.extend([None, None, Cut(after=2_000_000)])
    client.submit(f"oci:{layout.path}", [DESTINATION])
    (layer,) = layout.image.layers
    offsets = [offset for name, offset, last in daemon.requests if name == str(layer.digest) and last]
    assert offsets == [0, 2_000_000]


def test_an_entry_that_is_gone_is_brought_anew(daemon: SpoolServer, client: Client, layout: Layout) -> None:
    daemon.faults.append(Restart(after=500, forget=True))
    client.submit(f"oci:{layout.path}", [DESTINATION])
    assert daemon.files("entry-2") == _whole(layout)
    assert daemon.jobs[0]["spooled"]["entry"] == "entry-2"


def test_an_entry_that_goes_before_the_job_is_taken_is_brought_anew(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    posted = daemon._submit

    def forget_once(handler: Any) -> tuple[int, object]:
        if list(daemon.entries) == ["entry-1"]:
            daemon.entries.clear()
        return posted(handler)

    daemon._submit = forget_once  # type: ignore[method-assign]  # the one moment that cannot be met otherwise
    client.submit(f"oci:{layout.path}", [DESTINATION])
    assert daemon.files("entry-2") == _whole(layout)


def test_a_daemon_that_always_forgets_is_given_up(daemon: SpoolServer, client: Client, layout: Layout) -> None:
    daemon.faults.extend([Answer(404, "request.not_found")] * 10)
    with pytest.raises(RequestError) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION])
    assert caught.value.code is Code.REQUEST_NOT_FOUND
    assert "gone from its spool" in str(caught.value)
    assert len(daemon.reserved) == 3


def test_a_daemon_that_stays_away_is_given_up_when_patience_ends(daemon: SpoolServer, layout: Layout) -> None:
    daemon.faults.append(Restart(after=500, seconds=60))
    with pytest.raises(DaemonError) as caught:
        Client(str(daemon.path), patience=0.3).submit(f"oci:{layout.path}", [DESTINATION])
    assert caught.value.code is Code.DAEMON_UNREACHABLE


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Answer(429, "request.limit", "10 bytes are left"), Code.REQUEST_LIMIT),
        (Answer(507, "store.full", "no space left"), Code.STORE_FULL),
    ],
)
def test_a_daemon_without_room_is_believed_and_nothing_is_left_there(
    daemon: SpoolServer, client: Client, layout: Layout, refusal: Answer, code: Code
) -> None:
    daemon.faults.extend([None, refusal, refusal])
    with pytest.raises((RequestError, StoreError)) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION])
    assert caught.value.code is code
    assert caught.value.detail == refusal.detail
    assert daemon.entries == {}


def test_a_quota_too_small_is_said_before_any_byte(daemon: SpoolServer, client: Client, layout: Layout) -> None:
    daemon.quota = 1000
    with pytest.raises(RequestError) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION])
    assert caught.value.code is Code.REQUEST_LIMIT
    assert daemon.requests == []


def test_what_was_brought_is_removed_when_the_job_is_refused(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    daemon.refuse_submission = Refusal(403, "request.forbidden", "not to that registry")
    with pytest.raises(RequestError) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION])
    assert caught.value.code is Code.REQUEST_FORBIDDEN
    assert daemon.deleted == ["entry-1"]


def test_a_refusal_for_another_reason_than_the_path_brings_nothing(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    daemon.refuse_path(Refusal(403, "request.forbidden"))
    with pytest.raises(RequestError):
        client.submit(f"oci:{layout.path}", [DESTINATION])
    assert daemon.reserved == []


def test_a_source_nobody_can_open_is_told_as_the_caller_sees_it(
    daemon: SpoolServer, client: Client, tmp_path: Path
) -> None:
    daemon.refuse_path(Refusal(422, "source.not_found", "the daemon may not see /home"))
    with pytest.raises(SourceError) as caught:
        client.submit(f"oci:{tmp_path}/nothing", [DESTINATION])
    assert caught.value.code is Code.SOURCE_NOT_FOUND
    assert "daemon" not in str(caught.value)
    assert daemon.reserved == []


def test_a_blob_that_is_not_what_its_digest_says_is_said_to_be_damaged(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    blob = layout.image.layers[1]
    layout.blob_path(blob.digest).write_bytes(b"x" * blob.size)
    with pytest.raises(SourceError) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION])
    assert caught.value.code is Code.SOURCE_BLOB_DIGEST
    assert str(blob.digest) in str(caught.value)
    assert daemon.entries == {}


def test_a_file_that_changes_while_it_is_brought_is_said_to_have_changed(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    blob = layout.image.layers[0]

    def spoil(done: int, _: int | None) -> None:
        if done > BIG / 2:
            with layout.blob_path(blob.digest).open("r+b") as file:
                file.truncate(10)

    with pytest.raises(SourceError) as caught:
        client.submit(f"oci:{layout.path}", [DESTINATION], progress=spoil)
    assert caught.value.code is Code.SOURCE_CHANGED
    assert daemon.entries == {}


def test_an_interrupted_caller_leaves_nothing_behind(daemon: SpoolServer, client: Client, layout: Layout) -> None:
    def interrupt(done: int, _: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.submit(f"oci:{layout.path}", [DESTINATION], progress=interrupt)
    assert daemon.deleted == ["entry-1"]
    assert threading.active_count() < 20


def test_somebody_else_in_the_same_file_is_waited_for_and_then_told(daemon: SpoolServer, layout: Layout) -> None:
    refused = Refusal(409, "request.offset", **{"Upload-Offset": "0"})
    daemon._receive = lambda *_: (_ for _ in ()).throw(refused)  # type: ignore[method-assign]  # never lets anybody in
    with pytest.raises(DaemonError) as caught:
        Client(str(daemon.path), patience=0.3).submit(f"oci:{layout.path}", [DESTINATION])
    assert "takes no more" in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- plan


def test_a_plan_is_asked_for_by_path_where_the_daemon_can_read_it(
    daemon: SpoolServer, client: Client, layout: Layout
) -> None:
    daemon.refuse_path(None)
    source = f"oci:{layout.path}"
    plan = client.plan(source, [DESTINATION], if_tag="absent", platforms=["linux/arm64"], validate=Validate.FULL)
    assert plan == {"source": source, "destinations": []}
    asked = [daemon.plans[0][name] for name in ("if_tag", "platforms", "validate")]
    assert asked == ["absent", ["linux/arm64"], "full"]
    assert daemon.entries == {}


def test_what_was_brought_for_a_plan_is_removed_again(daemon: SpoolServer, client: Client, layout: Layout) -> None:
    client.plan(f"oci:{layout.path}", [DESTINATION])
    assert daemon.plans[0]["spooled"]["digest"] == str(layout.image.root.digest)
    assert daemon.deleted == ["entry-1"]
