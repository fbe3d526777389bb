"""A JSON object read so that all readers read the same (RFC 8259): manifests are named by the digest of their bytes."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from pushd.errors import Code, SourceError
from pushd.oci.text import printable, quoted

_REASON_LIMIT = 100


def read_object(content: bytes, subject: str) -> dict[str, Any]:
    """Read `content` as one JSON object in UTF-8, `subject` being its name in errors.

    Raises:
        SourceError: `source.manifest_invalid`; not UTF-8, not JSON, a field given twice, nested too deeply, no object.
    """
    try:
        # Decoded here, because json.loads would guess at UTF-16 and UTF-32, which RFC 8259, 8.1 rules out.
        value = json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except ValueError as error:
        reason = printable(str(error), _REASON_LIMIT)
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, subject, f"is not JSON: {reason}") from error
    except RecursionError as error:
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, subject, "is nested too deeply") from error
    if not isinstance(value, dict):
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, subject, "is not a JSON object")
    return value


def write_object(fields: dict[str, Any]) -> bytes:
    """Write what `read_object` gave, in its order; always the same bytes for the same."""
    # What could be read a moment ago is not nested too deeply to be written: that takes no more of the stack.
    return json.dumps(fields, separators=(",", ":")).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise SourceError(Code.SOURCE_MANIFEST_INVALID, quoted(name), "is given twice in one object")
        fields[name] = value
    return fields


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
