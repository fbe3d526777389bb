"""The daemon's JSON as values: the job, and the problem (RFC 9457).

Fields this version does not know are passed over: a newer daemon says more. An older one says less: what came with a
later version may be absent.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pushd.errors import Code, DaemonError, Origin, RegistryError, RequestError, SourceError, StoreError
from pushd.job import (
    Compress,
    Delivery,
    DeliveryState,
    Failure,
    Job,
    JobState,
    Retain,
    Tags,
    Transfer,
    TransferState,
    Try,
    Validate,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.errors import PushdError

JSON: Final = {"Content-Type": "application/json"}
"""The header field of a request whose body is a document."""
_CLASSES: Mapping[Origin, type[PushdError]] = {
    Origin.REQUEST: RequestError,
    Origin.SOURCE: SourceError,
    Origin.REGISTRY: RegistryError,
    Origin.STORE: StoreError,
    Origin.DAEMON: DaemonError,
}
_BY_STATUS = {
    403: Code.REQUEST_FORBIDDEN,
    404: Code.REQUEST_NOT_FOUND,
    405: Code.REQUEST_METHOD,
    409: Code.REQUEST_STATE,
    410: Code.REQUEST_EVENTS_GONE,
    413: Code.REQUEST_TOO_LARGE,
    429: Code.REQUEST_LIMIT,
    507: Code.STORE_FULL,
}
_SERVER_ERROR = 500


def job_of(document: Mapping[str, Any]) -> Job:
    """Read a job.

    Raises:
        KeyError, TypeError, ValueError: the document is not a job's.
    """
    return Job(
        id=document["id"],
        state=JobState(document["state"]),
        source=document["source"],
        uid=document["uid"],
        priority=document["priority"],
        labels=dict(document["labels"]),
        digest=document["digest"],
        media_type=document["media_type"],
        size=document["size"],
        created_at=datetime.fromisoformat(document["created_at"]),
        deadline_at=datetime.fromisoformat(document["deadline_at"]),
        finished_at=_time(document.get("finished_at")),
        deliveries=tuple(_delivery(delivery) for delivery in document["deliveries"]),
        not_before=_time(document.get("not_before")),
        if_tag=document.get("if_tag"),
        retain=Retain(document.get("retain", Retain.SOURCE)),
        paused_at=_time(document.get("paused_at")),
        platforms=tuple(document.get("platforms", ())),
        validate=Validate(document.get("validate", Validate.DIGEST)),
        compress=Compress(document.get("compress", Compress.NONE)),
        tags=Tags(document.get("tags", Tags.EACH)),
        ready_at=_time(document.get("ready_at")),
        referrers=document.get("referrers"),
    )


def error_of(status: int, document: Mapping[str, Any], *, retry_after: float | None = None) -> PushdError:
    """Read a problem: the error of its code, with the daemon's own words.

    A code this version does not know becomes the nearest one the HTTP status allows.
    """
    try:
        code = Code(document.get("code", ""))
    except ValueError:
        fallback = Code.DAEMON_INTERNAL if status >= _SERVER_ERROR else Code.REQUEST_MALFORMED
        code = _BY_STATUS.get(status, fallback)
    detail = str(document.get("detail") or document.get("title") or f"the daemon answered {status}")
    hint = str(document.get("hint") or "")
    return _CLASSES[code.origin](code, "", detail, hint=hint, retry_after=retry_after)


def _delivery(document: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=document["id"],
        destination=document["destination"],
        state=DeliveryState(document["state"]),
        attempt=document.get("attempt", 0),
        digest=document.get("digest"),
        failure=_failure(document.get("failure")),
        not_before=_time(document.get("not_before")),
        started_at=_time(document.get("started_at")),
        finished_at=_time(document.get("finished_at")),
        transfers=tuple(_transfer(transfer) for transfer in document.get("transfers", ())),
        history=tuple(_try(one) for one in document.get("history", ())),
        ready=document.get("ready", False),
    )


def _transfer(document: Mapping[str, Any]) -> Transfer:
    return Transfer(
        digest=document["digest"],
        media_type=document["media_type"],
        size=document["size"],
        state=TransferState(document["state"]),
        done=document.get("done", 0),
        sent=document.get("sent", 0),
        resumed=document.get("resumed", 0),
    )


def _try(document: Mapping[str, Any]) -> Try:
    return Try(
        at=datetime.fromisoformat(document["at"]),
        attempt=document["attempt"],
        code=document["code"],
        message=document["message"],
    )


def _failure(document: Mapping[str, Any] | None) -> Failure | None:
    if document is None:
        return None
    return Failure(code=document["code"], message=document["message"], retryable=document["retryable"])


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
