"""An artifact of plain files, as it is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RequestError
from pushd.oci.artifact import CREATED
from pushd.oci.media_types import is_media_type
from pushd.oci.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EPOCH: Final = "SOURCE_DATE_EPOCH"
_LAST: Final = 253_402_300_799
"""Seconds: the end of the year 9999, after which RFC 3339 has no words."""
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Artifact:
    """What it is to be, checked; nothing was opened yet.

    Attributes:
        artifact_type: a media type.
        files: of each the name, which is its path too, and the media type, or nothing for the default.
        annotations: of the manifest.
        epoch: the time of everything in it, seconds since 1970.
    """

    artifact_type: str
    files: tuple[tuple[str, str], ...]
    annotations: Mapping[str, str]
    epoch: int

    @classmethod
    def of(
        cls,
        artifact_type: str,
        files: Iterable[tuple[str, str]],
        annotations: Mapping[str, str],
        environ: Mapping[str, str] = os.environ,
    ) -> Artifact:
        """Check what is asked for.

        `SOURCE_DATE_EPOCH` of the environment is the time when it was made (reproducible-builds.org, "SOURCE_DATE_EPOCH
        specification"). Without that none is told, so that the same files are the same artifact tomorrow.

        Raises:
            RequestError: `request.malformed`.
        """
        _check_media_type(artifact_type, "artifact_type")
        named: dict[str, str] = {}
        for name, media_type in files:
            called = name_of(name)
            if called in named:
                raise _malformed(called, "is there twice", hint="where it is pulled, one would overwrite the other")
            if media_type:
                _check_media_type(media_type, f"the media type of {quoted(called)}")
            named[called] = media_type
        for key, value in annotations.items():
            if not key:
                raise _malformed("annotations", "have one without a name")
            _check_text(f"annotation {quoted(key)}", key + value)
        epoch = _epoch(environ)
        if epoch is not None:
            created = datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
            annotations = {CREATED: created, **annotations}
        return cls(artifact_type, tuple(named.items()), annotations, epoch or 0)

    @property
    def source(self) -> str:
        """What a job calls where its bytes are from."""
        return f"files:{printable(', '.join(name for name, _ in self.files), _SHOWN)}"


def name_of(path: str) -> str:
    """Give the name a file has in an artifact, and wherever that is pulled; `.` for the directory itself.

    It is the path as given, without what says nothing. As `oras pull` writes nothing outside its directory, a path that
    is absolute or leads upwards is no name.

    Raises:
        RequestError: `request.malformed`.
    """
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if not path or "\0" in path:
        raise _malformed(quoted(path), "is no name of a file")
    if path.startswith("/") or ".." in steps:
        hint = "it is the name where it is pulled, too: go to a directory above it, and name it from there"
        raise _malformed(quoted(path), "is absolute or leads upwards", hint=hint)
    _check_text(quoted(path), path)
    return "/".join(steps) or "."


def _check_media_type(text: str, field: str) -> None:
    if not is_media_type(text):
        hint = "it is written TYPE/SUBTYPE, as in application/vnd.example.report.v1+json"
        raise _malformed(field, f"is {quoted(text)}, which is no media type", hint=hint)


def _check_text(subject: str, text: str) -> None:
    """Check that a manifest, which is JSON, can have it in it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _malformed(subject, "is not UTF-8, as all of a manifest is") from error


def _epoch(environ: Mapping[str, str]) -> int | None:
    text = environ.get(_EPOCH, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) <= _LAST):
        raise _malformed(_EPOCH, f"is {quoted(text)}, no number of seconds since 1970")
    return int(text)


def _malformed(subject: str, detail: str, *, hint: str = "") -> RequestError:
    return RequestError(Code.REQUEST_MALFORMED, subject, detail, hint=hint)
