"""What to do next after a failure: ours by code, where the failure's own message does not say it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.texts import clean
from pushd.errors import Code, Origin

if TYPE_CHECKING:
    from pushd.job import Delivery, Failure, Job

_ADVICE = {
    Code.REGISTRY_UNAUTHORIZED: "log in where the daemon finds it: `docker login` as its user, or its configuration",
    Code.REGISTRY_DENIED: "ask for the right to push there, or let the daemon use another credential",
    Code.REGISTRY_CREDENTIALS: "mend the credential file the daemon's configuration names",
    Code.REGISTRY_NOT_FOUND: "create the repository there first, or check its name",
    Code.REGISTRY_NAME_INVALID: "check the name against the registry's rules",
    Code.REGISTRY_TAG_EXISTS: "push under another tag, or without --if-tag",
    Code.REGISTRY_MANIFEST_INVALID: "the registry does not take such an image: build it with other media types",
    Code.REGISTRY_UNRESOLVED: "check the name, and the resolver of the daemon's machine",
    Code.REGISTRY_UNREACHABLE: "check the network and the firewall between the daemon and the registry",
    Code.REGISTRY_TLS: "set `ca` for this registry, or `plain_http` if it has no TLS",
    Code.REGISTRY_STALLED: "check the network between the daemon and the registry",
    Code.REGISTRY_UNAVAILABLE: "see whether the registry is well",
    Code.REGISTRY_THROTTLED: "wait: it asked to be left alone for a while",
    Code.REQUEST_DEADLINE: "give it more time: --deadline, when it is pushed again",
    Code.REQUEST_FORBIDDEN: "ask the administrator of the daemon",
    Code.SOURCE_CHANGED: "push again and leave the files alone; --spool copies them first",
    Code.SOURCE_NOT_FOUND: "push again from where the image is now; --spool copies it first",
    Code.STORE_FULL: "make room on the daemon's disk",
    Code.STORE_BUDGET: "make room: `pushctl status` tells what is short",
    Code.DAEMON_CRASH_LOOP: "find in the daemon's log what ended it each time",
}
_LOOK_CLOSER = frozenset(
    {
        Code.REGISTRY_UNRESOLVED,
        Code.REGISTRY_UNREACHABLE,
        Code.REGISTRY_TLS,
        Code.REGISTRY_UNAUTHORIZED,
        Code.REGISTRY_DENIED,
        Code.REGISTRY_CREDENTIALS,
        Code.REGISTRY_MALFORMED,
        Code.REGISTRY_REFUSED,
        Code.REGISTRY_UPLOAD_LOST,
    }
)
_NEVER_ANOTHER_WAY = frozenset({Code.REGISTRY_TAG_EXISTS, Code.REGISTRY_MANIFEST_INVALID, Code.REGISTRY_NAME_INVALID})
"""The same thing tried again would fail again."""


def next_step(job: Job, delivery: Delivery) -> str:
    """Say what whoever reads of a failure does next, or nothing when the message has said it or there is nothing.

    A message of ours holds its hint behind a semicolon. What else stands there came from the registry; it is shown
    as what was said, and never as advice.
    """
    if delivery.failure is None:
        return _retry(job) if delivery.state.value == "cancelled" else ""
    code = _code(delivery.failure)
    steps = []
    if code in _ADVICE and "; " not in delivery.failure.message:
        steps.append(_ADVICE[code])
    if code in _LOOK_CLOSER:
        steps.append(f"`pushctl doctor {clean(_repository(delivery.destination))}` looks closer")
    if delivery.state.terminal and code is not None and _worth_another(code):
        steps.append(_retry(job))
    return "; ".join(steps)


def _repository(destination: str) -> str:
    """Give a destination without its tag and digest: where the right to push is looked at."""
    path, slash, name = destination.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"


def _worth_another(code: Code) -> bool:
    return code.origin is not Origin.SOURCE and code not in _NEVER_ANOTHER_WAY


def _retry(job: Job) -> str:
    return f"`pushctl retry {clean(job.id)}` tries again what is not there"


def _code(failure: Failure) -> Code | None:
    try:
        return Code(failure.code)
    except ValueError:
        return None  # a newer daemon's
