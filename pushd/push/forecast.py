"""What a delivery would do, told without doing it: every question is a HEAD, and nothing changes anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import RegistryError
from pushd.push import survey
from pushd.push.plan import check_tag, make_plan
from pushd.work import TransferKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushd.errors import PushdError
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.oci.reference import Reference
    from pushd.push.ports.registry import Registry
    from pushd.push.ports.store import JobStore

PRESENT = "present"
MOUNT = "mount"
SEND = "send"


@dataclass(frozen=True, slots=True)
class Step:
    """What would be done about one blob: `PRESENT`, `MOUNT` from the repository `source`, or `SEND`."""

    blob: Descriptor
    action: str
    source: str | None = None


async def forecast(
    store: JobStore,
    registry: Registry,
    reference: Reference,
    image: Image,
    *,
    uid: int,
    if_tag: str | None,
    rewritten: bool = False,
    mount_from: str | None = None,
) -> dict[str, object]:
    """Tell what delivering `image` to `reference` would do, in JSON's types (`POST /v1/plan`, one destination).

    What would be mounted is what earlier pushes of the same user with the same credential taught, or all that comes
    from `mount_from`, a repository of the same registry; the registry itself is only asked what it has.

    Args:
        store: what earlier pushes taught.
        registry: it is asked.
        reference: the destination.
        image: as it is now.
        uid: of who asks.
        if_tag: as in `JobSpec`.
        rewritten: layers of it are to be compressed first. What it will be called is not known then: everything is
            counted as it is, and what the registry has of its manifests is no reason to push nothing.
        mount_from: a repository of the same registry that has all of it; None where it comes from elsewhere.

    Raises:
        RegistryError: it did not answer.
    """
    found, present = await survey.manifests(registry, reference, image)
    plan = make_plan(image, frozenset() if rewritten else present)
    absent = {blob.digest for blob in await survey.missing(registry, reference, plan.blobs)}
    steps = []
    for blob in image.blobs:
        if blob.digest not in absent:
            steps.append(Step(blob, PRESENT))
            continue
        key = TransferKey(
            registry=registry.name,
            repository=reference.repository,
            digest=blob.digest,
            credential=registry.credential,
            uid=uid,
        )
        source = await store.mount_candidate(key) or mount_from
        steps.append(Step(blob, SEND) if source is None else Step(blob, MOUNT, source))
    failure = None
    try:
        check_tag(reference, found, wanted=None if rewritten else image.root.descriptor.digest, if_tag=if_tag)
    except RegistryError as error:
        failure = _failure(error)
    return {
        "destination": str(reference),
        "action": "fail" if failure else "push" if plan.documents else "nothing",
        "tag": None if found is None else str(found),
        "manifests": {
            "count": len(plan.documents),
            "bytes": sum(document.descriptor.size for document in plan.documents),
        },
        **{name: _total(step.blob for step in steps if step.action == name) for name in (PRESENT, MOUNT, SEND)},
        "blobs": [_step(step) for step in steps],
        "failure": failure,
    }


def failed(reference: Reference, error: PushdError) -> dict[str, object]:
    """Tell why nothing could be said of a destination."""
    nothing = {"count": 0, "bytes": 0}
    return {
        "destination": str(reference),
        "action": "fail",
        "tag": None,
        "manifests": nothing,
        **dict.fromkeys((PRESENT, MOUNT, SEND), nothing),
        "blobs": [],
        "failure": _failure(error),
    }


def _failure(error: PushdError) -> dict[str, object]:
    return {"code": str(error.code), "message": str(error), "retryable": error.retryable}


def _total(blobs: Iterable[Descriptor]) -> dict[str, int]:
    sizes = [blob.size for blob in blobs]
    return {"count": len(sizes), "bytes": sum(sizes)}


def _step(step: Step) -> dict[str, object]:
    blob = step.blob
    return {
        "digest": str(blob.digest),
        "media_type": blob.media_type,
        "size": blob.size,
        "action": step.action,
        "from": step.source,
    }
