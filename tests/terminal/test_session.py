"""The session is played; what a person must find on the screen is there, and the recording is of such a session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.terminal.__main__ import CONFIG
from tests.terminal.session import play

if TYPE_CHECKING:
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon

RECORDING = Path(__file__).with_name("session.txt")

MUST_SHOW = {
    "A push, looked on at": [r"job \w{12} .*\d+%", r"sha256:[0-9a-f]{8} .*━", r"\d+(\.\d)? MB/s", r"\ds left"],
    "Ctrl-C leaves, and the job goes on": [r"detached, \w{12} not cancelled", r"`pushctl watch \w{12}`"],
    "What there is": [r"JOB +STATE +AGE", r"\w{12} +running"],
    "Back again": [r"job \w{12} .*\d+%", r"left"],
    "... until it is there": [r"@sha256:[0-9a-f]{64}", r"job \w{12} succeeded in \d+s: 1 of 1 destination"],
    "One destination refuses": [r"requested access to the resource is denied", r"partial", r"1 of 2 destinations"],
    "What to do about it": [r"why:", r"next:.*pushctl doctor", r"pushctl retry", r"3 blobs uploaded"],
    "Tried again, and only what failed": [r"succeeded", r"2 of 2 destinations"],
}


@pytest.mark.slow
def test_a_session_shows_bars_leaving_coming_back_failure_and_retry(
    start_daemon: StartDaemon, served: FakeRegistry, tmp_path: Path
) -> None:
    daemon = start_daemon(CONFIG)

    acts = {act.title: act.screen for act in play(served, daemon.environment, tmp_path)}

    assert list(acts) == list(MUST_SHOW)
    for title, screen in acts.items():
        unwrapped = screen.replace("\n", " ")
        for pattern in MUST_SHOW[title]:
            # A long line goes on in the next one of the terminal, wherever that breaks it.
            assert re.search(pattern, unwrapped) or re.search(pattern, screen.replace("\n", "")), (title, screen)
        assert max(map(len, screen.splitlines())) <= 80


def test_the_recording_is_of_this_session() -> None:
    titles = re.findall(r"^== (.*)$", RECORDING.read_text(), re.MULTILINE)
    assert titles == list(MUST_SHOW)
