"""What to do next after a failure: ours by code, where the failure's own message does not say it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.texts import clean
from pushd.errors import Code, Origin

if TYPE_CHECKING:
    from pushd.job import Delivery, Failure, Job

_ADVICE = {
    Code.REGISTRY_UNAUTHORIZED: "log in: `pushctl login {registry}`, or `docker login {registry}`",
    Code.REGISTRY_DENIED: "ask for the right to push there, or push with another credential: --credential",
    Code.REGISTRY_CREDENTIALS: "mend the credential file, or bring a credential: `pushctl login {registry}`",
    Code.REGISTRY_CREDENTIALS_UNREADABLE: "let the daemon's user read the credential file",
    Code.REGISTRY_CREDENTIALS_MALFORMED: "mend the credential file: it is JSON, as `docker login` writes it",
    Code.REGISTRY_CREDENTIALS_ENCODING: "log in to {registry} again, so that its entry is written anew",
    Code.REGISTRY_HELPER_MISSING: "install the credential helper where the daemon looks for programs",
    Code.REGISTRY_HELPER_TIMEOUT: "run the credential helper by hand, as the daemon's user, and see what it waits for",
    Code.REGISTRY_HELPER_FAILED: "run the credential helper by hand, as the daemon's user, and see what it says",
    Code.REGISTRY_HELPER_MALFORMED: "check the version of the credential helper, and run it by hand",
    Code.REGISTRY_REALM_REFUSED: "ask whoever runs the registry where its token service is",
    Code.REGISTRY_TOKEN_MISSING: "ask whoever runs the registry's token service",
    Code.REGISTRY_TOKEN_LIFE: "check the clocks of the daemon's machine and of the registry's token service",
    Code.REGISTRY_TOKEN_TOO_LONG: "ask whoever runs the registry's token service",
    Code.REGISTRY_NEEDS_CREDENTIAL: "`pushctl login {registry}` brings one, and it goes on",
    Code.SOURCE_NEEDS_CREDENTIAL: "`pushctl login {source}` brings one, and it goes on",
    Code.REGISTRY_PROXY: "check the proxy the daemon is to go through: [proxy], or HTTPS_PROXY and NO_PROXY",
    Code.REGISTRY_ADDRESS_REFUSED: "set `addresses` for this registry, if it is meant to lead there",
    Code.REGISTRY_DOWNGRADE_REFUSED: "ask whoever runs the registry why it leads from HTTPS to HTTP",
    Code.REGISTRY_NOT_FOUND: "create the repository there first, or check its name",
    Code.REGISTRY_NAME_INVALID: "check the name against the registry's rules",
    Code.REGISTRY_TAG_EXISTS: "push under another tag, or without --if-tag",
    Code.REGISTRY_MANIFEST_INVALID: "the registry does not take such an image: build it with other media types",
    Code.REGISTRY_UNRESOLVED: "check the name, and the resolver of the daemon's machine",
    Code.REGISTRY_UNREACHABLE: "check the network and the firewall between the daemon and the registry",
    Code.REGISTRY_TLS: "set `ca` for this registry, or `plain_http` if it has no TLS",
    Code.REGISTRY_TLS_UNTRUSTED: "set `ca` for this registry, or put its authority into certs.d/{registry}/ca.crt",
    Code.REGISTRY_TLS_EXPIRED: "have the registry's certificate renewed, or check the clock of the daemon's machine",
    Code.REGISTRY_TLS_NAME: "push to a name its certificate is for, or have it made for this one",
    Code.REGISTRY_TLS_CLIENT: "set `client_cert` and `client_key` for this registry",
    Code.REGISTRY_TLS_FILES: "mend the certificate files of this registry: `ca`, `client_cert`, certs.d/{registry}",
    Code.REGISTRY_TLS_KEY: "put the key beside the client certificate that belongs to it",
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
        Code.REGISTRY_TLS_UNTRUSTED,
        Code.REGISTRY_TLS_EXPIRED,
        Code.REGISTRY_TLS_NAME,
        Code.REGISTRY_TLS_CLIENT,
        Code.REGISTRY_TLS_FILES,
        Code.REGISTRY_TLS_KEY,
        Code.REGISTRY_PROXY,
        Code.REGISTRY_ADDRESS_REFUSED,
        Code.REGISTRY_CREDENTIALS,
        Code.REGISTRY_CREDENTIALS_UNREADABLE,
        Code.REGISTRY_CREDENTIALS_MALFORMED,
        Code.REGISTRY_CREDENTIALS_ENCODING,
        Code.REGISTRY_HELPER_MISSING,
        Code.REGISTRY_HELPER_TIMEOUT,
        Code.REGISTRY_HELPER_FAILED,
        Code.REGISTRY_HELPER_MALFORMED,
        Code.REGISTRY_REALM_REFUSED,
        Code.REGISTRY_TOKEN_MISSING,
        Code.REGISTRY_TOKEN_LIFE,
        Code.REGISTRY_TOKEN_TOO_LONG,
        Code.REGISTRY_MALFORMED,
        Code.REGISTRY_REFUSED,
        Code.REGISTRY_UPLOAD_LOST,
    }
)
_NEVER_ANOTHER_WAY = frozenset({Code.REGISTRY_TAG_EXISTS, Code.REGISTRY_MANIFEST_INVALID, Code.REGISTRY_NAME_INVALID})
"""The same thing tried again would fail again."""

_NOT_LET_IN = frozenset({Code.SOURCE_UNAUTHORIZED, Code.SOURCE_DENIED})
"""What a registry says that is read from, until it is told otherwise."""


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
        steps.append(_ADVICE[code].format(registry=_host(delivery.destination), source=_host(job.source)))
    if code in _LOOK_CLOSER:
        steps.append(f"`pushctl doctor {clean(_repository(delivery.destination))}` looks closer")
    if delivery.state.terminal and code is not None and _worth_another(code):
        steps.append(_retry(job))
    return "; ".join(steps)


def _host(reference: str) -> str:
    return clean(reference.removeprefix("docker://").partition("/")[0])


def _repository(destination: str) -> str:
    """Give a destination without its tag and digest: where the right to push is looked at."""
    path, slash, name = destination.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"


def _worth_another(code: Code) -> bool:
    gone = code.origin is Origin.SOURCE and not (code.retryable or code in _NOT_LET_IN)
    return not gone and code not in _NEVER_ANOTHER_WAY


def _retry(job: Job) -> str:
    return f"`pushctl retry {clean(job.id)}` tries again what is not there"


def _code(failure: Failure) -> Code | None:
    try:
        return Code(failure.code)
    except ValueError:
        return None  # a newer daemon's
