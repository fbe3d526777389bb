"""Tags that go with every destination of a push."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def with_tags(destinations: Sequence[str], tags: Sequence[str]) -> list[str]:
    """Give each destination under its own tag and under `tags`, each reference once.

    One without a tag of its own gets `tags` alone, and not `latest`. A digest it names holds for each of them. What is
    no reference is told by the daemon, which knows best.
    """
    if not tags:
        return list(destinations)
    return list(dict.fromkeys(tagged for destination in destinations for tagged in _tagged(destination, tags)))


def _tagged(destination: str, tags: Sequence[str]) -> Iterator[str]:
    name, at, digest = destination.partition("@")
    if "/" in digest:  # what stands before the @ is no name but a user's
        yield destination
        return
    path, slash, last = name.rpartition("/")
    repository, colon, own = last.partition(":")
    for tag in (own, *tags) if colon else tags:
        yield f"{path}{slash}{repository}:{tag}{at}{digest}"
