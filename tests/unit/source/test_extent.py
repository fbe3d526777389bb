from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source.extent import Extent, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 16
SUBJECT = "sha256:0 in /srv/app"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    os.utime(path, (1, 1))  # or a change within the clock's tick could pass for none
    return path


@pytest.fixture
def extent(path: Path) -> Iterator[Extent]:
    """Give bytes 100 to 1100 of the file."""
    fd = os.open(path, os.O_RDONLY)
    extent = Extent(fd, Identity.of(os.fstat(fd)), 100, 1000, SUBJECT)
    yield extent
    extent.close()


def refusal(extent: Extent, offset: int = 0, length: int = 1000) -> SourceError:
    with pytest.raises(SourceError) as caught:
        extent.read(offset, length)
    return caught.value


def test_a_read_gives_exactly_the_bytes_asked_for(extent: Extent) -> None:
    assert extent.size == 1000
    assert extent.read(0, 1000) == CONTENT[100:1100]
    assert extent.read(999, 1) == CONTENT[1099:1100]
    assert extent.read(1000, 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, 1001), (1000, 1), (1001, 0)])
def test_no_read_goes_beyond_the_extent(extent: Extent, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="of 1000"):
        extent.read(offset, length)


def test_every_read_gives_fresh_bytes(extent: Extent) -> None:
    first = extent.read(0, 500)

    assert type(first) is bytes
    assert extent.read(0, 500) is not first


def test_reads_that_the_system_cuts_short_are_completed(extent: Extent, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: whole(fd, min(length, 7), offset))

    assert extent.read(0, 1000) == CONTENT[100:1100]


def test_a_file_truncated_under_the_reader_has_changed(path: Path, extent: Extent) -> None:
    os.truncate(path, 600)

    error = refusal(extent)
    assert error.code is Code.SOURCE_CHANGED
    assert str(error).startswith(f"{SUBJECT}: was changed")


def test_a_file_written_to_in_place_has_changed_even_with_its_old_time(path: Path, extent: Extent) -> None:
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, (1, 1))

    assert refusal(extent).code is Code.SOURCE_CHANGED


def test_a_file_that_grew_has_changed(path: Path, extent: Extent) -> None:
    with path.open("ab") as file:
        file.write(b"more")

    assert refusal(extent).code is Code.SOURCE_CHANGED


def test_a_change_is_noticed_at_the_next_read_not_only_at_the_end(path: Path, extent: Extent) -> None:
    extent.read(0, 10)
    path.write_bytes(CONTENT)

    assert refusal(extent, 10, 10).code is Code.SOURCE_CHANGED


def test_a_read_that_is_short_on_an_unchanged_file_is_refused_too(
    extent: Extent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: b"")

    assert refusal(extent).code is Code.SOURCE_CHANGED


def test_a_failing_disk_is_told_as_one(extent: Extent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)

    error = refusal(extent)
    assert error.code is Code.SOURCE_UNREADABLE
    assert str(error) == f"{SUBJECT}: cannot be read: Input/output error"


def test_closing_twice_is_harmless_and_reading_afterwards_a_mistake(extent: Extent) -> None:
    extent.close()
    extent.close()

    with pytest.raises(ValueError, match="closed"):
        extent.read(0, 1)
