"""A short run of the fuzz, which `python -m tests.fuzz` does at length."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.fuzz.caller import Answer
from tests.fuzz.campaign import CONFIG, run
from tests.fuzz.right import Places
from tests.fuzz.shot import Chance
from tests.integration.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

PLACES = Places(("job",), ("entry", "other"), "oci:/x")


def test_a_daemon_takes_two_thousand_requests_that_make_no_sense(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    try:
        daemon.start(CONFIG)
        result = run(daemon, tmp_path, seed=1, requests=2000, warm_up=1000)
        daemon.close()
    finally:
        daemon.discard()

    assert result.problems == []
    assert result.requests >= 3000
    assert {200, 400, 404, 405} <= result.statuses.keys(), "it was not all garbage, nor all sense"


def test_a_seed_decides_what_is_asked() -> None:
    one, same, other = (Chance(random.Random(seed), PLACES) for seed in (7, 7, 8))
    shots = [one.shot() for _ in range(500)]

    assert shots == [same.shot() for _ in range(500)]
    assert shots != [other.shot() for _ in range(500)]


def test_every_way_of_asking_comes_up() -> None:
    chance = Chance(random.Random(1), PLACES)

    assert len({chance.shot().kind for _ in range(2000)}) == 12


def test_an_answer_that_must_not_be_is_found_out() -> None:
    problem = b'{"code": "x", "detail": "x", "hint": ""}'
    right = [(200, b"application/json", b"{}"), (404, b"application/problem+json", problem)]
    right += [(503, b"application/problem+json", problem), (400, b"text/plain", b"no HTTP")]
    wrong = [(500, b"application/problem+json", problem), (502, b"application/problem+json", problem)]
    wrong += [(404, b"text/plain", b"nothing here"), (400, b"application/problem+json", b"{}")]
    wrong += [(200, b"application/json", b"Traceback (most recent call last):")]

    assert [Answer(*answer).fault() for answer in right] == [None] * 4
    assert all(Answer(*answer).fault() for answer in wrong)
