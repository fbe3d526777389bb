"""Credentials that callers hand over, in the bodies of requests: read, checked, and shown nowhere. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from pushd.api.fields import malformed
from pushd.api.targets import scope
from pushd.credentials.credential import Credential
from pushd.errors import RequestError
from pushd.job import ANONYMOUS, AUTO, DAEMON, HANDED
from pushd.work import Handed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

CALLER: Final = "caller"
"""The source of a credential that came with a request."""
LOGIN: Final = "login"
"""The source of one that its owner stores under a name."""
MAX_CREDENTIALS: Final = 64
"""In one request: as many as destinations."""
MAX_SECRET: Final = 16 << 10
"""Bytes of a password or token, as UTF-8."""
MAX_LIFE: Final = 366 * 86_400.0
"""Seconds."""

_LOGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_NAMED: Final = "1 to 128 letters, digits, and . _ : -, the first a letter or digit"
_WORDS: Final = (AUTO, DAEMON, ANONYMOUS)
_RESERVED: Final = frozenset({*_WORDS, HANDED})
"""What no login may be called."""
_FORMS: Final = (
    {"username", "password"},
    {"username", "identity_token"},
    {"identity_token"},
    {"registry_token"},
)
"""Which fields go together."""
_SECRETS: Final = ("password", "identity_token", "registry_token")
_USERNAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,255}")
_BREAKS: Final = re.compile(r"\x00|[\r\n]\Z")
"""What no secret has. Within, a line break may be: a password of Google's is a key file (`_json_key`)."""
_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential as a body has it. Nothing shows what is in it: of the registry too, a password may be part."""

    registry: str
    username: str | msgspec.UnsetType = msgspec.UNSET
    password: str | msgspec.UnsetType = msgspec.UNSET
    identity_token: str | msgspec.UnsetType = msgspec.UNSET
    registry_token: str | msgspec.UnsetType = msgspec.UNSET
    expires_in: float | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


def read_credential(given: Given, *, source: str, now: datetime, at: str = "") -> Handed:
    """Check a credential.

    Args:
        given: as the body has it.
        source: where it comes from, as `Credential.source`.
        now: from when its seconds count.
        at: the path to it in the body; empty when it is the body.

    Raises:
        RequestError: `request.malformed` or `request.invalid_reference`, naming the field, and no value.
    """
    before = f"{at}." if at else ""
    there = {name for name in ("username", *_SECRETS) if getattr(given, name) is not msgspec.UNSET}
    if there not in _FORMS:
        raise malformed(at or "body", "must have username and password, or identity_token, or registry_token")
    _check_values(given, before)
    credential = Credential(
        source,
        given.username or "",
        given.password or "",
        identity_token=given.identity_token or "",
        registry_token=given.registry_token or "",
    )
    try:
        place = scope(given.registry)
    except RequestError as error:
        raise RequestError(error.code, f"{before}registry", error.detail, hint=error.hint) from None
    expires_at = None if given.expires_in is None else now + timedelta(seconds=given.expires_in)
    return Handed(scope=place, credential=credential, expires_at=expires_at)


def read_credentials(given: Sequence[Given], choice: str, *, now: datetime) -> tuple[Handed, ...]:
    """Check the fields `credentials`, and `credential`, which is `choice`, of a body.

    Raises:
        RequestError: as `read_credential` does.
    """
    if not _LOGIN.fullmatch(choice) or choice == HANDED:
        raise malformed("credential", f"must be {', '.join(_WORDS)}, or the name of a login: {_NAMED}")
    if len(given) > MAX_CREDENTIALS:
        raise malformed("credentials", f"must be at most {MAX_CREDENTIALS}, not {len(given)}")
    if given and choice != AUTO:
        hint = 'leave out one of them, or write "auto"'
        raise malformed("credentials", "are not looked at when credential says what is used", hint=hint)
    places: dict[str, str] = {}
    handed = []
    for index, each in enumerate(given):
        at = f"credentials[{index}]"
        found = read_credential(each, source=CALLER, now=now, at=at)
        if (other := places.setdefault(found.scope, at)) != at:
            raise malformed(f"{at}.registry", f"is that of {other}")
        handed.append(found)
    return tuple(handed)


def login_name(text: str) -> str:
    """Give `text` when a login may have that name.

    Raises:
        RequestError: `request.malformed`.
    """
    if not _LOGIN.fullmatch(text):
        raise malformed("name", f"must be {_NAMED}")
    if text in _RESERVED:
        raise malformed("name", "is a word of its own where a job says its credential", hint="choose another name")
    return text


def _check_values(given: Given, before: str) -> None:
    """Check what is there, each for itself; `before`: what goes before the names of fields."""
    for name in _SECRETS:
        if (secret := getattr(given, name)) is not msgspec.UNSET:
            _check_secret(secret, before + name)
    if given.username is not msgspec.UNSET:
        _check_username(given.username, f"{before}username", basic=given.password is not msgspec.UNSET)
    if given.registry_token and not _VISIBLE.fullmatch(given.registry_token):
        # It goes into a header as it is (RFC 6750, 2.1).
        raise malformed(f"{before}registry_token", "must be visible ASCII characters")
    if given.expires_in is not None and not 0 < given.expires_in <= MAX_LIFE:
        raise malformed(f"{before}expires_in", f"must be more than 0 and at most {MAX_LIFE:.0f} seconds")


def _check_username(text: str, field: str, *, basic: bool) -> None:
    if not _USERNAME.fullmatch(text):
        raise malformed(field, "must be 1 to 255 characters, none of them a control character")
    if basic and ":" in text:  # what follows it would be the password (RFC 7617, 2)
        raise malformed(field, "must have no colon")


def _check_secret(text: str, field: str) -> None:
    if not text:
        raise malformed(field, "must not be empty")
    if len(text.encode()) > MAX_SECRET:
        raise malformed(field, f"must be at most {MAX_SECRET} bytes")
    if _BREAKS.search(text):
        raise malformed(field, "must not end with a line break, and have no NUL", hint="a file read whole may end so")
