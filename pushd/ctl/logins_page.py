"""Stored credentials, as they are shown. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pushd.ctl.layout import columns, when
from pushd.ctl.quantities import show_age
from pushd.ctl.texts import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Login = Mapping[str, Any]

_HEADINGS = ("NAME", "REGISTRY", "AGE", "STATE")
_TAKEN = {
    True: "the registry takes it",
    False: "the registry does not take it",
    None: "the registry did not say if it takes it",
}


def stored(login: Login, now: datetime) -> Iterator[str]:
    """Tell of a credential that was stored just now."""
    expires = login.get("expires_at")
    until = f", until {when(datetime.fromisoformat(expires), now)}" if expires else ""
    yield f"{clean(login['name'])} is stored for {clean(login['registry'])}{until}"
    yield _TAKEN[login.get("verified")]
    if resumed := login.get("resumed"):
        waited = "delivery that waited for it goes" if resumed == 1 else "deliveries that waited for it go"
        yield f"{clean(resumed)} {waited} on"


def logins_table(logins: Iterable[Login], now: datetime) -> Iterator[str]:
    """Write stored credentials in columns."""
    yield from columns([_HEADINGS, *(_row(login, now) for login in logins)])


def chosen(logins: Sequence[Login], typed: str) -> Sequence[Login]:
    """Give those that are meant by what was typed: the one of that name, or all for that registry."""
    named = [login for login in logins if login["name"] == typed]
    return named or [login for login in logins if login["registry"] == typed.lower().rstrip("/")]


def _row(login: Login, now: datetime) -> tuple[str, ...]:
    age = show_age((now - datetime.fromisoformat(login["created_at"])).total_seconds())
    return clean(login["name"]), clean(login["registry"]), age, _state(login, now)


def _state(login: Login, now: datetime) -> str:
    expires = datetime.fromisoformat(login["expires_at"]) if login.get("expires_at") else None
    if login["usable"]:
        return "good" if expires is None else f"good for {show_age((expires - now).total_seconds())}"
    return "expired" if expires is not None and expires <= now else "spent"
