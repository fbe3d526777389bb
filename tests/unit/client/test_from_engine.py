"""An image that is in Docker or podman: the engine is asked here, and what it answers is brought as it comes."""

from __future__ import annotations

import gzip
import json
import random
import socket
from typing import TYPE_CHECKING

import pytest

from pushd.client import Client, engine, engine_sockets
from pushd.errors import Code, PushdError, SourceError
from pushd.oci.digest import Digest
from tests.fakes.archives import SavedImage, docker_archive, docker_members, manifest_of, tar
from tests.fakes.engine import Breaks, Fails, FakeEngine, Framing, Hangs, Regrets, Says
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.fakes.spool_server import Refusal, SpoolServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

DESTINATION = "registry.example.com/team/app:1.4"
BIG = random.Random(1).randbytes(3_000_000)
SAVED = SavedImage([BIG, b"2" * 3000], names=["app:1.4"])
SOURCE = "docker-daemon:app:1.4"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SpoolServer]:
    with SpoolServer(tmp_path / "pushd.sock") as server:
        server.refuse_path(Refusal(422, "source.unsupported", "is in an engine"))
        yield server


@pytest.fixture
def client(daemon: SpoolServer) -> Client:
    return Client(str(daemon.path), patience=5.0)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "docker.sock", {"app:1.4": docker_archive([SAVED])}) as served:
        monkeypatch.setenv("DOCKER_HOST", served.host)
        yield served


def brought(daemon: SpoolServer) -> dict[str, bytes]:
    """Give what the only job has, and check that it is no more."""
    (submitted,) = daemon.jobs
    (entry,) = daemon.entries
    assert submitted["spooled"]["entry"] == entry
    return daemon.files(entry)


def contents(saved: SavedImage, manifest: bytes | None = None) -> dict[str, bytes]:
    return {
        str(Digest.of(content)): content for content in (manifest or manifest_of(saved), saved.config, *saved.layers)
    }


def refused(client: Client, daemon: SpoolServer, source: str = SOURCE) -> PushdError:
    """Give why nothing was submitted, and nothing left in the spool."""
    with pytest.raises(PushdError) as caught:
        client.submit(source, [DESTINATION])
    assert (daemon.entries, daemon.jobs) == ({}, [])
    assert str(caught.value).isprintable()
    return caught.value


# --------------------------------------------------------------------------------------------------- what arrives


@pytest.mark.parametrize("framing", Framing)
def test_an_image_is_brought_however_the_engine_frames_it(
    daemon: SpoolServer, client: Client, docker: FakeEngine, framing: Framing
) -> None:
    docker.framing = framing
    job = client.submit(SOURCE, [DESTINATION], labels={"a": "b"}, idempotency_key="k")

    (submitted,) = daemon.jobs
    assert submitted["source"] == job.source == SOURCE
    assert submitted["labels"] == {"a": "b"}
    assert daemon.keys == ["k", "k"]
    assert daemon.preferences == ["bring", "bring"], "the daemon is to ask no engine"
    assert contents(SAVED).items() <= brought(daemon).items()
    assert submitted["spooled"]["digest"] == str(Digest.of(manifest_of(SAVED)))
    assert docker.asked == ["/images/app%3A1%2E4/get"]


@pytest.mark.parametrize("how", [{"links": True}, {"oci": True}, {"flat": True}], ids=["linked", "since 25", "podman"])
def test_what_engines_of_any_age_write_is_the_image(
    daemon: SpoolServer, client: Client, docker: FakeEngine, how: dict[str, bool]
) -> None:
    docker.images["app:1.4"] = docker_archive([SAVED], **how)
    client.submit(SOURCE, [DESTINATION])
    manifest = json.loads(brought(daemon)[daemon.jobs[0]["spooled"]["digest"]])
    assert manifest["config"]["digest"] == str(Digest.of(SAVED.config))


def test_what_is_asked_for_by_digest_or_id_needs_no_name_in_the_answer(
    daemon: SpoolServer, client: Client, docker: FakeEngine
) -> None:
    digest = f"sha256:{'a' * 64}"
    nameless = docker_archive([SavedImage(SAVED.layers, names=[])])
    for name in (digest, f"localhost:5000/team/app@{digest}"):
        docker.images = {name: nameless}
        client.submit(f"docker-daemon:{name}", [DESTINATION])
    quoted = digest.replace(":", "%3A")
    assert docker.asked == [f"/images/{quoted}/get", f"/images/localhost%3A5000/team/app%40{quoted}/get"]
    assert len({job["spooled"]["digest"] for job in daemon.jobs}) == 1


def test_what_is_alone_in_the_answer_may_be_called_something_else(
    daemon: SpoolServer, client: Client, docker: FakeEngine
) -> None:
    docker.images["app:1.4"] = docker_archive([SavedImage(SAVED.layers, names=["localhost/app:1.4"])])
    client.submit(SOURCE, [DESTINATION])
    assert daemon.jobs


