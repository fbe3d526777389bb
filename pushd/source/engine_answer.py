"""What a container engine answers that is asked for an image, whoever asks: which image it is, and what goes wrong.

It is Docker's Engine API, "Export an image", which podman answers to as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, SourceError
from pushd.oci.text import printable
from pushd.source.forward import SUBJECT
from pushd.source.name import SHOWN
from pushd.source.saved import find_image

if TYPE_CHECKING:
    from pushd.source.assembly import Apart
    from pushd.source.saved import Documents, Indexed

CONNECT_WITHIN: Final = 5.0
"""Seconds for an engine to take a connection."""
BEGIN_WITHIN: Final = 1800.0
"""Seconds for the first byte of an image: Docker may write all of it to its own disk before."""
GO_ON_WITHIN: Final = 300.0
"""Seconds from one byte to the next."""
MESSAGE: Final = 64 << 10
"""Bytes of an error that are read."""
END: Final = 8 << 10
"""Bytes at the end of an answer that are looked at for an error."""

_ERROR: Final = b'{"errorDetail"'
_NOT_FOUND: Final = 404
_LISTED: Final = "`docker images` or `podman images` lists what there is"
_LOG: Final = "its log may say more"


def answered(documents: Documents, image: str) -> Indexed | Apart:
    """Choose what was asked for: what is alone in the answer, whatever it is called there, or what has the name.

    podman finds `localhost/app:1` as `app:1`, and what was asked for by a digest or an id has no name at all.

    Raises:
        SourceError: as `find_image` does.
    """
    try:
        return find_image(documents, "", SUBJECT)
    except SourceError as error:
        if error.code is not Code.SOURCE_AMBIGUOUS:
            raise
        return find_image(documents, image, SUBJECT)


def regret(end: bytes) -> str:
    """Give what stands at the end of an answer of why it is no whole archive; or nothing.

    Docker that has begun to answer cannot say it otherwise (moby/moby, `getImagesGet`).
    """
    _, mark, rest = end.rpartition(_ERROR)
    return message(mark + rest, "errorDetail", "message") if mark else ""


def message(content: bytes, *way: str) -> str:
    """Give the text that a JSON document has at the end of this way, or all of what is none, fit to be shown."""
    try:
        text = json.loads(content)
        for name in way:
            text = text[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        text = content.decode(errors="replace")
    return printable(str(text), SHOWN)


def refused(subject: str, status: int, content: bytes) -> SourceError:
    """Tell that an image is not given out, for what an engine says in the body of such an answer."""
    said = message(content, "message") or "no reason given"
    if status == _NOT_FOUND:
        return SourceError(Code.SOURCE_NOT_FOUND, subject, f"is not there: {said}", hint=_LISTED)
    return SourceError(Code.SOURCE_UNREADABLE, subject, f"is not given out, the answer is {status}: {said}", hint=_LOG)


def unopened(error: OSError | ValueError, who: str) -> str:
    """Say why `who` could not connect to a socket, in words that follow its path."""
    match error:
        case PermissionError():
            return f"may not be opened by {who}"
        case FileNotFoundError() | NotADirectoryError():
            return "is not there"
        case ConnectionRefusedError():
            return "has nobody listening"
        case BlockingIOError() | TimeoutError():
            return "lets nobody in"
    return f"cannot be opened: {getattr(error, 'strerror', None) or error}"


def silent(subject: str, seconds: float) -> SourceError:
    """Tell that nothing came for so many seconds."""
    detail = f"does not come: nothing for {seconds:.0f} s"
    return SourceError(Code.SOURCE_UNREADABLE, subject, detail, hint="is the engine alive? ask it again")


def broken_off(subject: str) -> SourceError:
    """Tell that an answer stopped before its end."""
    return SourceError(Code.SOURCE_UNREADABLE, subject, "broke off before its end", hint="its log may say why")


def no_engine(subject: str, *, hint: str) -> SourceError:
    """Tell that what listens is no engine."""
    detail = "is not to be had: what listens there does not speak HTTP"
    return SourceError(Code.SOURCE_UNREADABLE, subject, detail, hint=hint)


def blamed(error: SourceError, image: str, engine: str, said: str) -> SourceError:
    """Tell of an error in an archive whose archive it is, and why it is no whole one, where the engine `said` that."""
    if error.code is not Code.SOURCE_ARCHIVE_INVALID:
        subject = error.subject.removesuffix(SUBJECT) + f"what {engine} sent"
        return SourceError(error.code, subject, error.detail, hint=error.hint)
    if said:
        return SourceError(Code.SOURCE_UNREADABLE, f"{image} in {engine}", f"broke off: {said}", hint=_LOG)
    hint = f"`docker save {image} | tar t` shows what it gives out; its log may say more"
    return SourceError(error.code, f"what {engine} sent", error.detail, hint=hint)
