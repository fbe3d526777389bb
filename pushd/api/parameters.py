"""What a request says beside its body: query parameters and headers, checked. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.api.targets import registry
from pushd.errors import Code, RequestError
from pushd.job import JobState
from pushd.work import JobQuery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MAX_PAGE: Final = 1000
"""Jobs in one page."""
MAX_WAIT: Final = 3600.0
"""Seconds a request is held open."""

_DEFAULT_PAGE: Final = 100
_DEFAULT_WAIT: Final = 60.0
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STREAM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LABEL: Final = re.compile(r"(?P<key>[^=]{1,63})=(?P<value>.{0,1024})", re.DOTALL)
_MAX_LABELS: Final = 64
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT: Final = re.compile(r"""wait[ \t]*=[ \t]*"?(?P<seconds>[0-9]{1,9})"?[ \t]*(?:;.*)?""", re.IGNORECASE)
_FLAGS: Final = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events are told.

    Attributes:
        after: those numbered above it.
        job_id: of this job, or of all.
        follow: whether the future ones too.
        stream: the stream that `after` is a number of; None when the caller does not say.
    """

    after: int
    job_id: str | None
    follow: bool
    stream: str | None


def job_id(text: str) -> str:
    """Give `text` when it can be a job's id.

    Raises:
        RequestError: `request.not_found`: no job has such an id.
    """
    if not _JOB_ID.fullmatch(text):
        raise RequestError(Code.REQUEST_NOT_FOUND, "job", "no job has such an id")
    return text


def page(query: Iterable[tuple[str, str]]) -> JobQuery:
    """Read the query of `GET /v1/jobs`.

    Raises:
        RequestError: `request.malformed`, naming the parameter; so for all that read a query.
    """
    given = _given(query, ("state", "label", "registry", "after", "limit"), repeated=("state", "label"))
    try:
        states = frozenset(JobState(state) for state in given["state"])
    except ValueError as error:
        raise _malformed("state", f"must be one of {', '.join(JobState)}") from error
    limit = _whole(_only(given["limit"], str(_DEFAULT_PAGE)), "limit")
    if not 1 <= limit <= MAX_PAGE:
        raise _malformed("limit", f"must be from 1 to {MAX_PAGE}")
    after, name = given["after"], given["registry"]
    return JobQuery(
        states=states,
        labels=_labels(given["label"]),
        registry=registry(name[0]) if name else None,
        after=job_id(after[0]) if after else None,
        limit=limit,
    )


def subscription(query: Iterable[tuple[str, str]], last_ids: Sequence[str] = ()) -> Subscription:
    """Read the query of `GET /v1/events`, and the `Last-Event-ID` headers.

    A browser that comes back asks for the same URL again and says what it saw last in the header: it counts.
    """
    given = _given(query, ("after", "job", "follow", "stream"))
    follow = _FLAGS.get(_only(given["follow"], "1"))
    if follow is None:
        raise _malformed("follow", "must be 1 or 0")
    after = _whole(_only(given["after"], "0"), "after")
    if len(last_ids) > 1:
        raise _malformed("Last-Event-ID", "is given more than once")
    if last_ids:
        after = _whole(last_ids[0], "Last-Event-ID")
    job, stream = given["job"], given["stream"]
    if stream and not _STREAM.fullmatch(stream[0]):
        raise _malformed("stream", "must be the id of a stream, as a bookmark has it")
    return Subscription(
        after=after,
        job_id=job_id(job[0]) if job else None,
        follow=follow,
        stream=stream[0] if stream else None,
    )


def timeout(query: Iterable[tuple[str, str]]) -> float:
    """Read the query of `GET /v1/jobs/{id}/wait`; gives seconds."""
    text = _only(_given(query, ("timeout",))["timeout"], str(_DEFAULT_WAIT))
    if not _SECONDS.fullmatch(text) or float(text) > MAX_WAIT:
        raise _malformed("timeout", f"must be from 0 to {MAX_WAIT:.0f} seconds")
    return float(text)


def nothing(query: Iterable[tuple[str, str]]) -> None:
    """Refuse any query."""
    _given(query, ())


def idempotency_key(headers: Sequence[str]) -> str | None:
    """Read the `Idempotency-Key` headers of a request.

    Raises:
        RequestError: `request.malformed`.
    """
    if not headers:
        return None
    if len(headers) > 1 or not _KEY.fullmatch(headers[0]):
        raise _malformed("Idempotency-Key", "must be given once, as 1 to 255 printable ASCII characters")
    return headers[0]


def preferred_wait(headers: Sequence[str]) -> int | None:
    """Read the seconds of `Prefer: wait=N` (RFC 7240, 4.3), at most `MAX_WAIT`.

    The first one counts, and what is not understood is ignored (RFC 7240, 2).
    """
    for preference in ",".join(headers).split(","):
        match = _WAIT.fullmatch(preference.strip())
        if match is not None:
            return min(int(match["seconds"]), int(MAX_WAIT))
    return None


def brings(headers: Sequence[str]) -> bool:
    """Whether `Prefer: bring` is there: the caller would rather bring an image out of an engine themselves."""
    return any(preference.strip().lower() == "bring" for preference in ",".join(headers).split(","))


def check_json(content_type: str | None, charset: str | None) -> None:
    """Refuse a body that says it is something other than JSON in UTF-8.

    Args:
        content_type: the media type, lower-case, without parameters; None when there was none.
        charset: its parameter of that name.

    Raises:
        RequestError: `request.malformed`.
    """
    if content_type not in (None, "application/json"):
        raise _malformed(
            "Content-Type", "must be application/json", hint="with curl: -H 'Content-Type: application/json'"
        )
    if charset is not None and charset.lower() != "utf-8":
        raise _malformed("Content-Type", "must have no charset but utf-8")


def _given(
    query: Iterable[tuple[str, str]], names: Collection[str], *, repeated: Collection[str] = ()
) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {name: [] for name in names}
    for name, value in query:
        if name not in given:
            known = f"known here: {', '.join(names)}" if names else "there are none here"
            raise _malformed("query", "has a parameter that is not known", hint=known)
        given[name].append(value)
        if len(given[name]) > 1 and name not in repeated:
            raise _malformed(name, "is given more than once")
    return given


def _labels(given: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    if len(given) > _MAX_LABELS:
        raise _malformed("label", f"must be given at most {_MAX_LABELS} times")
    for text in given:
        match = _LABEL.fullmatch(text)
        if match is None:
            raise _malformed("label", "must be KEY=VALUE")
        if labels.setdefault(match["key"], match["value"]) != match["value"]:
            raise _malformed("label", "asks for two values of one key, which no job has")
    return labels


def _only(values: Sequence[str], default: str) -> str:
    return values[0] if values else default


def _whole(text: str, name: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise _malformed(name, "must be a whole number, 0 or larger")
    return int(text)


def _malformed(name: str, detail: str, *, hint: str = "") -> RequestError:
    return RequestError(Code.REQUEST_MALFORMED, name, detail, hint=hint)
