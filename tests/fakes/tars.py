"""Tars in memory."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Form: TypeAlias = Literal[0, 1, 2]

END = bytes(1024)


def member(
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
    form: Form = tarfile.PAX_FORMAT,
    pax: dict[str, str] | None = None,
) -> bytes:
    """Give one member, with its content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.pax_headers = kind, target, len(content), pax or {}
    return info.tobuf(form, errors="surrogateescape") + content + bytes(-len(content) % 512)


def header(name: bytes, *, size: bytes = b"0" * 11, kind: bytes = b"0") -> bytes:
    """Give a header block with these very bytes, and a right checksum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + END


def written(*infos: tuple[tarfile.TarInfo, bytes], form: Form) -> bytes:
    """Give what `tarfile` writes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for info, content in infos:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()
