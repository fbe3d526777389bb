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


def announce(transaction: Transaction, claim: Claim) -> bool:
    """Write down that a delivery is about to put its tag, unless one submitted later has said so before.

    What was said stays said, even if the registry then refuses the tag: whether it took it cannot be known.
    """
    reference = Reference.parse(claim.destination)
    if reference.tag is None:
        return True
    # Without the digest a destination may also carry: with or without, it is the same tag.
    tag = f"{reference.registry}/{reference.repository}:{reference.tag}"
    return transaction.execute(_ANNOUNCE, (tag, claim.delivery_id)).fetchone() is not None
