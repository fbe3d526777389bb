"""Access control lists as the kernel keeps them, `system.posix_acl_access` (linux/posix_acl_xattr.h)."""

from __future__ import annotations

import struct
from enum import IntEnum

ATTRIBUTE = "system.posix_acl_access"


class Tag(IntEnum):
    USER_OBJ = 0x01
    USER = 0x02
    GROUP_OBJ = 0x04
    GROUP = 0x08
    MASK = 0x10
    OTHER = 0x20


Entry = tuple[int, int, int]
"""Tag, permissions, and of whom."""

NOBODY = 0xFFFFFFFF


def packed(*entries: Entry, version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def acl(
    *, user: int = 0, group: int = 0, other: int = 0, mask: int | None = None,
    users: dict[int, int] | None = None, groups: dict[int, int] | None = None,
) -> bytes:  # fmt: skip
    """Pack a list in the order Linux wants: permissions of the owner, the owning group, others, and by uid and gid."""
    entries: list[Entry] = [(Tag.USER_OBJ, user, NOBODY)]
    entries += [(Tag.USER, bits, uid) for uid, bits in sorted((users or {}).items())]
    entries += [(Tag.GROUP_OBJ, group, NOBODY)]
    entries += [(Tag.GROUP, bits, gid) for gid, bits in sorted((groups or {}).items())]
    if mask is not None:
        entries += [(Tag.MASK, mask, NOBODY)]
    entries += [(Tag.OTHER, other, NOBODY)]
    return packed(*entries)
