"""Where images are pushed to: registries of their own for each run, with nothing in them."""

from __future__ import annotations

import http.client
import shutil
import ssl
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.cores import confined
from tests.benchmarks.serving import serving
from tests.fakes.authority import Authority
from tests.fakes.images import INDEX, MANIFEST
from tests.integration.doors import Door
from tests.integration.parts import DISTRIBUTION_3, RealRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.counts import Counts


@unique
class Kind(StrEnum):
    """What there is at the other end."""

    REGISTRY = "distribution 3"
    """The distribution project's registry, its files on disk."""
    TLS = "distribution 3, TLS"
    """The same over TLS."""
    LINK = "distribution 3, 80 ms away"
    """The same behind a link."""
    SINK = "sink"
    """A server that discards all bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Registries that run, all of one kind.

    Attributes:
        addresses: `host:port` of each, as clients have it.
        counts: asks what has passed since the start; None where nothing is counted.
        ca: what their certificates are trusted by; None for plain HTTP.
    """

    addresses: Sequence[str]
    counts: Callable[[], Counts] | None = None
    ca: Path | None = None
    _direct: dict[str, str] = field(default_factory=dict)

    def digests(self, address: str, names: Sequence[tuple[str, str]]) -> list[str | None]:
        """Ask the registry itself which digests these repositories and tags have."""
        direct = self._direct.get(address, address)
        if self.ca is None:
            connection = http.client.HTTPConnection(direct, timeout=30)
        else:
            connection = http.client.HTTPSConnection(
                direct, timeout=30, context=ssl.create_default_context(cafile=str(self.ca))
            )
        found = []
        try:
            for repository, tag in names:
                accept = {"Accept": f"{MANIFEST}, {INDEX}"}
                connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=accept)
                reply = connection.getresponse()
                reply.read()
                found.append(reply.headers["Docker-Content-Digest"] if reply.status == http.HTTPStatus.OK else None)
        finally:
            connection.close()
        return found


@contextmanager
def fresh(
    kind: Kind,
    storage: Path,
    *,
    round_trip: float,
    count: int = 1,
    cores: frozenset[int] | None = None,
    counted: bool = False,
) -> Iterator[Place]:
    """Have registries for the length of a block.

    Args:
        kind: of all of them.
        storage: a directory for what they keep until then.
        round_trip: seconds, of the way to those that are far away.
        count: how many.
        cores: where they run.
        counted: whether requests are counted on the way; a sink does so itself, always. Over TLS nobody can.
    """
    directory = Path(tempfile.mkdtemp(prefix="registry-", dir=storage))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        if kind is Kind.SINK:
            with confined(cores):
                sink = stack.enter_context(serving("sink", "--ports", str(count)))
            yield Place(addresses=sink.addresses, counts=sink.counts)
            return
        ca, door = None, Door()
        if kind is Kind.TLS:
            authority = Authority(directory / "authority")
            # Alone in its directory: skopeo takes whatever lies beside it for certificates as well.
            (directory / "trusted").mkdir()
            ca = Path(shutil.copy(authority.ca, directory / "trusted" / "ca.crt"))
            door = Door(pair=authority.server("127.0.0.1"))
        with confined(cores):
            started = [_distribution(stack, directory / f"{number}", door) for number in range(count)]
        way = [*(["--delay", str(round_trip / 2)] if kind is Kind.LINK else []), *(["--count"] if counted else [])]
        if not way or kind is Kind.TLS:
            yield Place(addresses=started, ca=ca)
            return
        link = stack.enter_context(serving("link", *started, *way))
        direct = dict(zip(link.addresses, started, strict=True))
        yield Place(addresses=link.addresses, counts=link.counts if counted else None, _direct=direct)


def _distribution(stack: ExitStack, directory: Path, door: Door) -> str:
    directory.mkdir()
    registry = RealRegistry("distribution-3", DISTRIBUTION_3.find(), directory, door)
    stack.callback(registry.stop)
    registry.start()
    return registry.address
