"""Whether a peer and the daemon mean the same file by a name: decided from their roots, and looked up for real."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.api.peer import peer
from pushd.api.view import Root, own_root, root, same_view, shares_view
from tests.fakes.processes import Caller, said

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from pushd.api.peer import Hold

REPOSITORY = Path(__file__).parents[3]

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root makes namespaces, with unshare"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else, or be confined")

MOUNTS = b"""\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
41 27 0:38 /a\\040b /srv/a\\040b rw,relatime - tmpfs tmpfs rw
"""

SYSTEM = Root(27, b"254:0", b"/")
COPY = replace(SYSTEM, number=431)
"""The daemon's, in a namespace that systemd made for it."""
CONTAINER = Root(822, b"0:77", b"/")


# ---------------------------------------------------------------------------------------------------------- decided


def test_the_root_is_the_mount_at_the_root() -> None:
    assert root(MOUNTS.splitlines(keepends=True)) == SYSTEM


def test_a_subvolume_or_directory_as_a_root_is_told_apart() -> None:
    assert root([b"31 1 0:26 /@/root / rw - btrfs /dev/vda rw\n"]) == Root(31, b"0:26", b"/@/root")


def test_what_was_mounted_over_the_root_later_is_not_the_root() -> None:
    assert root([*MOUNTS.splitlines(), b"90 27 0:90 / / rw - tmpfs tmpfs rw"]) == SYSTEM


@pytest.mark.parametrize(
    "mounts",
    [
        b"",
        b"41 27 0:38 / /srv rw,relatime - tmpfs tmpfs rw\n",
        b"27 1 254:0 /",
        b"27 1 254:0 / /",
        b"x 1 254:0 / / rw - ext4 /dev/vda rw\n",
        b"\n \n     \n",
        b"41 27 0:38 / /srv / rw\n",
    ],
)
def test_who_is_confined_to_a_directory_has_no_mount_at_the_root_and_garbage_is_none(mounts: bytes) -> None:
    assert root(mounts.splitlines()) is None


@pytest.mark.parametrize(
    ("theirs", "own", "init"),
    [
        pytest.param(SYSTEM, SYSTEM, SYSTEM, id="nobody has a namespace of their own"),
        pytest.param(SYSTEM, SYSTEM, None, id="the same, and process 1 is hidden"),
        pytest.param(CONTAINER, CONTAINER, SYSTEM, id="both in one container"),
        pytest.param(SYSTEM, COPY, SYSTEM, id="the daemon in a copy of the system's"),
        pytest.param(COPY, COPY, SYSTEM, id="both in that copy"),
    ],
)
def test_the_same_names_mean_the_same_files(theirs: Root | None, own: Root | None, init: Root | None) -> None:
    assert same_view(theirs, own, init)


@pytest.mark.parametrize(
    ("theirs", "own", "init"),
    [
        pytest.param(CONTAINER, SYSTEM, SYSTEM, id="a container"),
        pytest.param(CONTAINER, COPY, SYSTEM, id="a container, the daemon in a copy"),
        pytest.param(replace(COPY, number=9), SYSTEM, SYSTEM, id="another copy: who knows what it has"),
        pytest.param(replace(COPY, number=9), COPY, SYSTEM, id="another copy, the daemon in one"),
        pytest.param(SYSTEM, COPY, None, id="the daemon in a copy, and process 1 is hidden"),
        pytest.param(SYSTEM, COPY, CONTAINER, id="process 1 elsewhere"),
        pytest.param(SYSTEM, CONTAINER, SYSTEM, id="the daemon in a container that sees the system's processes"),
        pytest.param(
            SYSTEM, replace(COPY, directory=b"/srv/root"), SYSTEM, id="the daemon in a directory of the same disk"
        ),
        pytest.param(None, SYSTEM, SYSTEM, id="a peer in a chroot"),
        pytest.param(SYSTEM, None, SYSTEM, id="a daemon that does not know its own"),
        pytest.param(None, None, None, id="nothing known at all"),
    ],
)
def test_the_same_names_may_mean_other_files(theirs: Root | None, own: Root | None, init: Root | None) -> None:
    assert not same_view(theirs, own, init)


# -------------------------------------------------------------------------------------------------------- looked up


def shared(caller: Caller) -> bool:
    with caller.connected() as (connection, _):
        return shares_view(connection, peer(connection), own_root())


