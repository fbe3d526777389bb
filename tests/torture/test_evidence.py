"""What is looked at after a run would be found: each check is shown what it is there to see."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.torture.evidence import Accepted, at_registry, in_database, in_log, in_story, left_behind, on_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images import Layout

WELL = ["job.submitted", "delivery.started", "delivery.requeued", "delivery.started", "delivery.planned"]
ENDED = ["delivery.succeeded", "job.finished"]
MIB = 1 << 20


def _story(*names: str) -> list[str]:
    return list(in_story([(name, "j1", None if name.startswith("job.") else 1) for name in names]))


def test_a_delivery_that_was_requeued_and_ended_once_is_a_good_story() -> None:
    assert _story(*WELL, *ENDED) == []


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([*WELL, "delivery.started", *ENDED], "delivery 1 of job j1: delivery.started while it was running"),
        ([*WELL, *ENDED, "delivery.started"], "delivery 1 of job j1: delivery.started while it was succeeded"),
        ([*WELL, *ENDED, "job.finished"], "job j1 was told {'job.submitted': 1, 'job.finished': 2}"),
        (WELL, "delivery 1 was left running"),
        ([*WELL, "delivery.failed", "job.finished"], "delivery 1 of job j1: delivery.failed while it was running"),
    ],
    ids=["done twice at once", "done again", "finished twice", "unfinished", "failed"],
)
def test_a_delivery_that_went_astray_is_found(names: list[str], problem: str) -> None:
    assert problem in _story(*names)


def test_a_job_that_nobody_accepted_and_one_that_is_missing_are_found(tmp_path: Path) -> None:
    path = tmp_path / "pushd.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript("""
            CREATE TABLE jobs (id TEXT); CREATE TABLE deliveries (state TEXT); CREATE TABLE upload_sessions (x);
            CREATE TABLE events (seq INTEGER, name TEXT, job TEXT, delivery INTEGER);
            INSERT INTO jobs VALUES ('doubled'); INSERT INTO deliveries VALUES ('running');
            INSERT INTO upload_sessions VALUES (1);
        """)
    image = build_layout(tmp_path / "app").image
    assert set(in_database(path, [Accepted("lost", image, ())])) == {
        "job doubled was done though nobody's key names it",
        "job lost is not in the database",
        "1 deliveries are running",
        "1 upload sessions are still in the database",
    }


def test_a_defect_and_a_torn_line_in_the_log_are_found(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_text('{"event": "daemon.started"}\n{"event": "daemon.fault", "error": "x"}\n{"event": "job.fin\n')
    assert [problem[:17] for problem in in_log(log)] == ["line 2 of the log", "line 3 of the log"]


def test_an_image_that_is_not_all_there_is_found(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="v1", layers=[1024])])
    with FakeRegistry().in_thread() as served:
        destination = f"{served.address}/team/app:v1"
        job = Accepted("j1", layout.image, (destination,))
        image = layout.image
        served.add_blob("team/app", layout.blob_path(image.config.digest).read_bytes())
        served.add_manifest("team/app", layout.blob_path(image.digest).read_bytes(), image.root.media_type, tag="v1")
        (problem,) = at_registry(served.address, [job])
        assert problem.startswith(
            f"{destination}: instead of {image.layers[0].digest} the registry gives HTTP Error 404"
        )
        served.add_blob("team/app", layout.blob_path(image.layers[0].digest).read_bytes())
        assert list(at_registry(served.address, [job])) == []


def _store(storage: Path, path: str, content: bytes) -> Path:
    data = storage / "docker/registry/v2" / path
    data.parent.mkdir(parents=True)
    data.write_bytes(content)
    return data.parent


def test_a_damaged_blob_on_the_registrys_disk_is_found(tmp_path: Path) -> None:
    _store(tmp_path, "blobs/sha256/00/00ff/data", b"damaged")
    (problem,) = on_disk(tmp_path)
    assert problem.endswith("as 00ff")


@pytest.fixture
def two_layers(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [ImageSpec(layers=[5 * MIB, MIB])])


def test_of_the_sessions_left_behind_those_that_could_be_resumed_are_told_apart(
    two_layers: Layout, tmp_path: Path
) -> None:
    large, small = (two_layers.blob_path(layer.digest) for layer in two_layers.image.layers)
    storage = tmp_path / "storage"
    begun = _store(storage, "repositories/team/app/_uploads/a/data", large.read_bytes()[: 2 * MIB])
    _store(storage, "repositories/team/app/_uploads/b/data", small.read_bytes()[:MIB])
    _store(storage, "repositories/app/_uploads/c/startedat", json.dumps("now").encode())
    left = left_behind(storage, [large])
    assert sorted(it.size for it in left) == [0, MIB, 2 * MIB]
    assert [(it.path, it.size) for it in left if it.resumable] == [(begun, 2 * MIB)]
