"""The body of a request: read whole, in time, and within the limit of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec
from aiohttp import hdrs, web

from pushd.api import parameters
from pushd.api.fields import read_fields
from pushd.api.held import connected
from pushd.api.problems import too_large
from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.api.patience import Patience

_T = TypeVar("_T", bound=msgspec.Struct)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request that needs none: empty, or an object without fields."""


async def read_body(request: web.Request, patience: Patience) -> bytes:
    """Give the body of a request that says it is JSON, or does not say what it is.

    Raises:
        RequestError: `request.malformed`, it says otherwise, is not what its headers say, or is late;
            `request.too_large`.
    """
    stated = hdrs.CONTENT_TYPE in request.headers
    parameters.check_json(request.content_type if stated else None, request.charset)
    return await _read(request, patience)


async def read_small(
    request: web.Request,
    patience: Patience,
    kind: type[_T],
    *,
    parts: Mapping[str, type[msgspec.Struct]] | None = None,
) -> _T:
    """Give a body that is one JSON object of a few fields, none of them required; an empty one is an empty object.

    Args:
        request: whose body.
        patience: how long it may take to arrive.
        kind: a struct that forbids unknown fields,
        parts: and those within it, as `read_fields` takes them.

    Raises:
        RequestError: as `read_body` does; `request.malformed`, naming the field.
    """
    if not request.body_exists:
        return kind()
    body = await _read(request, patience)
    if not body:
        return kind()
    stated = hdrs.CONTENT_TYPE in request.headers
    parameters.check_json(request.content_type if stated else None, request.charset)
    return read_fields(body, msgspec.json.Decoder(kind), parts=parts)


async def _read(request: web.Request, patience: Patience) -> bytes:
    limit = request.client_max_size
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    try:
        with anyio.fail_after(patience.body):
            return await request.read()
    except (ConnectionError, RuntimeError) as error:
        if connected(request):
            raise
        raise RequestError(Code.REQUEST_MALFORMED, "body", "broke off") from error  # nobody hears it: the caller left
    except web.RequestPayloadError as error:
        # What is left of the body cannot be read. aiohttp would try to, and log its failure as its own.
        request.content.feed_eof()
        request.protocol.close()
        raise RequestError(Code.REQUEST_MALFORMED, "body", "is not what its headers say it is") from error
    except TimeoutError as error:
        late = f"did not arrive within {patience.body:g} seconds"
        raise RequestError(Code.REQUEST_MALFORMED, "body", late) from error
