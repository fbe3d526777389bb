"""What a registry, or its token service, is told to know who asks."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Final

ANONYMOUS: Final = "anonymous"
"""The name of no credential."""
_USERS: Final = ("caller", "login")
"""The sources of those that are a user's own."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and password, or a token in their place. Secrets are kept out of `repr`, so that nothing shows them.

    Attributes:
        source: the kind of place it was found in, a stable word: `systemd`, `docker-config`, `auth-file`, `podman`,
            `caller`, `login`.
        username: of the user; empty when a token came without one.
        password: of the user.
        identity_token: an OAuth2 refresh token, which the token service takes by POST.
        registry_token: a bearer token, which the registry takes as it is.
        where: the very place, for people: a file, a helper; no secret.
    """

    source: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False, kw_only=True)
    registry_token: str = field(default="", repr=False, kw_only=True)
    where: str = field(default="", kw_only=True, compare=False)

    @property
    def name(self) -> str:
        """What distinguishes it from another credential for the same registry; no secret.

        One that a user brings and one that they have stored are the same where the user name is: what was begun with
        the one goes on with the other.
        """
        return f"{'user' if self.source in _USERS else self.source}:{self.username or 'token'}"

    @property
    def told(self) -> str:
        """Whose it is and where it was found, for people; no secret."""
        whose = {"caller": "the caller's own", "login": f"the login {self.where}"}.get(self.source, "the daemon's")
        found = "" if self.source in _USERS else f", found in {self.where or self.source}"
        return f"{whose}, {self.username or 'a token without a name'}{found}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of it is to be said by nobody, as it is and as it travels."""
        basic = (self.basic or "").removeprefix("Basic ")
        return tuple(filter(None, (basic, self.password, self.identity_token, self.registry_token)))

    @property
    def basic(self) -> str | None:
        """The value of an Authorization header (RFC 7617, in UTF-8); None without a user name and password."""
        if not self.username or self.identity_token or self.registry_token:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
