"""The contract against the daemon itself: a customer who has read nothing else finds no answer that is not in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.fakes.customer import Customer
from tests.fakes.images import ImageSpec, build_layout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon

EXAMPLES = 20
"""Requests of each operation that keep to the contract, and as many that do not."""
CONFIG = """
[destinations]
allow = ["{registry}", "127.0.0.1:1"]

[limits]
attempts = 1
"""
"""What is asked about has made-up names in it: nobody else's registry is spoken to."""


class Furnished(NamedTuple):
    """A daemon with something to ask about.

    Attributes:
        places: by room, what is there.
        bodies: fields of submissions that lead somewhere.
    """

    daemon: Daemon
    places: dict[str, list[str]]
    bodies: list[dict[str, object]]


@pytest.fixture
def furnished(tmp_path: Path, start_daemon: StartDaemon, served: FakeRegistry) -> Furnished:
    """Give a daemon that has something of everything, and where it is."""
    daemon = start_daemon(CONFIG.format(registry=served.address))
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[2000, 70_000])])
    source = f"oci:{layout.path}"
    done = daemon.submit(source, f"{served.address}/team/app:1")
    failed = daemon.submit(source, "127.0.0.1:1/team/app:1")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    waiting = daemon.submit(source, f"{served.address}/team/app:2", not_before=tomorrow)
    daemon.wait(done)
    daemon.wait(failed)
    entry = daemon.request("POST", "/v1/spool", {"size": 1000}).body["id"]
    login = daemon.request("PUT", "/v1/logins/work", {"registry": "127.0.0.1:1", "registry_token": "t"})
    assert login.status == 200, login.body
    handed = {"registry": served.address, "username": "u", "password": "p"}
    plain = {"credential": "auto", "credentials": []}
    return Furnished(
        daemon,
        {
            "jobs": [done, failed, waiting],
            "spool": [entry],
            "registries": [served.address, "127.0.0.1:1"],
            "logins": ["work"],
        },
        [
            {"source": source, "destinations": [f"{served.address}/team/app:3"], "spooled": None, **plain},
            {"source": "oci:/nowhere", "destinations": [f"{served.address}/team/app:3"], "spooled": None, **plain},
            {"source": source, "destinations": [f"{served.address}/a:1"], "spooled": None, "credentials": [handed]},
            {"destinations": ["registry.example.com/team/app:3"]},
            {"registry": served.address},
            {"registry": "127.0.0.1:1"},
        ],
    )


def test_whatever_is_asked_is_answered_as_the_contract_says(furnished: Furnished) -> None:
    daemon = furnished.daemon

    with Customer(daemon.socket) as customer:
        for method, path in customer.operations():
            room = path.split("/")[2]
            names = ("id", "registry", "name") if room == "logins" else ("id", "registry")
            known = {name: furnished.places[room] for name in names if f"{{{name}}}" in path}
            customer.exercise(method, path, known=known, bodies=furnished.bodies, examples=EXAMPLES)

    # Those that come by dozens. Of the others (202, 204, 410, 422, 429) there are a few, or none: what is made up
    # depends on which modules have been imported before, whose constants are tried as well.
    assert {200, 201, 400, 403, 404, 409} <= customer.answered.keys()
    assert daemon.request("GET", "/v1/status").status == 200
    assert [
        event["event"] for event in daemon.events() if event["event"].startswith(("daemon.fault", "library."))
    ] == []
