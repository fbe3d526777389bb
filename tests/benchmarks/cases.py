"""The cases: what is pushed, where to, by whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.benchmarks import images
from tests.benchmarks.ours import CURL, PROGRAM, PUSHCTL, SPOOLED
from tests.benchmarks.peers import crane, skopeo
from tests.benchmarks.places import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.benchmarks.images import Image
    from tests.benchmarks.scale import Scale
    from tests.benchmarks.way import Way

COUNTED_APART = frozenset({Kind.REGISTRY})
"""Where requests are counted in a run of its own, by a proxy that would take part otherwise.

A sink counts in every run, and where there is a link on the way it does. Over TLS nobody can."""
ONE_REGISTRY = replace(CURL, name="pushd, to one")
"""The case of several registries, to the first of them alone: what the others cost is told by the difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One of them.

    Attributes:
        letter: as the targets name it.
        title: what it is, for people, in a few words.
        detail: what else there is to know of it.
        build: builds its images.
        places: where they are pushed to, one kind after the other.
        ways: who pushes, in the order of each repetition.
        registries: how many there are, each of which gets all images.
        pinned: whether client and registry get a core each, wherever they are pushed to; to a sink they always do.
        primed: whether all was pushed once before by the same way.
    """

    letter: str
    title: str
    build: Callable[[Path, Scale], list[Image]]
    places: Sequence[Kind]
    ways: Sequence[Way]
    registries: int = 1
    detail: str = ""
    pinned: bool = False
    primed: bool = False


def _one(letter: str) -> Callable[[Path, Scale], list[Image]]:
    return lambda directory, scale: images.one(directory, scale.layers[letter])


def _small(directory: Path, scale: Scale) -> list[Image]:
    return images.of_their_own(directory, scale.layers["e"], scale.jobs["pushd"])


def _services(directory: Path, scale: Scale) -> list[Image]:
    return images.sharing(directory, scale.layers["g"], scale.images)


_BOTH = (Kind.REGISTRY, Kind.SINK)
_PEERS: tuple[Way, ...] = (crane(), skopeo())
_TWO_AT_A_TIME: tuple[Way, ...] = (crane(2), skopeo(2))

CASES = (
    Case(
        letter="a",
        title="1 GiB in 8 layers",
        build=_one("a"),
        places=_BOTH,
        ways=(CURL, SPOOLED, *_PEERS),
        pinned=True,
    ),
    Case(letter="b", title="100 layers of 64 KiB", build=_one("b"), places=_BOTH, ways=(CURL, *_PEERS)),
    Case(
        letter="c",
        title="5 layers of 20 kB",
        build=_one("c"),
        places=(Kind.REGISTRY,),
        ways=(CURL, PUSHCTL, *_PEERS),
    ),
    Case(
        letter="d",
        title="5 layers of 20 kB, nothing changed",
        build=_one("c"),
        places=(Kind.REGISTRY,),
        ways=(CURL, *_PEERS),
        primed=True,
    ),
    Case(
        letter="e",
        title="1,000 small jobs",
        detail="Each an image of its own, two layers of 2 kB, to its own repository; crane does 100, skopeo 40.",
        build=_small,
        places=_BOTH,
        ways=(PROGRAM, *_TWO_AT_A_TIME),
    ),
    Case(
        letter="f",
        title="256 MiB to 4 registries, one job",
        detail="In 8 layers.",
        build=_one("f"),
        places=_BOTH,
        ways=(CURL, ONE_REGISTRY, *_TWO_AT_A_TIME),
        registries=4,
    ),
    Case(
        letter="g",
        title="20 images that share most layers",
        detail="All have 9 layers of 2 MiB in common, each one of 256 KiB of its own, and goes to its own repository.",
        build=_services,
        places=(Kind.REGISTRY,),
        ways=(PROGRAM, *_PEERS),
    ),
    Case(
        letter="h",
        title="100 layers of 256 KiB",
        build=_one("h"),
        places=(Kind.LINK,),
        ways=(CURL, *_PEERS),
    ),
    Case(
        letter="i",
        title="1 GiB in 8 layers",
        build=_one("a"),
        places=(Kind.TLS,),
        ways=(CURL, *_PEERS),
        pinned=True,
    ),
)
