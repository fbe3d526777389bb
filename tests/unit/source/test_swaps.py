"""Nothing can be put in a file's place between the moment it is judged and the moment it is read."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, SourceError
from pushd.source import open_source
from tests.fakes.dirs import blob_file, flatten
from tests.fakes.images import ImageSpec, build_layout, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.images import Layout

ALICE = 4_000_001
LOOKS = ("open", "fstat", "stat", "readlink", "getxattr", "dup")
"""All calls by which the way to a file is gone, or might be."""

REFUSALS = (
    Code.SOURCE_FORBIDDEN,
    Code.SOURCE_NOT_FOUND,
    Code.SOURCE_BLOB_MISSING,
    Code.SOURCE_BLOB_NOT_REGULAR,
    Code.SOURCE_LAYOUT_INVALID,
    Code.SOURCE_CHANGED,  # a file that gets another name has another ctime
)
"""What may be said instead of giving what is allowed."""


class Swap:
    """Two things that take turns under one name; each turn is one rename, so that there is always one of them."""

    def __init__(self, place: Path, other: Path) -> None:
        self._place = place
        self._other = other
        self._third = place.with_name("third")

    def turn(self) -> None:
        self._place.rename(self._third)
        self._other.rename(self._place)
        self._third.rename(self._other)


class Case:
    """An image that Alice may read, one that she may not, and what she swaps to get at it."""

    def __init__(self, name: str, layout: Layout, swap: Swap) -> None:
        self.name = name
        self.layout = layout
        self.swap = swap

    def read(self) -> bytes:
        """Read the layer as Alice; nothing when it is refused."""
        (layer,) = self.layout.image.layers
        try:
            source = open_source(self.name, uid=ALICE, gids=frozenset())
            try:
                return source.open(layer).whole()
            finally:
                source.close()
        except SourceError as error:
            assert error.code in REFUSALS, error  # noqa: PT017 (whether it is refused is the swapper's luck)
            return b""


def public(path: Path) -> Path:
    for each in (path, *path.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)
    return path


def link_to_an_archive(base: Path) -> Case:
    """Swap a link between two archives, one of them closed."""
    layout = build_layout(base / "mine", [ImageSpec(layers=[300])])
    pack(layout.path, base / "mine.tar").chmod(0o644)
    layout.blob_path(layout.image.layers[0].digest).write_bytes(b"!" * 300)
    pack(layout.path, base / "secret.tar").chmod(0o600)
    (base / "link").symlink_to("mine.tar")
    (base / "other").symlink_to("secret.tar")
    return Case(f"oci-archive:{base}/link", layout, Swap(base / "link", base / "other"))


def archive_itself(base: Path) -> Case:
    """Swap an archive with a hard link to a closed one."""
    case = link_to_an_archive(base)
    os.link(base / "secret.tar", base / "hard")
    return Case(f"oci-archive:{base}/mine.tar", case.layout, Swap(base / "mine.tar", base / "hard"))


def closed_copy(base: Path, mine: Layout) -> Path:
    """Build the same layout with another layer of the same size, in a directory closed to others."""
    secret = base / "closed"
    build_layout(secret / "app", [ImageSpec(layers=[300])])
    (secret / "app" / "blobs" / "sha256" / mine.image.layers[0].digest.encoded).write_bytes(b"!" * 300)
    public(secret / "app")
    secret.chmod(0o700)
    return secret


def link_to_a_layout(base: Path) -> Case:
    """Swap a link on the way to a layout between an open and a closed directory."""
    (base / "open").mkdir()
    layout = build_layout(base / "open" / "app", [ImageSpec(layers=[300])])
    public(base / "open")
    closed_copy(base, layout)
    (base / "link").symlink_to("open")
    (base / "other").symlink_to("closed")
    return Case(f"oci:{base}/link/app", layout, Swap(base / "link", base / "other"))


def directory_on_the_way(base: Path) -> Case:
    """Swap a directory on the way with the closed one."""
    case = link_to_a_layout(base)
    return Case(f"oci:{base}/open/app", case.layout, Swap(base / "open", base / "closed"))


def directory_for_a_link(base: Path) -> Case:
    """Swap a directory inside a layout with a link to the closed one."""
    layout = build_layout(base / "app", [ImageSpec(layers=[300])])
    public(layout.path)
    closed_copy(base, layout)
    (layout.path / "other").symlink_to(base / "closed" / "app" / "blobs")
    return Case(f"oci:{layout.path}", layout, Swap(layout.path / "blobs", layout.path / "other"))


def blob_for_a_hard_link(base: Path) -> Case:
    """Swap a blob with a hard link to a closed file."""
    layout = build_layout(base / "app", [ImageSpec(layers=[300])])
    public(layout.path)
    blob = layout.blob_path(layout.image.layers[0].digest)
    (base / "secret").write_bytes(b"!" * 300)
    (base / "secret").chmod(0o600)
    os.link(base / "secret", blob.with_name("other"))
    return Case(f"oci:{layout.path}", layout, Swap(blob, blob.with_name("other")))


def link_to_a_plain_directory(base: Path) -> Case:
    """Swap a link between two plain directories, one of them closed."""
    layout = build_layout(base / "app", [ImageSpec(layers=[300])])
    public(flatten(layout, base / "mine"))
    secret = public(flatten(layout, base / "secret"))
    blob_file(secret, layout.image.layers[0].digest).write_bytes(b"!" * 300)
    secret.chmod(0o700)
    (base / "link").symlink_to("mine")
    (base / "other").symlink_to("secret")
    return Case(f"dir:{base}/link", layout, Swap(base / "link", base / "other"))


def blob_of_a_plain_directory_for_a_link(base: Path) -> Case:
    """Swap a blob of a plain directory with a link to a closed file."""
    layout = build_layout(base / "app", [ImageSpec(layers=[300])])
    blob = blob_file(public(flatten(layout, base / "flat")), layout.image.layers[0].digest)
    (base / "secret").write_bytes(b"!" * 300)
    (base / "secret").chmod(0o600)
    blob.with_name("other").symlink_to(base / "secret")
    return Case(f"dir:{blob.parent}", layout, Swap(blob, blob.with_name("other")))


CASES = [
    link_to_an_archive,
    archive_itself,
    link_to_a_layout,
    directory_on_the_way,
    directory_for_a_link,
    blob_for_a_hard_link,
    link_to_a_plain_directory,
    blob_of_a_plain_directory_for_a_link,
]


@pytest.fixture(params=CASES, ids=lambda case: case.__name__)
def case(request: pytest.FixtureRequest, passable: Path) -> Case:
    build: Callable[[Path], Case] = request.param
    return build(passable)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Give a list whose only member, when there is one, is called before each look at the disk."""
    before: list[Callable[[], None]] = []

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def look(*args: Any, **kwargs: Any) -> Any:
            for each in before:
                each()
            return real(*args, **kwargs)

        return look

    for name in LOOKS:
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return before


