"""The body of `POST /v1/jobs`, checked and named field by field."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from pushd.errors import Code, RequestError
from pushd.job import JobSpec, Verify
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_BODY: Final = 1 << 20
"""Bytes of a request body."""
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

_LABEL_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_SHOWN: Final = 80
"""Characters of a name from outside in a message."""
_SHAPE: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in `)?\$\.?(?P<where>[^`]*)`+)?", re.DOTALL)
"""How msgspec says what is wrong and where: ``Expected `str`, got `int` - at `$.source` ``."""
_FIELD: Final = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_JSON_WORDS: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    destinations: list[str]
    priority: int = 0
    labels: dict[str, str] = {}
    deadline: float | None = None
    verify: Verify = Verify.TAG


_DECODER: Final = msgspec.json.Decoder(_Body)


def read_submission(body: bytes) -> JobSpec:
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
    _check_text(read.source, "source", MAX_SOURCE)
    _check_destinations(read.destinations)
    if not -MAX_PRIORITY <= read.priority <= MAX_PRIORITY:
        raise _malformed("priority", f"must be from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    _check_labels(read.labels)
    if read.deadline is not None and not 0 < read.deadline <= MAX_DEADLINE:
        raise _malformed("deadline", f"must be more than 0 and at most {MAX_DEADLINE:.0f} seconds")
    return JobSpec(
        source=read.source,
        destinations=tuple(read.destinations),
        priority=read.priority,
        labels=read.labels,
        deadline=read.deadline,
        verify=read.verify,
    )


def fingerprint(spec: JobSpec) -> bytes:
    """Give a hash of what is asked for: equal for equal requests, however their JSON is written."""
    return hashlib.sha256(msgspec.json.encode(spec, order="deterministic")).digest()


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
    field = _FIELD.fullmatch(text)
    if field is not None and field["what"] == "missing required":
        return _malformed(field["name"], "is missing")
    if field is not None:
        name, known = printable(field["name"], _SHOWN), _Body.__struct_fields__
        near = difflib.get_close_matches(name, known, n=1)
        return _malformed(
            name, "is no field of a job", hint=f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        )
    shape = _SHAPE.fullmatch(text)
    what, where = (shape["what"], shape["where"]) if shape is not None else (text, "")
    worded = re.sub(r"`([^`]*)`", lambda match: _worded(match[1]), what)
    return _malformed(printable(where or "body", _SHOWN), worded[:1].lower() + worded[1:])


def _worded(types: str) -> str:
    return " or ".join(_JSON_WORDS.get(name, name) for name in types.split(" | "))


def _malformed(field: str, detail: str, *, hint: str = "") -> RequestError:
    return RequestError(Code.REQUEST_MALFORMED, field, detail, hint=hint)
