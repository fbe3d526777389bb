"""Members of layers that Docker, containerd or containers/storage refuse to unpack (OCI layer.md)."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.tar import Member

_FILES: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_KINDS: Final = _FILES | {
    tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
}  # fmt: skip
"""What they unpack, device nodes included. Anything else is an "unhandled tar header type" to them."""
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_PATH_MAX: Final = 4095  # bytes, limits.h without its NUL
_NAME_MAX: Final = 255


class RefusedError(ValueError):
    """A member that unpackers refuse.

    Attributes:
        name: of the member, as written.
        detail: what is wrong with it.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name = name
        self.detail = detail


def check_member(member: Member) -> None:
    """Check one member by its header.

    A slash in front of a name is the image's root. Whether a hard link's target is there is not looked at: it may lie
    in a layer below. One name twice is no mistake: the later one counts.

    Raises:
        RefusedError: it has a name no file can have or that leads out of the image, or it is of a kind nobody unpacks.
    """
    name = member.name
    if member.kind not in _KINDS:
        raise RefusedError(name, f"is of the type {_shown(member.kind)}, which is not unpacked")
    parts = _parts(name, name, "has a name")
    if not parts:
        if member.kind != tarfile.DIRTYPE:
            raise RefusedError(name, "stands for the root, and is no directory")
        return
    _check_whiteout(name, parts[-1])
    if member.kind == tarfile.LNKTYPE and not _parts(member.target, name, "is a hard link to a name"):
        raise RefusedError(name, "is a hard link to nothing, or to the root")
    if member.kind == tarfile.SYMTYPE:
        _check_symlink(name, parts, member.target)


def _parts(path: str, name: str, what: str) -> Sequence[str]:
    """Give the components of a path, which must be one that can be had, and stay inside."""
    if "\0" in path:
        raise RefusedError(name, f"{what} with a NUL in it")
    if _length(path) > _PATH_MAX:
        raise RefusedError(name, f"{what} of more than {_PATH_MAX} bytes")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise RefusedError(name, f"{what} with .. in it")
    if any(_length(part) > _NAME_MAX for part in parts):
        raise RefusedError(name, f"{what} of which a part has more than {_NAME_MAX} bytes")
    return parts


def _check_whiteout(name: str, last: str) -> None:
    """Refuse a whiteout of nothing, of the directory it is in, or of what is above that (layer.md, "Whiteouts")."""
    if last.startswith(_WHITEOUT) and last != _OPAQUE and last.removeprefix(_WHITEOUT) in ("", ".", ".."):
        raise RefusedError(name, "is a whiteout of nothing that can be hidden")


def _check_symlink(name: str, parts: Sequence[str], target: str) -> None:
    """Refuse what leads out of the image by its name alone, as Docker does; what it leads to need not be there."""
    if not target or "\0" in target or _length(target) > _PATH_MAX:
        raise RefusedError(name, "is a symbolic link to nothing, or to what no file can be called")
    depth = len(parts) - 1
    for part in target.split("/"):
        depth += -1 if part == ".." else 1 if part not in ("", ".") else 0
        if depth < 0:
            raise RefusedError(name, "is a symbolic link that leads out of the image")


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _shown(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
