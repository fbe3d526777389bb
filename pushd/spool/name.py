"""Names in the spool. None from outside touches the disk before it was checked here."""

from __future__ import annotations

import re
import secrets
from typing import Final

from pushd.errors import Code, RequestError
from pushd.oci.digest import Digest
from pushd.oci.text import quoted

_ENTRY: Final = re.compile(r"[0-9a-f]{24}")
_LABEL: Final = re.compile(r"[a-z0-9-]{1,64}")


def fresh_entry() -> str:
    """Give the id of a new entry: 96 bits that nobody guesses."""
    return secrets.token_hex(12)


def is_entry(text: str) -> bool:
    """Whether an entry could have this id."""
    return _ENTRY.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Whether a file whose digest is not known could have this name."""
    return _LABEL.fullmatch(text) is not None


def file_digest(name: str) -> Digest | None:
    """Give the digest that the name of a file says; None for a name it has because its digest is not known yet.

    Raises:
        RequestError: `request.malformed`, it can be neither; `request.invalid_digest`.
    """
    if is_label(name):
        return None
    if ":" not in name:
        detail = "is neither a digest nor 1 to 64 of a-z, 0-9 and -"
        raise RequestError(Code.REQUEST_MALFORMED, f"the file name {quoted(name)}", detail)
    return Digest.parse(name)