def counted(case: Case, calls: list[Callable[[], None]]) -> int:
    """Count the looks at the disk that reading takes."""
    count = 0

    def look() -> None:
        nonlocal count
        count += 1

    calls.append(look)
    case.read()
    calls.clear()
    return count


def swapped(case: Case, calls: list[Callable[[], None]], moment: int) -> bytes:
    """Read while the two take turns once, before look number `moment`."""
    at = 0

    def look() -> None:
        nonlocal at
        at += 1
        if at == moment:
            calls.clear()
            case.swap.turn()

    calls.append(look)
    content = case.read()
    assert not calls, "there was such a moment"
    return content


@pytest.mark.parametrize("first", ["open", "closed"])
def test_a_swap_at_any_single_moment_brings_nothing_out(
    case: Case, calls: list[Callable[[], None]], first: str
) -> None:
    mine = case.read()
    assert case.layout.image.layers[0].digest.matches(mine)
    if first == "closed":
        case.swap.turn()
        assert case.read() == b""
    moments = counted(case, calls)
    assert moments > 3
    for moment in range(1, moments + 1):
        assert swapped(case, calls, moment) in (mine, b""), f"swapped before look {moment} of {moments}"
        case.swap.turn()


def test_a_swap_that_never_stops_brings_nothing_out(case: Case) -> None:
    mine = case.read()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            case.swap.turn()

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        seen = {case.read() for _ in range(400)}
    finally:
        stop.set()
        swapping.join()
    assert seen <= {mine, b""}
