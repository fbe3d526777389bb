"""What the API says, as JSON: jobs, events, and the rest by their own names (see `pushd.job`)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from pushd.telemetry.events import Event


def _mapping(value: object) -> object:
    """Encode any mapping as an object; msgspec itself knows `dict` alone."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_mapping)


def encode(document: object) -> bytes:
    """Encode a document; aware UTC times become RFC 3339 with `Z`.

    File names that are not UTF-8 arrive here as lone surrogates (PEP 383), which JSON cannot carry: they are
    shown as question marks.
    """
    try:
        return _ENCODER.encode(document)
    except UnicodeEncodeError:
        return _ENCODER.encode(_carried(msgspec.to_builtins(document, enc_hook=_mapping)))


def reply(
    document: object, *, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Give the reply that tells `document`."""
    return web.Response(status=status, headers=headers, body=encode(document), content_type="application/json")


def event_document(event: Event) -> bytes:
    """Encode one event, on one line, its fields flat beside the common ones; `seq` only where it has one."""
    number = {} if event.seq is None else {"seq": event.seq}
    traced = {} if event.trace is None else {"trace_id": event.trace}
    document = {
        **number,
        "at": event.at,
        "event": event.kind.name,
        "level": event.kind.level,
        "message": event.message,
        "job": event.job,
        "delivery": event.delivery,
        **traced,
        **event.fields,
    }
    return encode(document)


def _carried(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_carried(key): _carried(item) for key, item in value.items()}
        case list() | tuple():
            return [_carried(item) for item in value]
        case _:
            return value
