"""The body of `POST /v1/jobs` and `POST /v1/plan`, checked and named field by field. Pure."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from pushd.errors import Code, RequestError
from pushd.job import ABSENT, JobSpec, Retain, Spooled, Verify
from pushd.oci.digest import Digest
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SOURCE: Final = 8192
"""Characters: a path has at most 4096 bytes, and a reference follows it."""
MAX_DESTINATION: Final = 1024
"""Characters: a name of 255, a tag of 128 and a digest fit twice."""
MAX_DESTINATIONS: Final = 64
MAX_LABELS: Final = 64
MAX_LABEL_VALUE: Final = 1024
"""Bytes of a label's value, as UTF-8."""
MAX_PRIORITY: Final = 1000
"""Either side of zero."""
MAX_DEADLINE: Final = 366 * 86_400.0
"""Seconds."""
MAX_AHEAD: Final = timedelta(days=366)
"""How far from now a job may be told to begin."""

_ENTRY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
"""RFC 6838, 4.2, as the OCI image spec has it (descriptor.md, "Properties")."""
_LABEL_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_SHOWN: Final = 80
"""Characters of a name from outside in a message."""
_SHAPE: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in `)?\$\.?(?P<where>[^`]*)`+)?", re.DOTALL)
"""How msgspec says what is wrong and where: ``Expected `str`, got `int` - at `$.source` ``."""
_FIELD: Final = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_JSON_WORDS: Final = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "datetime": "time",
}


class _Spooled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: str
    media_type: str
    digest: str
    size: int


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    destinations: list[str]
    priority: int = 0
    labels: dict[str, str] = {}
    deadline: float | None = None
    verify: Verify = Verify.TAG
    not_before: datetime | None = None
    if_tag: str | None = None
    retain: Retain = Retain.SOURCE
    spooled: _Spooled | None = None


_DECODER: Final = msgspec.json.Decoder(_Body)


def read_submission(body: bytes, *, now: datetime) -> JobSpec:
    """Read a submission. The references and the source in it are not looked at yet.

    Raises:
        RequestError: `request.malformed`, naming the field.
    """
    try:
        read = _DECODER.decode(body)
        json.loads(body, object_pairs_hook=_each_once)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RequestError(Code.REQUEST_MALFORMED, "body", f"is not JSON in UTF-8: {error}") from error
    _check_source(read)
    _check_destinations(read.destinations)
    if not -MAX_PRIORITY <= read.priority <= MAX_PRIORITY:
        raise _malformed("priority", f"must be from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    _check_labels(read.labels)
    if read.deadline is not None and not 0 < read.deadline <= MAX_DEADLINE:
        raise _malformed("deadline", f"must be more than 0 and at most {MAX_DEADLINE:.0f} seconds")
    if read.if_tag not in (None, ABSENT):
        _check_digest(read.if_tag, "if_tag", f'must be "{ABSENT}" or a digest')
    return JobSpec(
        source=read.source,
        destinations=tuple(read.destinations),
        priority=read.priority,
        labels=read.labels,
        deadline=read.deadline,
        verify=read.verify,
        not_before=None if read.not_before is None else _begin(read.not_before, now),
        if_tag=read.if_tag,
        retain=read.retain,
        spooled=None if read.spooled is None else _spooled(read.spooled),
    )


def fingerprint(spec: JobSpec) -> bytes:
    """Give a hash of what is asked for: equal for equal requests, however their JSON is written.

    Where the bytes are in the spool is no part of it: who asks again may have brought them again.
    """
    return hashlib.sha256(msgspec.json.encode(replace(spec, spooled=None), order="deterministic")).digest()


def _check_source(read: _Body) -> None:
    """Check what is to be read; of bytes that are there already it is only a name, and may be empty."""
    if read.spooled is None:
        _check_text(read.source, "source", MAX_SOURCE)
    elif len(read.source) > MAX_SOURCE:
        raise _malformed("source", f"must be at most {MAX_SOURCE} characters")


def _begin(time: datetime, now: datetime) -> datetime:
    if time.tzinfo is None:
        raise _malformed("not_before", "must say its offset from UTC", hint="write it like 2026-07-01T22:00:00+02:00")
    if time - now > MAX_AHEAD:
        raise _malformed("not_before", f"must be at most {MAX_AHEAD.days} days ahead")
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first hours of year 1 may have no name in UTC: it is past all the same, so at once
        return datetime.min.replace(tzinfo=UTC)


def _spooled(read: _Spooled) -> Spooled:
    if not _ENTRY.fullmatch(read.entry):
        raise _malformed("spooled.entry", "must be the id of a spool entry")
    if not _MEDIA_TYPE.fullmatch(read.media_type):
        raise _malformed("spooled.media_type", "must be a media type")
    _check_digest(read.digest, "spooled.digest", "must be a digest")
    if not 0 < read.size <= MAX_SIZE:
        raise _malformed("spooled.size", f"must be from 1 to {MAX_SIZE} bytes, as a manifest has")
    return Spooled(entry=read.entry, media_type=read.media_type, digest=read.digest, size=read.size)


def _check_digest(text: str, field: str, detail: str) -> None:
    try:
        Digest.parse(text)
    except RequestError as error:
        raise _malformed(field, detail, hint="write it as sha256: and 64 lower-case hexadecimal digits") from error


def _check_destinations(destinations: Sequence[str]) -> None:
    if not 0 < len(destinations) <= MAX_DESTINATIONS:
        raise _malformed("destinations", f"must be 1 to {MAX_DESTINATIONS} references, not {len(destinations)}")
    for index, destination in enumerate(destinations):
        _check_text(destination, f"destinations[{index}]", MAX_DESTINATION)


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise _malformed("labels", f"must be at most {MAX_LABELS}, not {len(labels)}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise _malformed(
                f"labels.{printable(key, _SHOWN)}",
                "must be named with 1 to 63 letters, digits, and . _ / -, the first a letter or digit",
            )
        if len(value.encode()) > MAX_LABEL_VALUE:
            raise _malformed(f"labels.{key}", f"must be at most {MAX_LABEL_VALUE} bytes")


def _check_text(text: str, field: str, limit: int) -> None:
    if not text.strip():
        raise _malformed(field, "must not be empty")
    if len(text) > limit:
        raise _malformed(field, f"must be at most {limit} characters")


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that names a key twice: readers disagree which one counts (RFC 8259, 4)."""
    key, count = Counter(key for key, _ in pairs).most_common(1)[0] if pairs else ("", 0)
    if count > 1:
        raise _malformed(printable(key, _SHOWN), f"is given {count} times")
    return dict(pairs)


def _misfit(text: str) -> RequestError:
    """Say in our words what msgspec found."""
    shape = _SHAPE.fullmatch(text)
    what, where = (shape["what"], shape["where"] or "") if shape is not None else (text, "")
    field = _FIELD.fullmatch(what)
    if field is not None:
        return _strange(field["what"], field["name"], where)
    worded = re.sub(r"`([^`]*)`", lambda match: _worded(match[1]), what)
    detail = printable(worded[:1].lower() + worded[1:], 2 * _SHOWN)
    return _malformed(printable(where or "body", _SHOWN), detail)


def _strange(what: str, name: str, where: str) -> RequestError:
    """Give the error for a field that is missing from, or too many in, the object at `where`."""
    path = printable(f"{where}.{name}" if where else name, _SHOWN)
    if what == "missing required":
        return _malformed(path, "is missing")
    known = _Spooled.__struct_fields__ if where == "spooled" else _Body.__struct_fields__
    near = difflib.get_close_matches(printable(name, _SHOWN), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return _malformed(path, "is no field of a job", hint=hint)


def _worded(types: str) -> str:
    return " or ".join(_JSON_WORDS.get(name, name) for name in types.split(" | "))


def _malformed(field: str, detail: str, *, hint: str = "") -> RequestError:
    return RequestError(Code.REQUEST_MALFORMED, field, detail, hint=hint)
