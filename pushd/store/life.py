"""This life of the daemon: whether anybody made progress in it, which a crash at its end is judged by.

Written down when it happens first, in the transaction it happens in: to look for it among all deliveries at the next
start would take the longer, the more there were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushd.store.transaction import Transaction

_MOVE = "UPDATE meta SET moved = 1 WHERE NOT moved"
_BEGIN = "UPDATE meta SET moved = 0"


def move(transaction: Transaction) -> None:
    """Write down that somebody made progress."""
    transaction.execute(_MOVE)


def moved(transaction: Transaction) -> bool:
    """Tell whether anybody made progress in the life before, and begin to count anew."""
    (before,) = transaction.execute("SELECT moved FROM meta").fetchone()
    transaction.execute(_BEGIN)
    return bool(before)
