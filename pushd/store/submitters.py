"""Who submits: how many of their jobs have not ended, and when it was their turn last.

The count is kept in the transactions that change it. To count anew at each submission would cost the more the longer
the queue is, just when submissions are many. How many have ended is kept by triggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushd.store.transaction import Transaction

_BEGIN = """
    INSERT INTO submitters (uid, unfinished) VALUES (?, 1)
    ON CONFLICT (uid) DO UPDATE SET unfinished = unfinished + 1 RETURNING unfinished
"""
_END = "UPDATE submitters SET unfinished = unfinished - 1 WHERE uid = ?"
_TURN = "UPDATE submitters SET turn = (SELECT max(turn) FROM submitters) + 1 WHERE uid = ?"


def begin(transaction: Transaction, uid: int) -> int:
    """Count one more job of a user that has not ended, and give how many there are with it."""
    (row,) = transaction.execute(_BEGIN, (uid,)).fetchall()
    return int(row["unfinished"])


def end(transaction: Transaction, uid: int) -> None:
    """Count one less."""
    transaction.execute(_END, (uid,))


def take_turn(transaction: Transaction, uid: int) -> None:
    """Write down that it was a user's turn just now."""
    transaction.execute(_TURN, (uid,))
