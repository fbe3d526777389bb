"""Errors as `application/problem+json` (RFC 9457), and which HTTP status each code has."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from pushd.api.documents import encode
from pushd.api.held import connected
from pushd.errors import Code, DaemonError, OffsetError, Origin, PushdError, RequestError
from pushd.telemetry.faults import fault

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from pushd.push.ports.emit import Emit

_BY_ORIGIN: Final = {
    # The request is well formed; what it names cannot be pushed.
    Origin.SOURCE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Origin.REGISTRY: HTTPStatus.BAD_GATEWAY,
    Origin.STORE: HTTPStatus.SERVICE_UNAVAILABLE,
}

STATUS: Final[dict[Code, HTTPStatus]] = {
    **{code: _BY_ORIGIN[code.origin] for code in Code if code.origin in _BY_ORIGIN},
    Code.REQUEST_MALFORMED: HTTPStatus.BAD_REQUEST,
    Code.REQUEST_INVALID_REFERENCE: HTTPStatus.BAD_REQUEST,
    Code.REQUEST_INVALID_DIGEST: HTTPStatus.BAD_REQUEST,
    Code.REQUEST_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.REQUEST_FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.REQUEST_NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.REQUEST_METHOD: HTTPStatus.METHOD_NOT_ALLOWED,
    Code.REQUEST_CONFLICT: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.REQUEST_CANCELLED: HTTPStatus.CONFLICT,
    Code.REQUEST_DEADLINE: HTTPStatus.CONFLICT,
    Code.REQUEST_TOGETHER: HTTPStatus.CONFLICT,
    Code.REQUEST_STATE: HTTPStatus.CONFLICT,
    Code.REQUEST_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    Code.REQUEST_PATH_REFUSED: HTTPStatus.FORBIDDEN,
    Code.REQUEST_EVENTS_GONE: HTTPStatus.GONE,
    Code.REQUEST_OFFSET: HTTPStatus.CONFLICT,
    Code.REQUEST_CREDENTIAL_REFUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.SOURCE_FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.SOURCE_UNAUTHORIZED: HTTPStatus.FORBIDDEN,
    Code.SOURCE_DENIED: HTTPStatus.FORBIDDEN,
    Code.SOURCE_NEEDS_CREDENTIAL: HTTPStatus.FORBIDDEN,
    Code.REGISTRY_TAG_EXISTS: HTTPStatus.CONFLICT,
    Code.STORE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Code.STORE_BUDGET: HTTPStatus.INSUFFICIENT_STORAGE,
    Code.DAEMON_CONFIG: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.DAEMON_SOCKET: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.DAEMON_UNREACHABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DAEMON_INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.DAEMON_CRASH_LOOP: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def problem(error: PushdError, *, allow: str = "") -> web.Response:
    """Give the reply that tells `error`; `allow` names the methods there are, for a wrong one."""
    status = STATUS[error.code]
    document = {
        "type": f"urn:pushd:error:{error.code.value}",
        "title": _title(error.code),
        "status": status.value,
        "detail": f"{error.subject}: {error.detail}" if error.subject else error.detail,
        "code": error.code.value,
        "hint": error.hint,
    }
    headers = {}
    if allow:
        headers["Allow"] = allow
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, OffsetError):
        headers["Upload-Offset"] = str(error.offset)
    return web.Response(status=status, headers=headers, body=encode(document), content_type="application/problem+json")


def problems(emit: Emit) -> Middleware:
    """Give the middleware that turns whatever is raised into a problem."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except PushdError as error:
            return problem(error)
        except web.HTTPException as error:
            return problem(_translated(error, request), allow=error.headers.get("Allow", ""))
        except Exception as error:  # noqa: BLE001 (the last line of defence: a defect is told, not leaked)
            if isinstance(error, ConnectionError) and not connected(request):
                # The caller left: nobody reads this, and an error raised would be logged as ours.
                return web.Response(status=HTTPStatus.BAD_REQUEST)
            emit(fault(error, where=f"{request.method} {request.path}"))
            return problem(_internal())

    return middleware


def _title(code: Code) -> str:
    """Say the code in words: the same sentence for the same type (RFC 9457, 3.1.3)."""
    return f"{code.origin.capitalize()}: {code.value.partition('.')[2].replace('_', ' ')}"


def _internal() -> DaemonError:
    return DaemonError(
        Code.DAEMON_INTERNAL,
        "",
        "the daemon met a defect in itself",
        hint="its log has the event daemon.fault; please report it",
    )


def _translated(error: web.HTTPException, request: web.Request) -> RequestError:
    """Say in our words what aiohttp refused."""
    match error.status:
        case HTTPStatus.NOT_FOUND:
            return RequestError(Code.REQUEST_NOT_FOUND, request.path, "is no resource of this daemon")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = error.headers.get("Allow", "")
            return RequestError(
                Code.REQUEST_METHOD, request.path, f"does not take {request.method}", hint=f"it takes {allowed}"
            )
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return too_large(request.client_max_size)
        case _:
            return RequestError(Code.REQUEST_MALFORMED, request.path, error.reason)


def too_large(limit: int) -> RequestError:
    """Give the error for a body of more than `limit` bytes."""
    return RequestError(Code.REQUEST_TOO_LARGE, "body", f"is larger than {limit} bytes")
