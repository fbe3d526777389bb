"""Who is served, and as what: decided, then told by the kernel on real sockets, by real users."""

from __future__ import annotations

import asyncio
import gc
import grp
import os
import socket
import weakref
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from pushd.api.access import PRINCIPAL, Cap, Doors, access, role_of
from pushd.api.peer import peer
from pushd.api.problems import problems
from pushd.errors import Code, RequestError
from pushd.principal import Role
from tests.fakes.processes import Caller
from tests.fakes.serving import serving

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pushd.api.peer import Connection, Peer
    from pushd.telemetry.events import Event

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

DAEMON, ALICE, BOB = 4000, 4001, 4002
ADMINISTRATORS, SUBMITTERS, OTHERS = 5000, 5001, 5002
FOR_CONTAINERS = Cap(Role.SUBMITTER, paths=False)


def doors(caps: Mapping[str | bytes, Cap] | None = None, submitters: frozenset[int] = frozenset({SUBMITTERS})) -> Doors:
    return Doors(DAEMON, frozenset({ADMINISTRATORS}), submitters, caps or {})


async def whoami(request: web.Request) -> web.Response:
    caller = request[PRINCIPAL]
    return web.json_response([caller.uid, sorted(caller.gids), caller.role, caller.paths])


def app(guard: Doors, told: list[Event] | None = None) -> web.Application:
    """What tells callers who they are."""
    made = web.Application(middlewares=[problems(([] if told is None else told).append), access(guard)])
    made.router.add_get("/", whoami)
    return made


async def asked(guard: Doors, path: Path, caller: Caller) -> Any:
    """What a caller is told of themselves."""
    async with serving(app(guard), path):
        ((status, document),) = await caller.ask(path, "/")
    assert status == 200, document
    return document


async def refused(guard: Doors, path: Path, caller: Caller) -> Any:
    """The problem a caller is sent away with."""
    async with serving(app(guard), path):
        ((status, problem),) = await caller.ask(path, "/")
    assert (status, problem["code"]) == (403, "request.forbidden")
    return problem


# ------------------------------------------------------------------------------------------------------- decided


@pytest.mark.parametrize(
    ("uid", "gids", "role"),
    [
        (0, set(), Role.ADMINISTRATOR),
        (DAEMON, set(), Role.ADMINISTRATOR),
        (ALICE, {ADMINISTRATORS}, Role.ADMINISTRATOR),
        (ALICE, {ADMINISTRATORS, SUBMITTERS}, Role.ADMINISTRATOR),
        (ALICE, {SUBMITTERS, OTHERS}, Role.SUBMITTER),
        (ALICE, {OTHERS}, None),
        (ALICE, set(), None),
        (SUBMITTERS, {OTHERS}, None),
        (2**32 - 2, {0}, None),
    ],
)
def test_the_role_is_that_of_the_user_or_else_of_their_groups(uid: int, gids: set[int], role: Role | None) -> None:
    assert role_of(uid, frozenset(gids), doors()) is role


def test_a_daemon_that_names_no_group_serves_root_and_its_own_user() -> None:
    guard = Doors(DAEMON, frozenset(), frozenset(), {})

    assert [role_of(uid, frozenset({0, OTHERS}), guard) for uid in (0, DAEMON, ALICE)] == [
        Role.ADMINISTRATOR,
        Role.ADMINISTRATOR,
        None,
    ]


# ---------------------------------------------------------------------------------------------- root, in, and out


@needs_root
async def test_root_is_an_administrator(path: Path) -> None:
    assert await asked(doors(), path, Caller(uid=0, groups=(OTHERS,))) == [0, [0, OTHERS], "administrator", True]


@needs_root
async def test_the_daemons_own_user_is_an_administrator(path: Path) -> None:
    assert await asked(doors(), path, Caller(uid=DAEMON)) == [DAEMON, [DAEMON], "administrator", True]


@needs_root
async def test_a_member_of_the_administrators_is_one(path: Path) -> None:
    caller = Caller(uid=ALICE, groups=(ADMINISTRATORS,))

    assert await asked(doors(), path, caller) == [ALICE, [ALICE, ADMINISTRATORS], "administrator", True]


@needs_root
@pytest.mark.parametrize("caller", [Caller(uid=ALICE, groups=(SUBMITTERS,)), Caller(uid=ALICE, gid=SUBMITTERS)])
async def test_a_member_of_the_submitters_submits_whether_it_is_their_primary_group_or_not(
    path: Path, caller: Caller
) -> None:
    uid, gids, role, paths = await asked(doors(), path, caller)

    assert (uid, SUBMITTERS in gids, role, paths) == (ALICE, True, "submitter", True)


@needs_root
async def test_who_is_in_none_of_the_groups_gets_403_for_whatever_they_ask(path: Path) -> None:
    told: list[Event] = []
    async with serving(app(doors(), told), path):
        answers = await Caller(uid=BOB, groups=(OTHERS,)).ask(path, "/", "/v1/jobs", "/nowhere")

    assert [status for status, _ in answers] == [403, 403, 403]
    assert {problem["code"] for _, problem in answers} == {"request.forbidden"}
    assert {problem["detail"] for _, problem in answers} == {f"uid {BOB}: is not served by this daemon"}
    assert told == []


@needs_root
async def test_who_is_turned_away_is_told_which_group_to_join(path: Path) -> None:
    known = grp.getgrall()[-1]
    problem = await refused(doors(submitters=frozenset({known.gr_gid, 4999})), path, Caller(uid=BOB))

    assert problem["hint"] == f"join group 4999 or {known.gr_name} and log in again, or run a daemon of your own"


