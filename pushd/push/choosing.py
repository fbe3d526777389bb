"""With which credentials a caller may have registries spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError
from pushd.job import ANONYMOUS, AUTO, DAEMON, HANDED
from pushd.push.origin import origin_of
from pushd.work import Asker, covers

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pushd.oci.reference import Reference
    from pushd.principal import Principal
    from pushd.work import Handed


def asker_of(caller: Principal, choice: str, handed: Sequence[Handed]) -> Asker:
    """Give on whose behalf a caller asks, who said `choice`; raises as `choice_of` does."""
    return Asker(user=caller.user, choice=choice_of(choice, caller), handed=tuple(handed))


def choice_of(choice: str, caller: Principal) -> str:
    """Give which credential a caller may choose, who said `choice` (see `JobSpec.credential`).

    Raises:
        RequestError: `request.forbidden`, they named a login, and came by a socket at which they have none.
    """
    if caller.logins or choice in (DAEMON, ANONYMOUS):
        return choice
    if choice == AUTO:
        return HANDED
    raise no_logins(choice)


def no_logins(name: str) -> RequestError:
    """Say that nothing stored may be used, or stored, by the socket the caller came by."""
    detail = "is not to be had by this socket: whoever comes by it is not known to be who stored it"
    hint = "hand the credential over with the job, or come by the daemon's main socket"
    return RequestError(Code.REQUEST_FORBIDDEN, f"login {name}", detail, hint=hint)


def check_handed(handed: Sequence[Handed], destinations: Collection[Reference], source: str) -> None:
    """Refuse a credential that neither destination nor source needs: what is not used is not to be kept."""
    if not handed:
        return
    origin = origin_of(source)
    references = [*destinations] if origin is None else [*destinations, origin]
    for one in handed:
        if not any(covers(one.scope, reference.registry, reference.repository) for reference in references):
            detail = f"has one for {one.scope}, which is neither source nor destination of the job"
            raise RequestError(Code.REQUEST_MALFORMED, "credentials", detail, hint="leave it out")
