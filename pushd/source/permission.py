"""Who may do what with a file, as POSIX has it: mode bits, and access control lists where a file has one.

The daemon reads with its own rights what a caller names, so the caller's rights are judged here, from what `fstat` and
`getxattr` say of the descriptor it holds. This is the access check of POSIX 1003.1e draft 17, section 23.1.5, as acl(5)
describes it and Linux does it. What a security module, or a server with rules of its own behind a network filesystem,
would say of the caller cannot be told from here; that they say of the daemon, the kernel sees to.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

# include/uapi/linux/posix_acl_xattr.h: the version, then entries of tag, permissions and qualifier, little-endian.
_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_VERSION: Final = 2
_USER_OBJ: Final = 0x01
_USER: Final = 0x02
_GROUP_OBJ: Final = 0x04
_GROUP: Final = 0x08
_MASK: Final = 0x10
_OTHER: Final = 0x20
_ALL: Final = 0o7


@unique
class Right(Enum):
    """What one may want of a file; the value is its bit among three."""

    READ = 0o4
    """Read a file's bytes."""
    SEARCH = 0o1
    """Reach what is in a directory, by a name one knows."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody with whose rights a file is opened.

    Attributes:
        uid: theirs, as the daemon's kernel numbers it.
        gids: all their groups.
    """

    uid: int
    gids: frozenset[int]

    def owns(self, status: os.stat_result) -> bool:
        """Whether the mode alone decides what they may: it is their file, or they are root."""
        return self.uid in (0, status.st_uid)

    def may(self, right: Right, status: os.stat_result, acl: bytes | None) -> bool:
        """Decide whether they have a right to a file.

        Args:
            right: the one in question.
            status: of the file.
            acl: its `system.posix_acl_access`, None when it has none. One that cannot be understood allows nothing.
        """
        if self.uid == 0:  # CAP_DAC_OVERRIDE
            return True
        if self.uid == status.st_uid:
            return bool(status.st_mode >> 6 & right.value)
        group = status.st_gid in self.gids
        if acl is None:
            return bool(status.st_mode >> (3 if group else 0) & right.value)
        entries = _entries(acl)
        return entries is not None and bool(self._granted(entries, owning=group) & right.value)

    def _granted(self, entries: Sequence[tuple[int, int, int]], *, owning: bool) -> int:
        """Give the bits that a list grants to somebody who does not own the file; `owning`: their group does."""
        mask = next((bits for tag, bits, _ in entries if tag == _MASK), _ALL)
        for tag, bits, qualifier in entries:
            if tag == _USER and qualifier == self.uid:
                return bits & mask
        groups = [
            bits
            for tag, bits, qualifier in entries
            if (tag == _GROUP_OBJ and owning) or (tag == _GROUP and qualifier in self.gids)
        ]
        if not groups:
            return next(bits for tag, bits, _ in entries if tag == _OTHER)
        # One right is asked for at a time, so it does not matter that each group must grant all that is asked for.
        granted = 0
        for bits in groups:
            granted |= bits
        return granted & mask


def _entries(acl: bytes) -> Sequence[tuple[int, int, int]] | None:
    """Read a list; None when it is none that Linux would write."""
    if len(acl) < _HEADER.size or _HEADER.unpack_from(acl) != (_VERSION,):
        return None
    if (len(acl) - _HEADER.size) % _ENTRY.size:
        return None
    entries = tuple(_ENTRY.iter_unpack(acl[_HEADER.size :]))
    if any(bits > _ALL for _, bits, _ in entries):
        return None
    tags = [tag for tag, _, _ in entries]
    once = all(tags.count(tag) == 1 for tag in (_USER_OBJ, _GROUP_OBJ, _OTHER))
    named = tags.count(_USER) + tags.count(_GROUP)
    masks = tags.count(_MASK)
    # The mask bounds what is named, and is there whenever something is.
    if not once or masks > 1 or (named and not masks) or len(tags) != 3 + named + masks:
        return None
    return entries
