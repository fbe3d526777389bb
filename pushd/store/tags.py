"""The order of tags: an older job that comes late does not overwrite a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.reference import Reference

if TYPE_CHECKING:
    from pushd.store.transaction import Transaction
    from pushd.work import Claim

_ANNOUNCE = """
    INSERT INTO tags (destination, delivery) VALUES (?, ?)
    ON CONFLICT (destination) DO UPDATE SET delivery = excluded.delivery WHERE delivery <= excluded.delivery
    RETURNING delivery
"""


_OVERTAKEN = "SELECT EXISTS (SELECT 1 FROM tags WHERE destination = ? AND delivery > ?) AS overtaken"


def announce(transaction: Transaction, claim: Claim) -> bool:
    """Write down that a delivery is about to put its tag, unless one submitted later has said so before.

    What was said stays said, even if the registry then refuses the tag: whether it took it cannot be known.
    """
    tag = _tag(claim)
    if tag is None:
        return True
    return transaction.execute(_ANNOUNCE, (tag, claim.delivery_id)).fetchone() is not None


def overtaken(transaction: Transaction, claim: Claim) -> bool:
    """Whether a delivery submitted later has said that it puts the tag."""
    row = transaction.execute(_OVERTAKEN, (_tag(claim), claim.delivery_id)).fetchone()
    return bool(row["overtaken"])


def _tag(claim: Claim) -> str | None:
    reference = Reference.parse(claim.destination)
    # Without the digest a destination may also carry: with or without, it is the same tag.
    return None if reference.tag is None else f"{reference.registry}/{reference.repository}:{reference.tag}"