@needs_root
async def test_where_there_is_no_group_to_join_they_are_told_whom_to_ask(path: Path) -> None:
    problem = await refused(doors(submitters=frozenset()), path, Caller(uid=BOB))

    assert problem["hint"] == "ask its administrator, or run a daemon of your own"


@needs_root
async def test_who_is_in_more_groups_than_the_kernel_tells_is_refused_even_if_one_of_them_would_do(path: Path) -> None:
    many = Caller(uid=ALICE, groups=(SUBMITTERS, *range(6000, 6256)))

    assert "is in more than 256 groups" in (await refused(doors(), path, many))["detail"]
    assert (await asked(doors(), path, Caller(uid=ALICE, groups=many.groups[:-1])))[2] == "submitter"


async def test_a_caller_over_tcp_is_refused() -> None:
    runner = web.AppRunner(app(doors()))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (address,) = runner.addresses
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{address[1]}/") as response:
            assert response.status == 403
            assert "the kernel does not say who it is" in await response.text()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("transport", [None, Mock(get_extra_info=Mock(return_value=None))], ids=["gone", "no socket"])
async def test_a_caller_whose_connection_is_gone_is_nobody(transport: Mock | None) -> None:
    request = make_mocked_request("GET", "/", protocol=Mock(transport=transport))

    with pytest.raises(RequestError) as refused:
        await access(doors())(request, whoami)

    assert (refused.value.code, refused.value.subject) == (Code.REQUEST_FORBIDDEN, "caller")


# ------------------------------------------------------------------------------------------- by which socket they came


@needs_root
@pytest.mark.parametrize(
    ("caller", "role"),
    [
        (Caller(uid=0), "submitter"),
        (Caller(uid=DAEMON), "submitter"),
        (Caller(uid=ALICE, groups=(ADMINISTRATORS,)), "submitter"),
        (Caller(uid=ALICE, groups=(SUBMITTERS,)), "submitter"),
    ],
)
async def test_nobody_is_more_than_the_socket_grants(path: Path, caller: Caller, role: str) -> None:
    assert (await asked(doors({str(path): FOR_CONTAINERS}), path, caller))[2:] == [role, False]


@needs_root
async def test_a_socket_that_grants_much_makes_nobody_more_than_they_are(path: Path) -> None:
    guard = doors({str(path): Cap(Role.ADMINISTRATOR, paths=True)})

    assert (await asked(guard, path, Caller(uid=ALICE, groups=(SUBMITTERS,))))[2:] == ["submitter", True]
    assert (await refused(guard, path, Caller(uid=BOB)))["status"] == 403


@needs_root
async def test_a_socket_may_keep_the_role_and_take_the_paths(path: Path) -> None:
    guard = doors({str(path): Cap(Role.ADMINISTRATOR, paths=False)})

    assert (await asked(guard, path, Caller(uid=0)))[2:] == ["administrator", False]


@needs_root
@pytest.mark.parametrize("kind", ["a path", "a path of bytes that are no UTF-8", "an abstract name"])
async def test_each_socket_of_one_daemon_has_its_own_cap(path: Path, kind: str) -> None:
    names = {"a path": f"{path}-c", "a path of bytes that are no UTF-8": f"{path}-\udcff", "an abstract name": ""}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(names[kind])
        address = listener.getsockname()
        async with AsyncExitStack() as ended:
            runner = await ended.enter_async_context(serving(app(doors({address: FOR_CONTAINERS})), path))
            await web.SockSite(runner, listener).start()

            ((_, by_main),) = await Caller(uid=0).ask(path, "/")
            ((_, by_other),) = await Caller(uid=0).ask(os.fsdecode(address), "/")

    assert (by_main[2:], by_other[2:]) == (["administrator", True], ["submitter", False])


@needs_root
async def test_a_container_names_no_paths_not_even_by_the_main_socket(path: Path) -> None:
    container = Caller(uid=0, within=("unshare", "--mount"))

    assert (await asked(doors(), path, container))[2:] == ["administrator", False]


@needs_root
async def test_who_is_confined_to_a_directory_names_no_paths(path: Path) -> None:
    async with serving(app(doors()), path):
        ((_, document),) = await Caller(uid=0, chroot=path.parent).ask(f"/{path.name}", "/")

    assert document[2:] == ["administrator", False]


# ------------------------------------------------------------------------------------------------ once a connection


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[Peer]:
    """The peers that were asked for."""
    found: list[Peer] = []

    def noted(connection: Connection) -> Peer:
        found.append(peer(connection))
        return found[-1]

    monkeypatch.setattr("pushd.api.access.peer", noted)
    return found


async def test_the_kernel_is_asked_once_for_each_connection(path: Path, lookups: list[Peer]) -> None:
    guard = Doors(os.geteuid(), frozenset(), frozenset(), {})
    async with serving(app(guard), path):
        answers = await Caller().ask(path, "/", "/", "/")
        assert len(answers) == 3
        assert {status for status, _ in answers} == {200}
        assert len(lookups) == 1
        await Caller().ask(path, "/")
        assert len(lookups) == 2
    assert lookups[0].pid != lookups[1].pid


async def test_what_is_known_of_a_connection_is_forgotten_with_it(path: Path) -> None:
    seen: list[weakref.ref[asyncio.Transport]] = []

    async def remembered(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append(weakref.ref(request.transport))
        return await whoami(request)

    made = web.Application(middlewares=[access(Doors(os.geteuid(), frozenset(), frozenset(), {}))])
    made.router.add_get("/", remembered)
    async with serving(made, path):
        await Caller().ask(path, "/")
        for _ in range(100):
            await asyncio.sleep(0.01)
            gc.collect()
            if seen[0]() is None:
                break
    assert seen[0]() is None