@pytest.fixture
def confined(tmp_path: Path) -> Path:
    """A mere directory, to be a root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_a_neighbour_has_our_files() -> None:
    assert shared(Caller())


@needs_root
def test_a_neighbour_of_another_user_has_our_files_too() -> None:
    assert shared(Caller(uid=4001, groups=(5001,)))


@needs_namespaces
@pytest.mark.parametrize("uid", [0, 4001])
def test_a_peer_in_another_mount_namespace_has_others(uid: int) -> None:
    assert not shared(Caller(uid=uid, within=("unshare", "--mount")))


@needs_namespaces
def test_a_peer_in_a_container_has_others() -> None:
    assert not shared(Caller(within=("unshare", "--mount", "--pid", "--fork", "--uts", "--ipc")))


@needs_namespaces
def test_a_peer_in_namespaces_of_other_kinds_has_ours() -> None:
    assert shared(Caller(within=("unshare", "--pid", "--fork", "--uts", "--ipc", "--kill-child")))


@needs_root
def test_a_peer_in_a_chroot_has_others(confined: Path) -> None:
    assert not shared(Caller(chroot=confined))


def test_the_number_of_a_peer_that_ended_says_nothing_of_who_has_it_now() -> None:
    with Caller().connected() as (connection, process):
        process.communicate(timeout=10)
        recycled = replace(peer(connection), pid=os.getpid())

        assert not shares_view(connection, peer(connection), own_root())
        assert not shares_view(connection, recycled, own_root())


def test_a_peer_that_cannot_be_seen_has_others() -> None:
    with Caller().connected() as (connection, _):
        assert not shares_view(connection, replace(peer(connection), pid=0), own_root())


def test_a_peer_that_cannot_be_held_has_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: socket.socket) -> Hold:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    monkeypatch.setattr("pushd.api.view.hold", gone)
    with Caller().connected() as (connection, _):
        assert not shares_view(connection, peer(connection), own_root())


def test_a_daemon_that_does_not_know_its_own_files_shares_them_with_nobody() -> None:
    with Caller().connected() as (connection, _):
        assert not shares_view(connection, peer(connection), None)


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, *_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    with Caller().connected() as (connection, _):
        own = own_root()
        monkeypatch.setattr(Path, "open", missing)
        monkeypatch.setattr(Path, "readlink", missing)
        assert not shares_view(connection, peer(connection), own)
        assert own_root() is None


# ------------------------------------------------------------------------------- the daemon in a place of its own

# The daemon's side of one connection, to be run where the daemon is to be; the caller is a neighbour of the tests.
_DAEMON = """
import os, socket, sys
from pushd.api.peer import peer
from pushd.api.view import own_root, shares_view
connection = socket.socket(fileno=int(sys.argv[1]))
if sys.argv[3:]:
    os.chroot(sys.argv[3])
    os.chdir("/")
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
print(shares_view(connection, peer(connection), own_root()))
"""


@pytest.fixture
def accepted() -> Iterator[socket.socket]:
    """A connection from a neighbour of the tests."""
    with Caller().connected() as (connection, _):
        yield connection


async def shared_with_daemon(connection: socket.socket, *within: str, confined: Path | None = None) -> str:
    """Ask a daemon elsewhere, of a user of its own; the descriptor of the connection is handed down to it."""
    descriptor = connection.fileno()
    arguments = [str(descriptor), "4000", *([] if confined is None else [str(confined)])]
    (answer,) = await said([*within, sys.executable, "-c", _DAEMON, *arguments], descriptors=[descriptor])
    return answer.decode()


@needs_root
@pytest.mark.parametrize("uid", [0, 4000, 4001])
async def test_a_daemon_of_another_user_is_told_no_less(uid: int) -> None:
    with Caller(uid=uid).connected() as (connection, _):
        assert await shared_with_daemon(connection) == "True"


@needs_namespaces
async def test_a_daemon_in_a_namespace_that_copies_the_systems_shares_files_with_the_system(
    accepted: socket.socket,
) -> None:
    """What `ProtectSystem=` and its like make of it."""
    assert await shared_with_daemon(accepted, "unshare", "--mount") == "True"


@needs_namespaces
async def test_a_daemon_whose_root_is_another_filesystem_shares_none_even_if_it_sees_the_systems_processes(
    accepted: socket.socket, confined: Path
) -> None:
    """A container with the system's pid namespace."""
    make = 'mount -t tmpfs none "$0" && mkdir "$0/proc" && mount --rbind /proc "$0/proc" && exec "$@"'

    answer = await shared_with_daemon(
        accepted, "unshare", "--mount", "sh", "-c", make, str(confined), confined=confined
    )

    assert answer == "False"


@needs_namespaces
async def test_a_daemon_to_which_the_processes_of_others_are_hidden_shares_none(accepted: socket.socket) -> None:
    """What `ProtectProc=invisible` makes of it."""
    hide = 'mount -t proc -o hidepid=2 none /proc && exec "$@"'

    assert await shared_with_daemon(accepted, "unshare", "--mount", "sh", "-c", hide, "sh") == "False"


@needs_namespaces
async def test_a_daemon_that_cannot_see_the_peers_process_shares_none(accepted: socket.socket) -> None:
    """A container with a pid namespace of its own."""
    assert await shared_with_daemon(accepted, "unshare", "--pid", "--fork", "--mount-proc") == "False"


@needs_namespaces
async def test_a_daemon_with_the_proc_of_another_pid_namespace_takes_no_process_for_another(
    accepted: socket.socket,
) -> None:
    assert await shared_with_daemon(accepted, "unshare", "--pid", "--fork") == "False"
