"""Who asks, as the kernel names them, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Role(StrEnum):
    """What a caller may do. Who has none is not served."""

    SUBMITTER = "submitter"
    """Hand in jobs, and see and touch their own."""
    ADMINISTRATOR = "administrator"
    """See and touch everybody's, and hold registries back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whose rights something is done with, also when they have long left.

    Attributes:
        uid: theirs.
        gids: their groups, the primary one included.
        administrator: whether they were one when they asked, by the socket they came by.
    """

    uid: int
    gids: frozenset[int]
    administrator: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller.

    Attributes:
        uid: theirs.
        gids: their groups, the primary one included.
        role: what they may do here, through the socket they came by.
        paths: whether a path means the same file to them and to the daemon. A container with the socket in it has
            other files under the same names.
        logins: whether what their uid has stored is theirs. Root of a container is root by its uid alone.
    """

    uid: int
    gids: frozenset[int]
    role: Role
    paths: bool
    logins: bool = True

    @property
    def administrator(self) -> bool:
        """Whether they may see and touch what is not theirs."""
        return self.role is Role.ADMINISTRATOR

    @property
    def user(self) -> User:
        """With whose rights their jobs are delivered."""
        return User(uid=self.uid, gids=self.gids, administrator=self.administrator)

    @property
    def sees(self) -> int | None:
        """Whose jobs they see: those of this uid, or with None everybody's."""
        return None if self.administrator else self.uid
