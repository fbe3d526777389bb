"""What a repository holds already of an image: asked, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from pushd.errors import PushdError
from pushd.oci.reply import refusal
from pushd.oci.upload import Head
from pushd.push import referrers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.reference import Reference
    from pushd.push.ports.registry import Registry

_HEADS = 8
"""Blobs asked for at once."""


async def manifests(registry: Registry, reference: Reference, image: Image) -> tuple[Digest | None, frozenset[Digest]]:
    """Ask which of the image's manifests the repository has: by the tag first, no further if that differs.

    What refers to the image is there only where it can be found as well.

    Returns:
        What the destination names now, None when it is not there, and the digests of the manifests that are.

    Raises:
        RegistryError: the registry did not answer that; as `referrers.lost` does.
    """
    root = image.root.descriptor
    found = await registry.head_manifest(reference.repository, reference.target)
    if found != root.digest:
        return found, frozenset()
    present = {root.digest}
    tagged = referrers.only_tagged(image)
    for document in image.documents[:-1]:
        digest = document.descriptor.digest
        if digest in tagged or await registry.head_manifest(reference.repository, str(digest)) == digest:
            present.add(digest)
    return found, frozenset(present - await referrers.lost(registry, reference.repository, image))


async def all_manifests(registry: Registry, reference: Reference, image: Image) -> bool:
    """Ask whether the repository has all manifests of the image, whatever its tags name.

    Raises:
        RegistryError: the registry did not answer that.
    """
    for document in image.documents:
        digest = document.descriptor.digest
        if await registry.head_manifest(reference.repository, str(digest)) != digest:
            return False
    return True


async def missing(registry: Registry, reference: Reference, blobs: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Ask for each blob; give those the repository does not have, in the order given.

    Raises:
        RegistryError: the registry did not answer that.
    """

    async def has(blob: Descriptor) -> bool:
        reply = await registry.perform(reference.repository, Head(blob.digest))
        if reply.status not in (200, 404):
            raise refusal(reply, f"{blob.digest} at {reference}", "whether it has the blob")
        return reply.status == 200 and reply.length in (None, blob.size)  # noqa: PLR2004

    return await lacking(blobs, has)


async def lacking(blobs: Iterable[Descriptor], has: Callable[[Descriptor], Awaitable[bool]]) -> tuple[Descriptor, ...]:
    """Ask `has` for each blob, a few at a time; give those that are not there, in the order given.

    Raises:
        PushdError: what `has` raised first.
    """
    blobs = tuple(blobs)
    absent: set[Digest] = set()
    places = anyio.CapacityLimiter(_HEADS)

    async def ask(blob: Descriptor) -> None:
        async with places:
            there = await has(blob)
        if not there:
            absent.add(blob.digest)

    try:
        async with anyio.create_task_group() as asking:
            for blob in blobs:
                asking.start_soon(ask, blob)
    except BaseExceptionGroup as group:
        raise first(group) from None
    return tuple(blob for blob in blobs if blob.digest in absent)


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the error that ended a group: one of ours if there is one."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, PushdError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
