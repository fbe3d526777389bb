"""Stored credentials as the API sees them, without a vault and without a registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError
from pushd.work import Login, Sealed
from tests.fakes.jobs import NOON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.principal import Principal
    from pushd.work import Handed

SEALED = b"sealed-and-nobody-elses-business"
"""What every login is sealed as."""
REFUSED = "wrong"
"""The password no registry takes."""


@dataclass
class FakeLogins:
    """Fulfils `pushd.api.ports.Logins`.

    Attributes:
        raises: raised by every call, when set.
        most: logins one user may have.
        verified: whether registries take what is stored; None when they do not answer.
        resumed: deliveries that go on whenever something is stored.
        stored: what was, in order.
        logins: those there are, by uid and name.
    """

    raises: Exception | None = None
    most: int = 100
    verified: bool | None = True
    resumed: int = 0
    stored: list[Handed] = field(default_factory=list)
    logins: dict[tuple[int, str], Login] = field(default_factory=dict)

    async def store(self, name: str, handed: Handed, *, caller: Principal) -> Mapping[str, object]:
        self._may_fail()
        if handed.credential.password == REFUSED:
            raise RequestError(Code.REQUEST_CREDENTIAL_REFUSED, handed.scope, "does not take it", hint="look at it")
        mine = (caller.uid, name)
        if mine not in self.logins and len(self.logins) >= self.most:
            raise RequestError(Code.REQUEST_LIMIT, f"uid {caller.uid}", f"has {self.most} logins already")
        self.stored.append(handed)
        login = self.logins[mine] = Login(
            name=name,
            sealed=Sealed(scope=handed.scope, secret=SEALED, created_at=NOON, expires_at=handed.expires_at),
        )
        return {"login": login, "verified": self.verified, "resumed": self.resumed}

    async def list(self, *, caller: Principal) -> Sequence[Login]:
        self._may_fail()
        return [login for (uid, _), login in sorted(self.logins.items()) if uid == caller.uid]

    async def remove(self, name: str, *, caller: Principal) -> None:
        self._may_fail()
        if self.logins.pop((caller.uid, name), None) is None:
            raise RequestError(Code.REQUEST_NOT_FOUND, name, "is no login")

    def _may_fail(self) -> None:
        if self.raises is not None:
            raise self.raises
