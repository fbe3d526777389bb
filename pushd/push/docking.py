"""Images in a container engine, for whom the daemon asks the engine: fetched to the spool before a job is taken in."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, RequestError
from pushd.oci.text import printable
from pushd.principal import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushd.job import JobSpec
    from pushd.principal import Principal
    from pushd.push.ports.engine import Fetch
    from pushd.push.ports.spool import Spool

_SHOWN = 512


@dataclass(slots=True, kw_only=True)
class Docking:
    """Has images fetched.

    Whoever may open an engine's socket is as good as root, so what it gives out is not everybody's.

    Attributes:
        fetch: does it.
        spool: where to.
        role: the least a caller is for whom it is done; None for nobody.
    """

    fetch: Fetch
    spool: Spool
    role: Role | None

    def concerns(self, spec: JobSpec) -> bool:
        """Whether this is where a job's image comes from."""
        return spec.in_engine and self.role is not None

    @asynccontextmanager
    async def fetched(self, spec: JobSpec, caller: Principal, *, keep: bool) -> AsyncIterator[JobSpec]:
        """Give the same job with its image in the spool, which stays there with `keep` when the context succeeds.

        Raises:
            RequestError: `request.forbidden`; and as `Fetch` does.
            SourceError, StoreError: as `Fetch` does.
        """
        if self.role is Role.ADMINISTRATOR and not caller.administrator:
            raise _forbidden(spec.source)
        spooled = await self.fetch(spec.source, uid=caller.uid, platforms=spec.platforms)
        needed = False
        try:
            with self.spool.using(spooled.entry, uid=caller.uid):
                yield replace(spec, spooled=spooled)
            needed = keep
        finally:
            if not needed:
                with anyio.CancelScope(shield=True):
                    await self.spool.discard(spooled.entry, "no job needs it")


def _forbidden(source: str) -> RequestError:
    detail = "is in a container engine, which the daemon asks for administrators alone"
    hint = printable(f"`pushctl push {source} DESTINATION` asks it with your own rights", _SHOWN)
    return RequestError(Code.REQUEST_FORBIDDEN, printable(source, _SHOWN), detail, hint=hint)
