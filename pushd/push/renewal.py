"""Credentials that are not taken any more in the middle of a delivery: what takes their place, or who brings it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RegistryError, RequestError
from pushd.job import ANONYMOUS
from pushd.push.persistence import as_source

if TYPE_CHECKING:
    from pushd.errors import SourceError
    from pushd.oci.reference import Reference
    from pushd.push.ports.registry import Registries, Registry
    from pushd.work import Asker, Claim

_LOOK_AGAIN: Final = 300.0
"""Seconds until the daemon's own credential is looked up again, after one that is not taken any more."""
_NEXT: Final = 1.0
"""Seconds until the next of a user's credentials is tried, at least."""
_MISTYPED: Final = timedelta(minutes=10)
"""Age from which on a credential that is refused the first time counts as one that has expired while it waited."""
_NOT_LET_IN: Final = frozenset({Code.SOURCE_UNAUTHORIZED, Code.SOURCE_DENIED})


@dataclass(frozen=True, slots=True)
class Renewal:
    """Tells what a delivery ends in that was refused, so that it waits where another credential would help."""

    registries: Registries

    async def to_push(
        self, registry: Registry, reference: Reference, claim: Claim, error: RegistryError
    ) -> RegistryError:
        """Judge what a destination answered.

        Returns:
            The error itself; or `registry.needs_credential`, for a credential that was good before.

        Raises:
            RegistryError: the registry did not say, and may later.
        """
        if error.code is not Code.REGISTRY_UNAUTHORIZED or not await _expired(registry, claim, datetime.now(UTC)):
            return error
        if registry.borrowed:
            await self.registries.refused(registry.name, repository=reference.repository, asker=claim.asker)
        return await self._needed(registry, reference, claim.asker, error.detail, spent=registry.borrowed)

    async def to_read(self, registry: Registry, reference: Reference, asker: Asker, error: SourceError) -> SourceError:
        """Judge what the registry answered that a source is in.

        It was read when the job was submitted, so what is missing now can be brought. That may be the right to read
        it: then the credential is kept, for it is good elsewhere.

        Returns:
            The error itself; or `source.needs_credential`.

        Raises:
            SourceError: the registry did not say, and may later.
        """
        if error.code not in _NOT_LET_IN or asker.choice == ANONYMOUS:
            return error
        try:
            spent = registry.borrowed and error.code is Code.SOURCE_UNAUTHORIZED and await _refused(registry)
            if spent:
                await self.registries.refused(registry.name, repository=reference.repository, asker=asker)
        except RegistryError as unsaid:
            raise as_source(unsaid) from error
        return as_source(await self._needed(registry, reference, asker, error.detail, spent=spent))

    async def _needed(
        self, registry: Registry, reference: Reference, asker: Asker, said: str, *, spent: bool
    ) -> RegistryError:
        """Say that a credential is needed in place of one that is not taken any more; `spent`, it was forgotten."""
        hint, retry_after = f"`pushctl login {registry.name}` brings another", None
        detail = f"does not take the credential of this job any more ({said})"
        if registry.credential == ANONYMOUS:
            hint = f"`pushctl login {registry.name}` brings one"
            detail = f"does not let anybody in without a credential any more ({said})"
        elif not registry.borrowed:
            hint, retry_after = "its administrator is to bring another; it is looked for again and again", _LOOK_AGAIN
            detail = "does not take the daemon's credential any more"
        elif spent and await self._has_another(registry.name, reference, asker):
            hint, retry_after = "another one of its user is tried", _NEXT
        return RegistryError(Code.REGISTRY_NEEDS_CREDENTIAL, registry.name, detail, hint=hint, retry_after=retry_after)

    async def _has_another(self, name: str, reference: Reference, asker: Asker) -> bool:
        """Whether its user has one that can be tried in place of one that was forgotten: nobody would bring it then."""
        try:
            await self.registries.connect(name, repository=reference.repository, asker=asker)
        except (RegistryError, RequestError):
            return False
        return True


async def _expired(registry: Registry, claim: Claim, now: datetime) -> bool:
    """Whether a credential that was refused has expired, and was not wrong from the beginning, nor short of a right.

    It was taken before; or, where this life of the daemon cannot know, it was tried when it was stored, or it has been
    waiting for longer than it takes to notice a password that was mistyped. And it is refused everywhere: some
    registries answer 401 where a right is missing (Harbor does).

    Raises:
        RegistryError: the registry did not say, and may later.
    """
    waited = claim.handed_at is None or now - claim.handed_at > _MISTYPED
    return (registry.accepted or (registry.borrowed and waited)) and await _refused(registry)


async def _refused(registry: Registry) -> bool:
    """Whether a registry does not take the credential at all.

    Raises:
        RegistryError: it did not say, and may later.
    """
    try:
        return await registry.verify() is False
    except RegistryError as error:
        if error.retryable:
            raise
        return False