@pytest.mark.parametrize("oci", [False, True])
def test_of_several_images_in_the_answer_the_named_one_is_brought(
    daemon: SpoolServer, client: Client, docker: FakeEngine, *, oci: bool
) -> None:
    other = SavedImage([b"other" * 1000], names=["app:1.3"])
    docker.images["docker.io/library/app:1.4"] = docker_archive([other, SAVED], oci=oci)
    client.submit("docker-daemon:docker.io/library/app:1.4", [DESTINATION])
    manifest = json.loads(brought(daemon)[daemon.jobs[0]["spooled"]["digest"]])
    assert manifest["config"]["digest"] == str(Digest.of(SAVED.config))


def test_of_several_images_without_the_name_none_is_taken(
    daemon: SpoolServer, client: Client, docker: FakeEngine
) -> None:
    docker.images["app:1.4"] = docker_archive([SavedImage([b"1"], names=["a:1"]), SavedImage([b"2"], names=["b:1"])])
    error = refused(client, daemon)
    assert error.code is Code.SOURCE_REFERENCE_UNKNOWN
    assert error.subject == f"what the engine at {docker.path} sent"


def test_of_an_index_the_chosen_platforms_are_brought_though_the_engine_has_no_other(
    daemon: SpoolServer, client: Client, docker: FakeEngine, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "m", images=[ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    layout.blob_path(layout.image.manifests[0].digest).unlink()
    docker.images["app:1.4"] = pack(layout.path, tmp_path / "m.tar").read_bytes()

    error = refused(client, daemon)
    assert (error.code, "--platform" in error.hint) == (Code.SOURCE_BLOB_MISSING, True)
    client.submit(SOURCE, [DESTINATION], platforms=["linux/arm64"])
    assert daemon.jobs[0]["platforms"] == ["linux/arm64"]


def test_a_plan_is_made_with_the_image_brought_and_removed_again(
    daemon: SpoolServer, client: Client, docker: FakeEngine
) -> None:
    plan = client.plan(SOURCE, [DESTINATION])
    assert plan["source"] == SOURCE
    assert daemon.plans[0]["spooled"]["digest"] == str(Digest.of(manifest_of(SAVED)))
    assert daemon.entries == {}


def test_the_total_is_told_once_all_is_there(daemon: SpoolServer, client: Client, docker: FakeEngine) -> None:
    told: list[tuple[int, int | None]] = []
    client.submit(SOURCE, [DESTINATION], progress=lambda done, total: told.append((done, total)))
    first, *before, last = told
    whole = sum(map(len, brought(daemon).values()))
    assert first == (0, None), "before the engine was asked"
    assert {total for _, total in before} == {None}
    assert last == (whole, whole)


# ----------------------------------------------------------------------------------------- asked first, and not at all


def test_what_the_daemon_refuses_for_another_reason_is_told_before_an_engine_is_asked(
    daemon: SpoolServer, client: Client, docker: FakeEngine
) -> None:
    daemon.refuse_path(Refusal(400, "request.invalid_reference", "has no repository"))
    assert refused(client, daemon).code is Code.REQUEST_INVALID_REFERENCE
    assert docker.asked == []


def test_a_name_that_is_none_is_refused_before_an_engine_is_asked(
    daemon: SpoolServer, client: Client, docker: FakeEngine
) -> None:
    assert refused(client, daemon, "docker-daemon:app").code is Code.REQUEST_INVALID_REFERENCE
    assert docker.asked == []


def test_the_first_engine_that_answers_is_asked(
    daemon: SpoolServer, client: Client, docker: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "dead.sock"))
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(engine_sockets, "_DOCKER", f"{tmp_path}/dead.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "podman").mkdir()
    with FakeEngine(tmp_path / "podman" / "podman.sock", docker.images) as podman:
        client.submit(SOURCE, [DESTINATION])
    assert (len(podman.asked), docker.asked) == (1, [])


# ------------------------------------------------------------------------------------------------------- no engine


def test_where_no_engine_is_the_sockets_that_were_tried_are_named(
    daemon: SpoolServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 108)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(engine_sockets, "_DOCKER", f"{tmp_path}/docker.sock")
    monkeypatch.setattr(engine_sockets, "_PODMAN", f"..{long}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    error = refused(client, daemon)
    assert error.code is Code.SOURCE_UNREADABLE
    assert f"{tmp_path}/docker.sock is not there" in error.detail
    assert "path too long" in error.detail
    assert "DOCKER_HOST" in error.hint


def test_a_socket_that_is_not_the_callers_to_open_is_told_with_who_may(
    docker: FakeEngine, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    docker.path.chmod(0)
    with powerless(), pytest.raises(SourceError) as caught:
        engine.Export.ask("app:1.4", [str(docker.path)])
    assert caught.value.code is Code.SOURCE_UNREADABLE
    assert f"{docker.path} may not be opened by you, uid " in caught.value.detail
    assert "the group docker" in caught.value.hint


# ---------------------------------------------------------------------------------------------- what engines may answer


def test_an_image_that_is_not_there_is_named(daemon: SpoolServer, client: Client, docker: FakeEngine) -> None:
    error = refused(client, daemon, "docker-daemon:app:2")
    assert error.code is Code.SOURCE_NOT_FOUND
    assert error.subject == f"app:2 in the engine at {docker.path}"
    assert "No such image: app:2" in error.detail
    assert "`docker images`" in error.hint


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Fails(500, "no space left on device"), "500: no space left on device"),
        (Fails(500, "\x1b[31mred\n" + "x" * 10_000), "500: [31mred xxx"),
        (Fails(500, "x" * 1_000_000), '500: {"message": "xxx'),
        (Fails(403, "denied by a plug-in", "text/plain"), "403: denied by a plug-in"),
        (Fails(301, ""), "301: no reason given"),
        (Fails(400, "[]", "text/html"), "400: []"),
    ],
)
def test_what_an_engine_says_of_an_error_is_told_bounded_and_fit_to_be_shown(
    daemon: SpoolServer, client: Client, docker: FakeEngine, failure: Fails, said: str
) -> None:
    docker.mood = failure
    error = refused(client, daemon)
    assert error.code is Code.SOURCE_UNREADABLE
    assert said in error.detail
    assert len(str(error)) < 1500


@pytest.mark.parametrize("after", [0, 700, 1_000_000])
@pytest.mark.parametrize("framing", Framing)
def test_an_answer_that_breaks_off_submits_nothing(
    daemon: SpoolServer, client: Client, docker: FakeEngine, framing: Framing, after: int
) -> None:
    docker.framing, docker.mood = framing, Breaks(after)
    error = refused(client, daemon)
    if framing is Framing.CLOSE:
        assert error.code is Code.SOURCE_ARCHIVE_INVALID
        assert error.subject == f"what the engine at {docker.path} sent"
        assert "`docker save app:1.4 | tar t`" in error.hint
    else:
        assert error.code is Code.SOURCE_UNREADABLE
        assert "broke off" in error.detail


@pytest.mark.parametrize("after", [1024, 700, 1_000_000])
def test_what_docker_says_behind_the_bytes_it_could_write_is_told(
    daemon: SpoolServer, client: Client, docker: FakeEngine, after: int
) -> None:
    docker.mood = Regrets(after, "write /var/lib/docker/tmp: no space left on device")
    error = refused(client, daemon)
    assert error.code is Code.SOURCE_UNREADABLE
    assert error.detail == "broke off: write /var/lib/docker/tmp: no space left on device"


@pytest.mark.parametrize(
    "content",
    [
        b"hello" * 1000,
        tar({"etc/hosts": b"127.0.0.1"}),
        tar({**docker_members([SAVED]), "manifest.json": b"{"}),
        gzip.compress(docker_archive([SAVED]))[:-9],
        b'{"errorDetail": 7}',
        b"",
    ],
    ids=["no tar", "no image", "no list", "cut gzip", "no error either", "empty"],
)
def test_an_answer_that_is_no_image_submits_nothing(
    daemon: SpoolServer, client: Client, docker: FakeEngine, content: bytes
) -> None:
    docker.images["app:1.4"] = content
    error = refused(client, daemon)
    assert error.code in (Code.SOURCE_ARCHIVE_INVALID, Code.SOURCE_UNREADABLE)
    assert f"the engine at {docker.path}" in error.subject


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 O", "broke off"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nno", "500: no"),
        (b"", "broke off"),
    ],
)
def test_what_is_no_engine_is_told(
    daemon: SpoolServer, client: Client, docker: FakeEngine, content: bytes, said: str
) -> None:
    docker.mood = Says(content)
    error = refused(client, daemon)
    assert error.code is Code.SOURCE_UNREADABLE
    assert said in error.detail


@pytest.mark.parametrize(("after", "limit"), [(None, "BEGIN_WITHIN"), (0, "BEGIN_WITHIN"), (700_000, "GO_ON_WITHIN")])
def test_an_engine_that_falls_silent_is_given_up(
    daemon: SpoolServer, client: Client, docker: FakeEngine, monkeypatch: pytest.MonkeyPatch, *, after: int, limit: str
) -> None:
    monkeypatch.setattr(engine, limit, 0.1)
    docker.mood = Hangs(after)
    error = refused(client, daemon)
    assert error.code is Code.SOURCE_UNREADABLE
    assert "nothing for" in error.detail
