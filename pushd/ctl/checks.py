"""What `pushctl doctor` makes of what was found out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Any

from pushd.ctl.quantities import show_bytes, show_duration
from pushd.ctl.status_page import disk, refusing
from pushd.errors import Code
from pushd.job import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushd.ctl.facts import Facts
    from pushd.errors import PushdError

_SLOW = 1.0  # seconds for an answer over a local socket
_SKEW = 2.0  # seconds between two clocks of one machine
_NEARLY_FULL = 0.9
_GROUP = "pushd"
"""Who is in it may submit (systemd/sysusers.d/pushd.conf)."""
_SYSTEM = "/run/"
_FORMS = ("chunked", "streamed", "monolithic")
"""Ways to upload a blob: one of them is enough."""


@unique
class Verdict(StrEnum):
    """How good it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as it should, or it could not be told."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: what.
        detail: what was found, in one sentence; text from outside is in it.
        hint: what to do next; empty when all is well.
        target: the registry, and perhaps repository, it is about; empty for the daemon and the way to it.
    """

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""
    target: str = ""


def checks(facts: Facts) -> Iterator[Check]:
    """Judge everything that can be judged, in the order in which it has to be right."""
    socket = facts.socket
    yield Check("configuration", Verdict.OK, f"{socket.path}, {socket.chosen}")
    there = _socket(facts)
    yield there
    status = facts.status
    if status is None:
        if there.verdict is Verdict.OK:
            yield _daemon_silent(facts)
        return
    yield _daemon(facts)
    yield _version(facts, status)
    yield Check("rights", Verdict.OK, _rights(status))
    yield _paths(status)
    yield _clock(facts, status)
    if "disk" in status:
        yield _disk(status)
    if facts.target is not None and facts.credential == AUTO:
        yield _own(facts, facts.target if facts.diagnosis is None else str(facts.diagnosis["target"]))
    if facts.diagnosis is not None:
        yield from _diagnosis(facts.diagnosis)
    elif facts.diagnosis_refusal is not None:
        yield _refused("registry", facts.diagnosis_refusal, facts.target or "")


def _socket(facts: Facts) -> Check:
    socket = facts.socket
    if socket.missing:
        hint = "`systemctl start pushd.socket`" if socket.path.startswith(_SYSTEM) else "start it"
        return Check(
            "socket", Verdict.FAIL, "there is none: no daemon runs, or it serves another",
            f"{hint}, or name the right one with --socket or PUSHD_SOCKET",
        )  # fmt: skip
    if socket.error is not None:
        return Check("socket", Verdict.FAIL, socket.error, "ask who owns the directory for the right to enter it")
    if not socket.is_socket:
        return Check("socket", Verdict.FAIL, "what is there is no socket", "name the right one with --socket")
    if not socket.writable:
        group = socket.group
        return Check(
            "socket", Verdict.FAIL, f"permission denied: it is for the group {group}" if group else "permission denied",
            f"`usermod --append --groups {group} USER` as root, then log in again" if group
            else "ask its owner, or run a daemon of your own",
        )  # fmt: skip
    return Check("socket", Verdict.OK, "it is there, and may be written to")


def _daemon(facts: Facts) -> Check:
    took = f"answers in {facts.took * 1000:.0f} ms"
    if facts.took > _SLOW:
        return Check("daemon", Verdict.WARN, took, "see in its log, and with `pushctl top`, what it is busy with")
    return Check("daemon", Verdict.OK, took)


def _daemon_silent(facts: Facts) -> Check:
    refusal = facts.refusal
    if refusal is None:
        return Check("daemon", Verdict.FAIL, "does not answer")
    if refusal.code is Code.REQUEST_FORBIDDEN:
        hint = f"`usermod --append --groups {_GROUP} USER` as root, then log in again"
        return Check("rights", Verdict.FAIL, f"uid {facts.uid} may do nothing here: {refusal.detail}", hint)
    return _refused("daemon", refusal)


def _version(facts: Facts, status: Mapping[str, Any]) -> Check:
    if status["version"] == facts.version:
        return Check("version", Verdict.OK, f"{facts.version}, the daemon's as well")
    return Check(
        "version", Verdict.WARN, f"pushctl is {facts.version}, the daemon {status['version']}",
        "restart the daemon after an upgrade, or use the pushctl that came with it",
    )  # fmt: skip


def _rights(status: Mapping[str, Any]) -> str:
    may = (
        "may see and touch everybody's jobs, and pause registries"
        if status["role"] == "administrator"
        else "may hand in jobs, and see and touch their own"
    )
    return f"uid {status['uid']} is {status['role']}: {may}"


def _paths(status: Mapping[str, Any]) -> Check:
    if status.get("paths"):
        detail = "read in place; what the daemon's user may not read is streamed to it"
    else:
        detail = "streamed to the daemon, which sees other files under the same names: it is in another mount namespace"
    return Check("files", Verdict.OK, detail)


def _clock(facts: Facts, status: Mapping[str, Any]) -> Check:
    skew = abs((datetime.fromisoformat(status["now"]) - facts.now).total_seconds())
    if skew > max(_SKEW, facts.took):
        detail = f"{show_duration(skew)} between the daemon's clock and this one"
        return Check("clock", Verdict.WARN, detail, "let both follow a time server: tokens and deadlines depend on it")
    return Check("clock", Verdict.OK, "the daemon's agrees with this one")


def _disk(status: Mapping[str, Any]) -> Check:
    space = status["disk"]
    hint = "make room on its disk, or raise its budget; `pushctl jobs` shows what waits"
    if refused := refusing(status):
        return Check("disk", Verdict.FAIL, f"{refused}: {disk(space)}", hint)
    if space["free"] < space["reserve"]:
        return Check("disk", Verdict.FAIL, f"less than the reserve is free: {disk(space)}", hint)
    budget = space.get("budget")
    if budget is not None and space["database"] + space["spool"] > budget * _NEARLY_FULL:
        return Check("disk", Verdict.WARN, f"nearly all of {show_bytes(budget)} is used: {disk(space)}", hint)
    return Check("disk", Verdict.OK, disk(space))


def _own(facts: Facts, target: str) -> Check:
    own, name = facts.own, "own credential"
    if facts.own_refusal is not None:
        return _refused(name, facts.own_refusal, target)
    if own is None:
        return Check(
            name, Verdict.OK, "you have none for it, so one you stored is used, or the daemon's", target=target
        )
    detail = f"yours: {own.username or 'a token'}, from {own.where}"
    if own.exposed:
        detail += ", which everybody on this machine may open"
        return Check(name, Verdict.WARN, detail, f"`chmod go= {own.where}`, and change what is in it", target)
    return Check(name, Verdict.OK, detail, target=target)


def _diagnosis(diagnosis: Mapping[str, Any]) -> Iterator[Check]:
    made = diagnosis["checks"]
    takes_one = any(one["ok"] for one in made if one["check"] in _FORMS)
    for one in made:
        verdict = Verdict.OK if one["ok"] else Verdict.WARN if one["ok"] is None else Verdict.FAIL
        if verdict is Verdict.FAIL and one["check"] in _FORMS and takes_one:
            verdict = Verdict.WARN  # there is another way
        yield Check(
            str(one["check"]), verdict, str(one["detail"]), str(one.get("hint") or ""), str(diagnosis["target"])
        )


def _refused(check: str, refusal: PushdError, target: str = "") -> Check:
    detail = f"{refusal.subject}: {refusal.detail}" if refusal.subject else refusal.detail
    return Check(check, Verdict.FAIL, detail, refusal.hint, target)
