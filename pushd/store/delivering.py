"""What the engine has the store write of a delivery that runs."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pushd.errors import StoreError
from pushd.job import DeliveryState
from pushd.store import claims, compression, deliveries, inspections, known_blobs, settling, tags, transfers
from pushd.store.keeping import Keeping
from pushd.work import Outcome, TransferKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Failure
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.upload import Checkpoint
    from pushd.store.transaction import Transaction
    from pushd.store.worker import Worker
    from pushd.work import Claim, Compressed, Inspection, TransferResult

Result = TypeVar("Result")


class Delivering(Keeping):
    """The part of `Store` that gives claims, and writes what only the holder of one may.

    Args:
        reads: the thread that reads.
        writes: the thread that writes.
        epoch: the number of this life.
        clock: gives the time, for the changes that are told without one.
    """

    def __init__(
        self,
        reads: Worker[sqlite3.Connection],
        writes: Worker[Transaction],
        *,
        epoch: int,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(reads, writes)
        self._epoch = epoch
        self._clock = clock

    @property
    def epoch(self) -> int:
        """The number of this life of the daemon, larger than any before."""
        return self._epoch

    async def claim_all(
        self, now: datetime, *, free: Mapping[str, int], default: int, most: int, shut: Collection[str] = ()
    ) -> tuple[Sequence[Claim], datetime | None]:
        """Take the next deliveries that may run, marking them running.

        First those of which only the tag is left, now that the others of their job are ready too: they take a moment,
        and no place. Of the others: larger priority first, then the user whose turn is longest ago, then older first.
        Held ones whose `not_before` has passed count as queued. What goes to a registry that is paused or shut is
        passed over.

        Args:
            now: the time.
            free: how many more may run for each registry named in it.
            default: how many more may run for any other.
            most: of them at once.
            shut: registries that are to be left alone.

        Returns:
            The claims, and the earliest `not_before` after `now` of a held delivery.
        """
        free, shut = dict(free), frozenset(shut)  # as they are now: the caller goes on counting
        taken = self._writes.send(
            lambda transaction: claims.claim_all(
                transaction, self._epoch, now, free=free, default=default, most=most, shut=shut
            ),
            lost=self._give_back,
        )
        try:
            return await taken
        except asyncio.CancelledError:
            # The answer may have been there already, and the caller been cancelled before it looked.
            if not taken.cancelled() and taken.exception() is None:
                self._give_back(taken.result())
            raise

    async def plan(
        self, claim: Claim, *, credential: str, repository: str, blobs: Sequence[Descriptor], manifests: int
    ) -> Mapping[Digest, Checkpoint | str]:
        """Write down what the delivery needs: its transfers, all pending; earlier results of the delivery go.

        Returns:
            What is known of blobs: the checkpoint of an upload; where there is none, the repository it is believed to
            be in, this one if it is.
        """
        blobs = tuple(blobs)
        now = self._clock()
        return await self._as(
            claim,
            lambda transaction: transfers.plan(
                transaction,
                claim,
                credential=credential,
                repository=repository,
                blobs=blobs,
                manifests=manifests,
                now=now,
            ),
        )

    async def land(self, claim: Claim, *results: tuple[Descriptor, TransferResult]) -> None:
        """Write down what blobs came to, all or none.

        Where one landed its checkpoint goes, and where it landed is remembered.
        """
        now = self._clock()
        await self._as(claim, lambda transaction: transfers.land(transaction, claim, results, now))

    async def checkpoint(self, claim: Claim, key: TransferKey, checkpoint: Checkpoint | None) -> None:
        """Save, or with None forget, where an upload session stands."""
        now = self._clock()
        await self._as(claim, lambda transaction: transfers.checkpoint(transaction, claim, key, checkpoint, now))

    async def inspected(self, claim: Claim, inspection: Inspection) -> None:
        """Write down, for all deliveries of its job, what was found when the image was looked into."""
        now = self._clock()
        await self._as(claim, lambda transaction: inspections.save(transaction, claim, inspection, now))

    async def compress(self, claim: Claim, compressed: Compressed) -> None:
        """Make a compressed image the job's, in place of the plain one: its documents, digest, size and spool entry."""
        now = self._clock()
        await self._writes.send(lambda transaction: compression.save(transaction, claim, compressed, now))

    async def hold(self, claim: Claim, until: datetime, failure: Failure) -> None:
        """Put a delivery back until `until`. That was a try; `failure` joins its history.

        Where its job was paused meanwhile, it waits until that is resumed. One held for want of a credential goes on
        when its user brings one, or at once where they have since it was claimed.
        """
        now = self._clock()
        await self._as(claim, lambda transaction: deliveries.hold(transaction, claim.delivery_id, until, failure, now))

    async def release(self, claim: Claim) -> None:
        """Put a delivery back at once, because the daemon stops or its job or registry is paused: no try, no crash.

        It is paused where its job is, and queued elsewhere.
        """
        now = self._clock()
        await self._as(claim, lambda transaction: claims.release(transaction, claim, now))

    async def tagging(self, claim: Claim) -> bool:
        """Say, right before it is done, that this delivery puts its tag; give whether it may.

        False when a delivery submitted later said so before for the same tag: the older image must not overwrite the
        newer. A destination that is no tag but a digest cannot be overwritten, and always may.
        """
        return await self._as(claim, lambda transaction: tags.announce(transaction, claim))

    async def finish(self, claim: Claim, outcome: Outcome, now: datetime) -> Sequence[int]:
        """End a delivery, and with its last one the job. A failure joins the delivery's history.

        Where the tags of the job were to move together, and this one never will, the others fail: those that wait are
        ended, and the ids given of those that run and are the caller's to interrupt.
        """

        def end(transaction: Transaction) -> Sequence[int]:
            return settling.in_vain(transaction, deliveries.end(transaction, claim.delivery_id, outcome, now))

        return await self._as(claim, end)

    async def ready(self, claim: Claim, now: datetime) -> None:
        """Let a delivery wait for the others of its job, with everything there but its tag; it was no try.

        With the last of them it is decided that their tags move, once and for all, and each is queued. Where one of
        them has failed, this one fails as well. Where a newer job has tagged its destination, it ends superseded.
        """
        await self._as(claim, lambda transaction: _ready(transaction, claim, now))

    async def forget(self, claim: Claim, *, credential: str, repository: str, digests: Collection[Digest]) -> None:
        """Believe no longer that `repository` of the claim's registry holds these blobs."""
        keys = [
            TransferKey(
                registry=claim.registry, repository=repository, digest=digest, credential=credential, uid=claim.uid
            )
            for digest in digests
        ]
        await self._as(claim, lambda transaction: known_blobs.forget(transaction, keys))

    async def _as(self, claim: Claim, change: Callable[[Transaction], Result]) -> Result:
        """Make a change that only the holder of a claim may make."""

        def fenced(transaction: Transaction) -> Result:
            claims.fence(transaction, claim)
            return change(transaction)

        return await self._writes.send(fenced)

    def _give_back(self, taken: tuple[Sequence[Claim], datetime | None]) -> None:
        given, _ = taken
        now = self._clock()
        with contextlib.suppress(StoreError):  # closed meanwhile: the next life puts them back
            for claim in given:
                self._writes.send(partial(claims.give_back, claim=claim, now=now))


def _ready(transaction: Transaction, claim: Claim, now: datetime) -> None:
    if tags.overtaken(transaction, claim):
        deliveries.end(transaction, claim.delivery_id, Outcome(state=DeliveryState.SUPERSEDED), now)
    else:
        deliveries.ready(transaction, claim.delivery_id, now)
