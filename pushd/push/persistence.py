"""Asking a registry that is read from again, for a while; and what it says then, told as errors of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from pushd.errors import Code, RegistryError, SourceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries, at most. Whoever is sent the blob meanwhile waits as well: what lasts longer is the delivery's
to sit out, which holds no place."""
_PATIENCE: Final = 15.0
"""Seconds to be left alone that are waited for here, before the door of the registry."""

_CODES: Final[Mapping[Code, Code]] = {
    Code.REGISTRY_UNRESOLVED: Code.SOURCE_UNREACHABLE,
    Code.REGISTRY_UNREACHABLE: Code.SOURCE_UNREACHABLE,
    Code.REGISTRY_INTERRUPTED: Code.SOURCE_INTERRUPTED,
    Code.REGISTRY_STALLED: Code.SOURCE_INTERRUPTED,
    Code.REGISTRY_THROTTLED: Code.SOURCE_THROTTLED,
    Code.REGISTRY_UNAUTHORIZED: Code.SOURCE_UNAUTHORIZED,
    Code.REGISTRY_NEEDS_CREDENTIAL: Code.SOURCE_NEEDS_CREDENTIAL,
    Code.REGISTRY_DENIED: Code.SOURCE_DENIED,
    Code.REGISTRY_NOT_FOUND: Code.SOURCE_NOT_FOUND,
    Code.REGISTRY_DIGEST_MISMATCH: Code.SOURCE_BLOB_DIGEST,
}
_HINTS: Final[Mapping[Code, str]] = {
    Code.SOURCE_DENIED: "the credential in use may not read there; ask for the right, or use another credential",
    Code.SOURCE_NOT_FOUND: "check the name and the tag; what may not be read looks like what is not there",
}


async def persist(ask: Callable[[], Awaitable[T]], *, rng: Callable[[], float]) -> T:
    """Ask a registry, and again while what comes of it may pass, for some seconds.

    Args:
        ask: does it once.
        rng: gives numbers in [0, 1).

    Raises:
        SourceError: as `as_source` tells it.
    """
    for pause in (*_PAUSES, None):
        try:
            return await ask()
        except RegistryError as error:
            if pause is None or not error.retryable or (error.retry_after or 0.0) > _PATIENCE:
                raise as_source(error) from error
        await anyio.sleep(pause * (0.5 + rng() / 2))
    raise AssertionError


def as_source(error: RegistryError) -> SourceError:
    """Tell what a registry did that is read from: it counts against nobody the image goes to."""
    code = _CODES.get(error.code, Code.SOURCE_UNAVAILABLE if error.retryable else Code.SOURCE_UNREADABLE)
    hint = _HINTS.get(code, error.hint)
    return SourceError(code, f"source {error.subject}", error.detail, hint=hint, retry_after=error.retry_after)
