"""The documents of a source that have names of their own: no digest leads to them, and none vouches for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.oci.manifest import MAX_SIZE, too_large
from pushd.oci.text import printable
from pushd.source.faults import IrregularFileError, unreadable
from pushd.source.name import SHOWN

if TYPE_CHECKING:
    from pushd.source.blobs import Files


def read_document(files: Files, name: str, subject: str) -> bytes:
    """Read the document `name` of `files`, which errors name `subject`; its path from their top, with slashes.

    Raises:
        FileNotFoundError: there is none.
        SourceError: `source.layout_invalid` (no regular file), `source.manifest_too_large`, `source.unreadable`,
            `source.forbidden`, `source.changed`.
    """
    where = f"{printable(name, SHOWN)} in {subject}"
    try:
        extent = files.open(tuple(name.split("/")), where)
    except FileNotFoundError:
        raise
    except IrregularFileError as error:
        raise SourceError(Code.SOURCE_LAYOUT_INVALID, where, "is not a regular file") from error
    except OSError as error:
        raise unreadable(error, where) from error
    if extent.size > MAX_SIZE:
        extent.close()
        raise too_large(where, extent.size)
    return extent.whole()
