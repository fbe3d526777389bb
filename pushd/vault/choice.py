"""Which of several credentials is for a destination, and why one cannot be used. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError, RequestError
from pushd.oci.text import quoted
from pushd.work import covers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pushd.work import Handed, Sealed


@dataclass(frozen=True, slots=True)
class Kept:
    """A credential that is kept.

    Attributes:
        login: the name it was stored under; None when it was handed over with a job.
    """

    sealed: Sealed
    login: str | None = None

    @property
    def source(self) -> str:
        """The kind of place it is found in, as in `Credential`."""
        return "caller" if self.login is None else "login"

    def secret(self, now: datetime) -> bytes | None:
        """Give the sealed bytes, unless they were spent or their time is over."""
        return None if self.expired(now) else self.sealed.secret

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.sealed.expires_at is not None and self.sealed.expires_at <= now


def at_hand(handed: Iterable[Handed], registry: str, repository: str) -> Handed | None:
    """Choose the one for a destination: the one with the longest scope that takes it in."""
    fitting = [one for one in handed if covers(one.scope, registry, repository)]
    return max(fitting, key=lambda one: len(one.scope), default=None)


def fitting(kept: Iterable[Kept], registry: str, repository: str) -> Sequence[Kept]:
    """Give those whose scope takes a destination in, the longest scope first, of equal ones the newest."""
    found = [one for one in kept if covers(one.sealed.scope, registry, repository)]
    return sorted(found, key=lambda one: (-len(one.sealed.scope), -one.sealed.number))


def needed(registry: str, lost: Kept, now: datetime, *, named: bool = False) -> RegistryError:
    """Give the error that another credential is needed.

    Args:
        registry: for which.
        lost: the one that cannot be used.
        now: the time.
        named: whether the job asked for it by its name, and no other will do.
    """
    what = "the credential handed over with the job" if lost.login is None else f"the login {quoted(lost.login)}"
    if lost.expired(now):
        how = "has expired"
    elif lost.sealed.secret is not None:
        how = "cannot be opened: the daemon's key is not the one it was sealed with"
    elif lost.login is None:
        how = "was refused by the registry, or went when the job ended"
    else:
        how = "was refused by the registry"
    command = f"pushctl login {registry}" + (f" --name {lost.login}" if named else "")
    return RegistryError(Code.REGISTRY_NEEDS_CREDENTIAL, registry, f"{what} {how}", hint=f"`{command}` brings another")


def unknown(name: str, registry: str) -> RequestError:
    """Give the error for a login that is not there, and was to be used for a registry."""
    hint = f"`pushctl login {registry} --name {name}` stores it"
    return RequestError(Code.REQUEST_NOT_FOUND, f"login {quoted(name)}", "is not there", hint=hint)


def elsewhere(login: Kept, registry: str, repository: str) -> RequestError:
    """Give the error for a login that is for another registry, or another part of it."""
    detail = f"is for {login.sealed.scope}, and not for {registry}/{repository}"
    hint = "name one that is, or none: the one that fits is found"
    return RequestError(Code.REQUEST_FORBIDDEN, f"login {quoted(login.login or '')}", detail, hint=hint)
