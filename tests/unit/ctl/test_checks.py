from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pushd.ctl.checks import Verdict, checks
from pushd.ctl.facts import Facts, Socket
from pushd.errors import Code, DaemonError, RequestError
from tests.unit.ctl.documents import ADMINISTRATOR, NOW, STATUS

if TYPE_CHECKING:
    from pushd.ctl.checks import Check
    from pushd.errors import PushdError

WELL = Socket(
    path="/run/pushd/pushd.sock", chosen="of the system's daemon", is_socket=True, writable=True, group="pushd"
)
FACTS = Facts(
    uid=1000, version="0.1.0", socket=WELL, status=STATUS, took=0.004, now=datetime.fromisoformat(NOW)
)  # fmt: skip
DISK: dict[str, Any] = ADMINISTRATOR["disk"]


def _checks(**changes: Any) -> dict[str, Check]:
    return {check.check: check for check in checks(replace(FACTS, **changes))}


def _alone(**socket: Any) -> Check:
    """Judge a socket behind which nobody was reached."""
    refusal = DaemonError(Code.DAEMON_UNREACHABLE, WELL.path, "no daemon answers")
    *_, last = checks(replace(FACTS, socket=replace(WELL, **socket), status=None, refusal=refusal))
    return last


def test_a_healthy_daemon_passes_everything() -> None:
    found = _checks()
    assert list(found) == ["configuration", "socket", "daemon", "version", "rights", "files", "clock"]
    assert {check.verdict for check in found.values()} == {Verdict.OK}
    assert not any(check.hint for check in found.values())
    assert found["configuration"].detail == "/run/pushd/pushd.sock, of the system's daemon"
    assert found["daemon"].detail == "answers in 4 ms"


def test_an_administrator_is_told_of_the_disk_as_well() -> None:
    found = _checks(status=ADMINISTRATOR)
    assert found["disk"].verdict is Verdict.OK
    assert found["rights"].detail.startswith("uid 0 is administrator: may see and touch everybody's jobs")


@pytest.mark.parametrize(
    ("socket", "detail", "hint"),
    [
        ({"missing": True, "error": "No such file"}, "there is none", "`systemctl start pushd.socket`"),
        ({"missing": True, "error": "x", "path": "/home/me/pushd.sock"}, "there is none", "start it, or name"),
        ({"error": "Permission denied"}, "Permission denied", "the right to enter"),
        ({"is_socket": False}, "no socket", "--socket"),
        ({"writable": False}, "for the group pushd", "`usermod --append --groups pushd USER`"),
        ({"writable": False, "group": ""}, "permission denied", "run a daemon of your own"),
    ],
)
def test_each_way_not_to_get_in_has_its_next_step(socket: dict[str, Any], detail: str, hint: str) -> None:
    check = _alone(**socket)
    assert (check.check, check.verdict) == ("socket", Verdict.FAIL)
    assert detail in check.detail
    assert hint in check.hint


def test_a_socket_behind_which_nobody_listens_is_told_from_one_that_is_not_there() -> None:
    check = _alone()
    assert (check.check, check.verdict) == ("daemon", Verdict.FAIL)
    assert "no daemon answers" in check.detail


def test_who_is_let_in_and_may_do_nothing_is_told_which_group_helps() -> None:
    refusal: PushdError = RequestError(Code.REQUEST_FORBIDDEN, "", "only the group pushd is served")
    check = _checks(status=None, refusal=refusal)["rights"]
    assert check.verdict is Verdict.FAIL
    assert check.detail == "uid 1000 may do nothing here: only the group pushd is served"
    assert "--groups pushd" in check.hint


def test_a_slow_answer_is_a_warning() -> None:
    assert _checks(took=2.5)["daemon"].verdict is Verdict.WARN


def test_two_versions_are_a_warning() -> None:
    check = _checks(version="0.2.0")["version"]
    assert (check.verdict, check.detail) == (Verdict.WARN, "pushctl is 0.2.0, the daemon 0.1.0")


def test_files_of_another_namespace_are_streamed_and_it_says_why() -> None:
    check = _checks(status={**STATUS, "paths": False})["files"]
    assert check.verdict is Verdict.OK
    assert "another mount namespace" in check.detail


@pytest.mark.parametrize(("seconds", "verdict"), [(1, Verdict.OK), (-1, Verdict.OK), (3, Verdict.WARN), (-90, "warn")])
def test_clocks_that_disagree_are_a_warning(seconds: float, verdict: str) -> None:
    now = datetime.fromisoformat(NOW) + timedelta(seconds=seconds)
    assert _checks(now=now)["clock"].verdict == verdict


def test_an_answer_that_took_long_is_no_wrong_clock() -> None:
    now = datetime.fromisoformat(NOW) + timedelta(seconds=5)
    assert _checks(now=now, took=6.0)["clock"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("space", "verdict", "words"),
    [
        ({"refusing": ["spool"]}, Verdict.FAIL, "brought to the spool are refused"),
        ({"refusing": ["spool", "jobs"]}, Verdict.FAIL, "new jobs are refused"),
        ({"free": 999_999_999}, Verdict.FAIL, "less than the reserve is free"),
        ({"spool": 9_500_000_000}, Verdict.WARN, "nearly all of 10.0 GB is used"),
        ({"budget": None}, Verdict.OK, "5.4 GB free"),
    ],
)
def test_a_short_disk_is_told(space: dict[str, Any], verdict: Verdict, words: str) -> None:
    check = _checks(status={**ADMINISTRATOR, "disk": {**DISK, **space}})["disk"]
    assert check.verdict is verdict
    assert words in check.detail
    assert bool(check.hint) is (verdict is not Verdict.OK)


def _diagnosed(*made: tuple[str, bool | None]) -> dict[str, Check]:
    found = [{"check": check, "ok": ok, "detail": f"{check} it is", "hint": "mend it"} for check, ok in made]
    return _checks(target="r.example.com", diagnosis={"target": "r.example.com", "checks": found})


def test_what_the_daemon_found_out_about_a_registry_is_taken_over() -> None:
    found = _diagnosed(("resolve", True), ("tls", False), ("push", None))
    assert found["tls"].target == "r.example.com"
    assert list(found)[-3:] == ["resolve", "tls", "push"]
    assert [found[name].verdict for name in ("resolve", "tls", "push")] == [Verdict.OK, Verdict.FAIL, Verdict.WARN]
    assert (found["tls"].detail, found["tls"].hint) == ("tls it is", "mend it")


def test_one_way_to_upload_is_enough() -> None:
    found = _diagnosed(("chunked", False), ("streamed", False), ("monolithic", True))
    assert [found[name].verdict for name in ("chunked", "streamed", "monolithic")] == ["warn", "warn", "ok"]


def test_without_any_way_to_upload_each_is_a_failure() -> None:
    found = _diagnosed(("chunked", False), ("monolithic", False))
    assert {found[name].verdict for name in ("chunked", "monolithic")} == {Verdict.FAIL}


def test_a_registry_that_may_not_be_looked_into_is_a_failure_with_the_daemons_words() -> None:
    refusal = RequestError(Code.REQUEST_FORBIDDEN, "r.example.com", "is no destination here", hint="ask")
    check = _checks(target="r.example.com", diagnosis_refusal=refusal)["registry"]
    assert (check.verdict, check.detail, check.hint) == (Verdict.FAIL, "r.example.com: is no destination here", "ask")
