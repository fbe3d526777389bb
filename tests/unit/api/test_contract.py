"""The contract against the application, with an engine that is none: what is promised of the socket is kept there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from pushd.job import JobSpec, JobState
from pushd.telemetry.events import JOB_SUBMITTED, Event
from tests.fakes.customer import Customer
from tests.fakes.jobs import NOON

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    import aiohttp

    from tests.fakes.jobs import FakeJobs
    from tests.fakes.logins import FakeLogins

SPEC = JobSpec(source="oci:/x", destinations=("a.b/c:1",), labels={"build": "1"})
EXAMPLES = 15
"""Requests of each operation that keep to the contract, and as many that do not."""


BODIES: list[dict[str, object]] = [
    {"registry": "a.b:5000"},
    {
        "destinations": ["a.b:5000/c:1"],
        "credential": "auto",
        "credentials": [{"registry": "a.b:5000", "username": "u", "password": "p"}],
    },
]
"""Fields of bodies that lead somewhere."""


def ask(path: Path, known: dict[str, list[str]]) -> Counter[int]:
    """Ask all there is to ask; give how often each status came back."""
    with Customer(path) as customer:
        for method, target in customer.operations():
            there = {f"{name} {target.split('/')[2]}": name for name in ("id", "registry", "name")}
            room = {name: known[place] for place, name in there.items() if place in known}
            bodies = () if method == "GET" else BODIES
            customer.exercise(method, target, known=room, bodies=bodies, examples=EXAMPLES)
        return customer.answered


async def test_whatever_is_asked_is_answered_as_the_contract_says(
    http: aiohttp.ClientSession, jobs: FakeJobs, logins: FakeLogins, path: Path, told: list[Event]
) -> None:
    jobs.add("queued", SPEC)
    jobs.add("failed", SPEC)
    jobs.end("failed", JobState.FAILED)
    jobs.tell(Event(JOB_SUBMITTED, NOON, job="failed", seq=1, fields={"source": "x", "destinations": 1, "size": 2}))
    async with http.post("/v1/spool", json={"size": 1000}) as response:
        entry = (await response.json())["id"]
    async with http.put("/v1/logins/work", json={"registry": "a.b:5000", "registry_token": "t"}) as response:
        assert response.status == 200
    known = {
        "id jobs": ["queued", "failed"],
        "id spool": [entry],
        "registry registries": ["a.b:5000"],
        "name logins": ["work"],
    }

    answered = await anyio.to_thread.run_sync(ask, path, known)

    assert told == []
    assert {200, 201, 202, 204, 400, 404, 409, 410} <= answered.keys()
    assert len(logins.stored) > 1
    assert {call for call, _ in jobs.handed} >= {"submit", "plan"}


async def test_a_defect_does_not_pass_for_an_answer(http: aiohttp.ClientSession, jobs: FakeJobs, path: Path) -> None:
    jobs.fail(LookupError("a defect"))

    with pytest.raises(BaseException, match="Server error"):
        await anyio.to_thread.run_sync(ask, path, {"id jobs": ["a"], "id spool": ["a"], "registry registries": ["a.b"]})
