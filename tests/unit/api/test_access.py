from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from pushd.api import make_app
from pushd.api.access import check, peer_uid
from pushd.errors import Code, RequestError
from tests.fakes.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.telemetry.events import Event
    from tests.fakes.jobs import FakeJobs

NOBODY = 65534


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_uid(one) == os.getuid()


def test_a_connection_that_is_gone_or_no_unix_socket_is_nobodys() -> None:
    with socket.socket(socket.AF_INET) as tcp:
        assert peer_uid(tcp) is None
    assert peer_uid(None) is None


@pytest.mark.parametrize("uid", [0, 1000])
def test_root_and_the_daemons_own_user_are_served(uid: int) -> None:
    assert check(uid, own_uid=1000) == uid


@pytest.mark.parametrize(("uid", "own"), [(1001, 1000), (NOBODY, 0), (None, 0), (2**32 - 1, 1000)])
def test_everyone_else_is_refused(uid: int | None, own: int) -> None:
    with pytest.raises(RequestError) as caught:
        check(uid, own_uid=own)

    assert caught.value.code is Code.REQUEST_FORBIDDEN


async def test_a_stranger_gets_403_for_whatever_they_ask(path: Path, jobs: FakeJobs, told: list[Event]) -> None:
    """Root can call as somebody else; anyone else is a stranger to a daemon of another user."""
    stranger = NOBODY if os.getuid() == 0 else os.getuid()
    async with serving(make_app(jobs, emit=told.append, own_uid=stranger + 1), path):
        for target in ("/v1/jobs", "/v1/status", "/nowhere"):
            process = await asyncio.create_subprocess_exec(
                "curl", "-sS", "--unix-socket", path, f"http://pushd{target}",
                stdout=asyncio.subprocess.PIPE, user=stranger, cwd="/",
            )  # fmt: skip
            output, _ = await process.communicate()
            problem = json.loads(output)

            assert (problem["status"], problem["code"]) == (403, "request.forbidden")
            assert problem["detail"] == f"uid {stranger}: is not served by this daemon"
    assert (jobs.submitted, told) == ([], [])


async def test_a_caller_over_tcp_is_refused(jobs: FakeJobs, told: list[Event]) -> None:
    runner = aiohttp.web.AppRunner(make_app(jobs, emit=told.append, own_uid=os.getuid()))
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (address, *_) = runner.addresses
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{address[1]}/v1/status") as response:
            assert response.status == 403
            assert "the kernel does not say who it is" in await response.text()
    finally:
        await runner.cleanup()
