"""Credentials that users store for their own jobs: tried before they are kept, and waited for by what needs one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError, RequestError
from pushd.oci.reference import Reference
from pushd.push.choosing import no_logins
from pushd.work import Asker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.principal import Principal
    from pushd.push.gate import Gates
    from pushd.push.policy import Policy
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.vault import Keyring
    from pushd.push.scheduler import Scheduler
    from pushd.work import Handed, Login

_TRIAL = "pushd/login"
"""Stands for the repository where a whole registry is logged in to."""


@dataclass(slots=True, kw_only=True)
class Logins:
    """What `api.ports.Logins` asks for.

    Attributes:
        ttl: seconds one is kept at most.
    """

    keyring: Keyring
    registries: Registries
    gates: Gates
    policy: Policy
    scheduler: Scheduler
    ttl: float

    async def store(self, name: str, handed: Handed, *, caller: Principal) -> Mapping[str, object]:
        """Try a credential, and store it; deliveries that wait for one go on.

        One that cannot be tried is stored all the same: its registry may be away, and what waits for it can wait.
        """
        if not caller.logins:
            raise no_logins(name)
        registry, _, path = handed.scope.partition("/")
        self.policy.check_registry(registry)
        # Not parsed: on Docker Hub the namespace `team` would be read as the image `library/team`.
        trial = Reference(registry=registry, repository=path or _TRIAL, tag="latest", digest=None)
        verified = await self._verified(trial, handed, caller)
        if verified is False:
            detail = "does not take this user name and password, or token; nothing was stored"
            raise RequestError(Code.REQUEST_CREDENTIAL_REFUSED, registry, detail, hint="see whether it was mistyped")
        last = datetime.now(UTC) + timedelta(seconds=self.ttl)
        kept = replace(handed, expires_at=last if handed.expires_at is None else min(handed.expires_at, last))
        resumed = await self.keyring.store(name, kept, uid=caller.uid)
        self.scheduler.wake()
        login = next((login for login in await self.keyring.list(caller.uid) if login.name == name), None)
        if login is None:
            raise _gone(name)  # removed that very moment
        return {"login": login, "verified": verified, "resumed": resumed}

    async def list(self, *, caller: Principal) -> Sequence[Login]:
        """Give the caller's, by name."""
        return await self.keyring.list(caller.uid) if caller.logins else ()

    async def remove(self, name: str, *, caller: Principal) -> None:
        """Forget one."""
        if not caller.logins or not await self.keyring.remove(name, caller.uid):
            raise _gone(name)

    async def _verified(self, reference: Reference, handed: Handed, caller: Principal) -> bool | None:
        asker = Asker(user=caller.user, handed=(handed,))
        try:
            registry = await self.gates.connect(self.registries, reference, asker=asker)
            return await registry.verify()
        except RegistryError:
            return None


def _gone(name: str) -> RequestError:
    return RequestError(Code.REQUEST_NOT_FOUND, name, "there is no such login", hint="`pushctl logins` lists them")
