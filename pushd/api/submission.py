"""The body of `POST /v1/jobs` and `POST /v1/plan`, checked and named field by field. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from pushd.api.credentials import Given, read_credentials
from pushd.api.fields import SHOWN, malformed, read_fields
from pushd.errors import RequestError
from pushd.job import ABSENT, AUTO, Compress, JobSpec, Retain, Spooled, Tags, Validate, Verify
from pushd.oci.digest import Digest
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.media_types import is_media_type
from pushd.oci.platform import Platform
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.work import Handed

MAX_SOURCE: Final = 8192
"""Characters: a path has at most 4096 bytes, and a reference follows it."""
MAX_DESTINATION: Final = 1024
"""Characters: a name of 255, a tag of 128 and a digest fit twice."""
MAX_DESTINATIONS: Final = 64
MAX_PLATFORMS: Final = 64
MAX_PLATFORM: Final = 128
"""Characters."""
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
_LABEL_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


class _Spooled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: str
    media_type: str
    digest: str
    size: int
    referrers: str | None = None


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
    platforms: list[str] = []
    validate: Validate = Validate.DIGEST
    compress: Compress = Compress.AUTO
    tags: Tags = Tags.EACH
    with_referrers: bool = False
    credential: str = AUTO
    credentials: list[Given] = []


_DECODER: Final = msgspec.json.Decoder(_Body)
_PARTS: Final[Mapping[str, type[msgspec.Struct]]] = {"spooled": _Spooled, "credentials": Given}


def read_submission(body: bytes, *, now: datetime) -> tuple[JobSpec, tuple[Handed, ...]]:
    """Read a submission, and the credentials that came with it. The destinations and the source are not looked at yet.

    Raises:
        RequestError: `request.malformed`, naming the field; `request.invalid_reference`, of a credential's registry.
    """
    read = read_fields(body, _DECODER, parts=_PARTS)
    _check_source(read)
    _check_destinations(read.destinations)
    if not -MAX_PRIORITY <= read.priority <= MAX_PRIORITY:
        raise malformed("priority", f"must be from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    _check_labels(read.labels)
    if read.deadline is not None and not 0 < read.deadline <= MAX_DEADLINE:
        raise malformed("deadline", f"must be more than 0 and at most {MAX_DEADLINE:.0f} seconds")
    if read.if_tag not in (None, ABSENT):
        _check_digest(read.if_tag, "if_tag", f'must be "{ABSENT}" or a digest')
    handed = read_credentials(read.credentials, read.credential, now=now)
    spec = JobSpec(
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
        platforms=_platforms(read.platforms),
        validate=read.validate,
        compress=read.compress,
        tags=read.tags,
        with_referrers=read.with_referrers,
        credential=read.credential,
    )
    return spec, handed


def fingerprint(spec: JobSpec) -> bytes:
    """Give a hash of what is asked for: equal for equal requests, however their JSON is written.

    Where the bytes are in the spool is no part of it, who asks again may have brought them again; nor are credentials
    that were handed over, which may be others by then. A field that came with a later release counts only where it
    says something: a request stays the same when the daemon is replaced by a newer one in between.
    """
    asked = msgspec.to_builtins(replace(spec, spooled=None), order="deterministic")
    if spec.credential == AUTO:
        del asked["credential"]
    if not spec.platforms:
        del asked["platforms"]
    if spec.validate is Validate.DIGEST:
        del asked["validate"]
    if spec.compress is Compress.AUTO:
        del asked["compress"]
    if spec.tags is Tags.EACH:
        del asked["tags"]
    if not spec.with_referrers:
        del asked["with_referrers"]
    return hashlib.sha256(msgspec.json.encode(asked)).digest()


def _check_source(read: _Body) -> None:
    """Check what is to be read; of bytes that are there already it is only a name, and may be empty."""
    if read.spooled is None:
        _check_text(read.source, "source", MAX_SOURCE)
    elif len(read.source) > MAX_SOURCE:
        raise malformed("source", f"must be at most {MAX_SOURCE} characters")


def _begin(time: datetime, now: datetime) -> datetime:
    if time.tzinfo is None:
        raise malformed("not_before", "must say its offset from UTC", hint="write it like 2026-07-01T22:00:00+02:00")
    if time - now > MAX_AHEAD:
        raise malformed("not_before", f"must be at most {MAX_AHEAD.days} days ahead")
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first hours of year 1 may have no name in UTC: it is past all the same, so at once
        return datetime.min.replace(tzinfo=UTC)


def _spooled(read: _Spooled) -> Spooled:
    if not _ENTRY.fullmatch(read.entry):
        raise malformed("spooled.entry", "must be the id of a spool entry")
    if not is_media_type(read.media_type):
        raise malformed("spooled.media_type", "must be a media type")
    _check_digest(read.digest, "spooled.digest", "must be a digest")
    if not 0 < read.size <= MAX_SIZE:
        raise malformed("spooled.size", f"must be from 1 to {MAX_SIZE} bytes, as a manifest has")
    if read.referrers is not None:
        _check_digest(read.referrers, "spooled.referrers", "must be a digest")
    return Spooled(
        entry=read.entry,
        media_type=read.media_type,
        digest=read.digest,
        size=read.size,
        referrers=read.referrers,
    )


def _platforms(platforms: Sequence[str]) -> tuple[str, ...]:
    """Give the platforms as they are spelled everywhere, each once and in order: which is first means nothing."""
    if len(platforms) > MAX_PLATFORMS:
        raise malformed("platforms", f"must be at most {MAX_PLATFORMS}, not {len(platforms)}")
    read = set()
    for index, text in enumerate(platforms):
        field = f"platforms[{index}]"
        _check_text(text, field, MAX_PLATFORM)
        try:
            read.add(Platform.parse(text))
        except RequestError as error:
            raise malformed(field, "must be a platform", hint=error.hint) from error
    return tuple(map(str, sorted(read)))


def _check_digest(text: str, field: str, detail: str) -> None:
    try:
        Digest.parse(text)
    except RequestError as error:
        raise malformed(field, detail, hint="write it as sha256: and 64 lower-case hexadecimal digits") from error


def _check_destinations(destinations: Sequence[str]) -> None:
    if not 0 < len(destinations) <= MAX_DESTINATIONS:
        raise malformed("destinations", f"must be 1 to {MAX_DESTINATIONS} references, not {len(destinations)}")
    for index, destination in enumerate(destinations):
        _check_text(destination, f"destinations[{index}]", MAX_DESTINATION)


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise malformed("labels", f"must be at most {MAX_LABELS}, not {len(labels)}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise malformed(
                f"labels.{printable(key, SHOWN)}",
                "must be named with 1 to 63 letters, digits, and . _ / -, the first a letter or digit",
            )
        if len(value.encode()) > MAX_LABEL_VALUE:
            raise malformed(f"labels.{key}", f"must be at most {MAX_LABEL_VALUE} bytes")


def _check_text(text: str, field: str, limit: int) -> None:
    if not text.strip():
        raise malformed(field, "must not be empty")
    if len(text) > limit:
        raise malformed(field, f"must be at most {limit} characters")
