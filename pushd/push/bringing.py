"""One blob to one repository: when its turn comes, what is known of it then, and what it came to."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pushd.errors import RegistryError, SourceError, StoreError
from pushd.job import TransferState
from pushd.push.places import SMALL_MAX
from pushd.push.run import DrainedError
from pushd.push.transfer import Transfer
from pushd.work import TransferKey

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.upload import Checkpoint
    from pushd.push.landings import Landings
    from pushd.push.progress import Progress
    from pushd.push.run import Means, Run


async def bring(
    means: Means, run: Run, blob: Descriptor, progress: Progress, landings: Landings, *, insist: bool = False
) -> TransferState | None:
    """Bring one blob to the run's repository, and write down what it came to.

    Args:
        means: what all transfers share.
        run: the delivery it is for.
        blob: what to bring.
        progress: its entry on the board.
        landings: write down what small ones came to.
        insist: send it whatever the registry says it has: it was wrong about that before.

    Returns:
        How it landed, or None when the daemon is to stop and it did not.

    Raises:
        SourceError: the blob is not what it should be; nothing of it was committed.
        RegistryError: it could not be brought there.
        StoreError: where it stands could not be written down.
    """
    key = TransferKey(
        registry=run.registry.name,
        repository=run.repository,
        digest=blob.digest,
        credential=run.registry.credential,
        uid=run.claim.uid,
    )
    small = blob.size <= SMALL_MAX
    async with means.alone.holding(key) as waited:
        async with means.places.place(run.registry.name, blob.size) as piece_size:
            transfer = Transfer(means, run, blob, key, progress, piece_size=piece_size)
            try:
                result = await transfer.drive(await _known(means, run, key, afresh=waited or insist), insist=insist)
            except DrainedError:
                return None
            except (SourceError, RegistryError):
                with suppress(StoreError):  # what failed is the better story; the delivery's end tells it as well
                    await means.store.land(run.claim, (blob, transfer.result(TransferState.FAILED)))
                raise
            if result.state is TransferState.UPLOADED:
                means.places.landed(run.registry.name, blob.size, result.seconds)
        if not small:
            # Before the next one with the same need asks where the session stands: there is none any more.
            landings.pass_over()
            await means.store.land(run.claim, (blob, result))
    if small:
        await landings.add(blob, result)
    return result.state


async def _known(means: Means, run: Run, key: TransferKey, *, afresh: bool) -> Checkpoint | str | None:
    """Give what is known of a blob, as `JobStore.plan` does; asked again where it may have changed since.

    Where nothing is, and it comes from the same registry, that holds it.
    """
    if not afresh:
        return run.known.get(key.digest, run.mount_from)
    return await means.store.recall(key) or await means.store.seen_in(key) or run.mount_from
