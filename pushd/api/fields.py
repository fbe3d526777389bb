"""A body that is one JSON object, read field by field: what does not fit is refused by its name. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from pushd.errors import Code, RequestError
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN: Final = 80
"""Characters of a name from outside in a message."""

_T = TypeVar("_T", bound=msgspec.Struct)
_SHAPE: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in `)?\$\.?(?P<where>[^`]*)`+)?", re.DOTALL)
"""How msgspec says what is wrong and where: ``Expected `str`, got `int` - at `$.source` ``."""
_FIELD: Final = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_INDEX: Final = re.compile(r"\[[^\]]*\]")
_JSON_WORDS: Final = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "datetime": "time",
}


def read_fields(
    content: bytes, decoder: msgspec.json.Decoder[_T], *, parts: Mapping[str, type[msgspec.Struct]] | None = None
) -> _T:
    """Read a body as what `decoder` gives.

    Args:
        content: the body.
        decoder: of a struct that forbids unknown fields.
        parts: the structs within it, by the path to them without indices: their fields are named to who mistypes one.

    Raises:
        RequestError: `request.malformed`, naming the field. A body may hold secrets: none of its values is in the
            error, but a word that is none of those a field can have.
    """
    try:
        read = decoder.decode(content)
        json.loads(content, object_pairs_hook=_each_once)
    except msgspec.ValidationError as error:
        found = _misfit(str(error), {"": decoder.type, **(parts or {})})
    except UnicodeDecodeError as error:
        found = malformed("body", f"is not JSON in UTF-8: {error.reason}")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        found = malformed("body", f"is not JSON in UTF-8: {error}")
    else:
        return read
    raise found  # here and not there: what Python and its libraries raise may hold the body itself


def malformed(field: str, detail: str, *, hint: str = "") -> RequestError:
    """Give the error for a field that is not what it may be."""
    return RequestError(Code.REQUEST_MALFORMED, field, detail, hint=hint)


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that names a key twice: readers disagree which one counts (RFC 8259, 4)."""
    key, count = Counter(key for key, _ in pairs).most_common(1)[0] if pairs else ("", 0)
    if count > 1:
        raise malformed(printable(key, SHOWN), f"is given {count} times")
    return dict(pairs)


def _misfit(text: str, structs: Mapping[str, type[msgspec.Struct]]) -> RequestError:
    """Say in our words what msgspec found."""
    shape = _SHAPE.fullmatch(text)
    what, where = (shape["what"], shape["where"] or "") if shape is not None else (text, "")
    field = _FIELD.fullmatch(what)
    if field is not None:
        return _strange(field["what"], field["name"], where, structs)
    worded = re.sub(r"`([^`]*)`", lambda match: _worded(match[1]), what)
    detail = printable(worded[:1].lower() + worded[1:], 2 * SHOWN)
    return malformed(printable(where or "body", SHOWN), detail)


def _strange(what: str, name: str, where: str, structs: Mapping[str, type[msgspec.Struct]]) -> RequestError:
    """Give the error for a field that is missing from, or too many in, the object at `where`."""
    path = printable(f"{where}.{name}" if where else name, SHOWN)
    if what == "missing required":
        return malformed(path, "is missing")
    # A field may be named so that msgspec's sentence about it reads like another.
    known = structs.get(_INDEX.sub("", where), structs[""]).__struct_fields__
    if not known:
        return malformed(path, "is not known here", hint="send no body, or an object without fields")
    near = difflib.get_close_matches(printable(name, SHOWN), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return malformed(path, "is not known here", hint=hint)


def _worded(types: str) -> str:
    return " or ".join(_JSON_WORDS.get(name, name) for name in types.split(" | "))
