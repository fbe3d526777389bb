"""Whom a secret is told: root, oneself, and whoever listens where nobody else could."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.client.trust import check_trusted
from pushd.errors import Code, DaemonError

if TYPE_CHECKING:
    from collections.abc import Iterator

SOMEBODY = 64_003
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory of root's own, in one of everybody's, which is sticky."""
    with tempfile.TemporaryDirectory(prefix="pushd-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def trusted(path: Path, listener: int = SOMEBODY) -> bool:
    try:
        check_trusted(str(path), listener)
    except DaemonError:
        return False
    return True


def test_a_service_in_a_directory_of_its_own_is_trusted(place: Path) -> None:
    assert trusted(place / "pushd.sock")
    own = place / "run"
    own.mkdir(mode=0o755)
    os.chown(own, SOMEBODY, SOMEBODY)
    assert trusted(own / "pushd.sock"), "as /run/pushd is the service's"


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_whoever_else_listens_where_everybody_may_is_not(place: Path, mode: int) -> None:
    place.chmod(mode)
    socket = place / "pushd.sock"
    socket.touch()
    os.chown(socket, SOMEBODY, SOMEBODY)
    assert not trusted(socket)
    assert trusted(socket, 0)
    assert trusted(socket, os.geteuid())


def test_a_refusal_says_who_listens_and_what_to_do(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(DaemonError, match=f"uid {SOMEBODY} listens there") as caught:
        check_trusted(str(place / "pushd.sock"), SOMEBODY)
    assert caught.value.code is Code.DAEMON_SOCKET
    assert "--credential" in caught.value.hint


def test_a_directory_that_somebody_put_where_everybody_may_is_theirs(place: Path) -> None:
    place.chmod(0o1777)
    theirs = place / "run"
    theirs.mkdir(mode=0o755)
    os.chown(theirs, SOMEBODY, SOMEBODY)
    assert not trusted(theirs / "pushd.sock")
    os.chown(theirs, 0, 0)
    assert trusted(theirs / "pushd.sock"), "nobody but root could put it there, or take it away"


def test_a_link_is_followed_to_where_the_socket_is(place: Path) -> None:
    everybodys = place / "tmp"
    everybodys.mkdir()
    everybodys.chmod(0o777)
    (place / "run").symlink_to(everybodys)
    assert not trusted(place / "run" / "pushd.sock")
