"""The harness itself: what is missing is said, and what differs is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.images import ImageSpec, build_layout
from tests.integration.parts import Tool, assert_identical, run, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.integration.parts import RealRegistry


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give an empty cache directory on a machine without programs."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PUSHD_TEST_SAW", raising=False)
    monkeypatch.delenv("PUSHD_TEST_REQUIRE", raising=False)
    return tmp_path / "pushd-tests" / "bin"


def test_a_missing_program_skips_the_test(bare: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="saw is not installed; PUSHD_TEST_SAW may name it"):
        Tool("saw", "PUSHD_TEST_SAW", required=True).find()


def test_a_missing_program_fails_the_test_where_it_must_be_there(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHD_TEST_REQUIRE", "1")
    with pytest.raises(pytest.fail.Exception, match="saw is not installed"):
        Tool("saw", "PUSHD_TEST_SAW", required=True).find()
    with pytest.raises(pytest.skip.Exception):
        Tool("saw", "PUSHD_TEST_SAW").find()


def test_a_program_is_found_by_its_variable_or_in_the_cache(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.mkdir(parents=True)
    (bare / "saw").touch(0o755)
    assert Tool("saw", "PUSHD_TEST_SAW").find() == str(bare / "saw")
    monkeypatch.setenv("PUSHD_TEST_SAW", "/opt/saw")
    assert Tool("saw", "PUSHD_TEST_SAW").find() == "/opt/saw"


def test_what_does_not_come_true_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="still not: pigs fly"):
        wait_until(lambda: False, "pigs fly", seconds=0.01, pause=0.001)


def test_a_registry_keeps_its_address_and_its_content_through_a_restart(real_registry: RealRegistry) -> None:
    address = real_registry.address
    opened = run("curl", "--silent", "--include", "--request", "POST", f"http://{address}/v2/app/blobs/uploads/")
    real_registry.stop()
    real_registry.start()
    assert real_registry.address == address
    location = next(line.split()[1] for line in opened.stdout.splitlines() if line.lower().startswith("location:"))
    status = run("curl", "--silent", "--write-out", "%{http_code}", location)
    assert status.stdout == "204", real_registry.log.read_text()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "source", [ImageSpec(tag="1.4")])


def copy_of(layout: Layout, directory: Path) -> Path:
    return build_layout(directory, [ImageSpec(tag="1.4")]).path


def test_a_faithful_copy_is_identical(layout: Layout, tmp_path: Path) -> None:
    assert_identical(layout, layout.image, copy_of(layout, tmp_path / "copy"))


def test_a_changed_byte_a_missing_blob_and_one_too_many_are_seen(layout: Layout, tmp_path: Path) -> None:
    name = layout.image.layers[0].digest.encoded
    changed, missing, more = (copy_of(layout, tmp_path / str(number)) for number in range(3))
    with (changed / "blobs" / "sha256" / name).open("r+b") as blob:
        blob.write(b"x")
    (missing / "blobs" / "sha256" / name).unlink()
    (more / "blobs" / "sha256" / ("0" * 64)).touch()
    for copy in (changed, missing, more):
        with pytest.raises(AssertionError):
            assert_identical(layout, layout.image, copy)
