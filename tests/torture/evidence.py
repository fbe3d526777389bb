"""What is looked at after a run: the daemon's answers, its database, its log, and what the registry has.

Each function gives the sentences about what is not as it must be; none is good news.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import urllib.request
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from tests.fakes.images import BuiltImage
    from tests.integration.daemon import Daemon

_PIECE = 1 << 20
_HEAD = 4096

_DELIVERY = {
    ("waiting", "delivery.started"): "running",
    ("running", "delivery.planned"): "running",
    ("running", "delivery.held"): "waiting",
    ("running", "delivery.requeued"): "waiting",
    ("running", "delivery.succeeded"): "succeeded",
}
"""The life of a delivery that ends well. Whoever starts what runs, or ends what ended, is not alone with it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job the daemon said it would do."""

    id: str
    image: BuiltImage
    destinations: tuple[str, ...]

    @property
    def repositories(self) -> frozenset[str]:
        """Where its blobs go."""
        return frozenset(destination.rpartition(":")[0] for destination in self.destinations)


def needs(accepted: Iterable[Accepted], *, besides: Collection[tuple[str, str]] = ()) -> int:
    """Count the bytes of blobs that have to travel, each to each repository once; not `besides`: repository, digest."""
    wanted = {
        (repository, str(blob.digest)): blob.size
        for job in accepted
        for repository in job.repositories
        for blob in job.image.blobs
    }
    return sum(size for place, size in wanted.items() if place not in besides)


def mounted(path: Path) -> frozenset[tuple[str, str]]:
    """Read which blobs the registry took from another repository of its own: repository and digest of each."""
    query = """SELECT json_extract(fields, '$.destination'), json_extract(fields, '$.digest') FROM events
               WHERE name = 'transfer.finished' AND json_extract(fields, '$.state') = 'mounted'"""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(query).fetchall()
    return frozenset((destination.rpartition(":")[0], digest) for destination, digest in rows)


def in_answers(daemon: Daemon, accepted: Iterable[Accepted]) -> Iterator[str]:
    """Ask the API for each accepted job: it is known, succeeded, and delivered the image to all its destinations."""
    for job in accepted:
        answer = daemon.request("GET", f"/v1/jobs/{job.id}")
        if answer.status != 200:
            yield f"job {job.id} was accepted and is lost: {answer.status}"
            continue
        if answer.body["state"] != "succeeded":
            yield f"job {job.id} is {answer.body['state']}: {[it.get('failure') for it in answer.body['deliveries']]}"
        digests = {it["destination"]: it["digest"] for it in answer.body["deliveries"]}
        if digests != dict.fromkeys(job.destinations, str(job.image.digest)):
            yield f"job {job.id} delivered {digests} instead of {job.image.digest} to {job.destinations}"


def in_database(path: Path, accepted: Collection[Accepted]) -> Iterator[str]:
    """Read the database of a daemon that has stopped."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        for (verdict,) in database.execute("PRAGMA integrity_check").fetchall():
            if verdict != "ok":
                yield f"database: {verdict}"
        for row in database.execute("PRAGMA foreign_key_check").fetchall():
            yield f"database: a row of {row[0]} refers to nothing"
        jobs = {job for (job,) in database.execute("SELECT id FROM jobs")}
        yield from (f"job {job} was done though nobody's key names it" for job in jobs - {job.id for job in accepted})
        yield from (f"job {job.id} is not in the database" for job in accepted if job.id not in jobs)
        states = Counter(state for (state,) in database.execute("SELECT state FROM deliveries"))
        yield from (f"{count} deliveries are {state}" for state, count in states.items() if state != "succeeded")
        (sessions,) = database.execute("SELECT count(*) FROM upload_sessions").fetchone()
        if sessions:
            yield f"{sessions} upload sessions are still in the database"
        yield from in_story(database.execute("SELECT name, job, delivery FROM events ORDER BY seq"))


def in_story(events: Iterable[tuple[str, str | None, int | None]]) -> Iterator[str]:
    """Follow each delivery and each job through the durable events: name, job, delivery, in order."""
    deliveries: dict[int, str] = {}
    jobs: dict[str, Counter[str]] = {}
    for name, job, delivery in events:
        if job is not None and name.startswith("job."):
            jobs.setdefault(job, Counter())[name] += 1
        if delivery is not None and name.startswith("delivery."):
            before = deliveries.get(delivery, "waiting")
            after = deliveries[delivery] = _DELIVERY.get((before, name), "astray")
            if after == "astray" != before:
                yield f"delivery {delivery} of job {job}: {name} while it was {before}"
    for delivery, state in deliveries.items():
        if state not in ("succeeded", "astray"):
            yield f"delivery {delivery} was left {state}"
    for job, told in jobs.items():
        if told != {"job.submitted": 1, "job.finished": 1}:
            yield f"job {job} was told {dict(told)}"


def in_log(path: Path) -> Iterator[str]:
    """Read the log: every line is whole, and none tells of a defect."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        event = _event(line)
        if not event:
            yield f"line {number} of the log is no JSON: {line[:200]!r}"
        elif event in ("daemon.fault", "library.failure", "library.message"):
            yield f"line {number} of the log: {line[:2000]}"


def told(path: Path) -> Counter[str]:
    """Count the events in the log, by name."""
    return Counter(_event(line) for line in path.read_text(errors="replace").splitlines())


def _event(line: str) -> str:
    try:
        return str(json.loads(line)["event"])
    except (ValueError, KeyError, TypeError):
        return ""


# ------------------------------------------------------------------------------------------------- the registry


def at_registry(address: str, accepted: Iterable[Accepted]) -> Iterator[str]:
    """Read every image back from the registry at `address`, each blob once for each repository, and hash what comes."""
    read: dict[str, str] = {}
    for job in accepted:
        for destination in job.destinations:
            repository, _, tag = destination.partition("/")[2].rpartition(":")
            base = f"http://{address}/v2/{repository}"
            wanted = {f"{base}/manifests/{tag}": job.image.root}
            wanted |= {f"{base}/manifests/{manifest.digest}": manifest for manifest in job.image.manifests}
            wanted |= {f"{base}/blobs/{blob.digest}": blob for blob in job.image.blobs}
            for url, descriptor in wanted.items():
                found = read[url] if url in read else read.setdefault(url, _digest_at(url, descriptor.media_type))
                if found != str(descriptor.digest):
                    yield f"{destination}: instead of {descriptor.digest} the registry gives {found}"


def _digest_at(url: str, media_type: str) -> str:
    request = urllib.request.Request(url, headers={"Accept": media_type})
    sha256 = hashlib.sha256()
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
            while piece := reply.read(_PIECE):
                sha256.update(piece)
    except OSError as error:
        return str(error)
    return f"sha256:{sha256.hexdigest()}"


def on_disk(storage: Path) -> Iterator[str]:
    """Hash every blob in the registry's storage."""
    for data in storage.glob("docker/registry/v2/blobs/sha256/*/*/data"):
        with data.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != data.parent.name:
            yield f"the registry's disk holds {found} as {data.parent.name}"


@dataclass(frozen=True, slots=True)
class Left:
    """An upload session that was left behind at a registry.

    Attributes:
        size: bytes in it.
        resumable: whether they are the beginning of a blob that travelled in a form that can be resumed.
    """

    path: Path
    size: int
    resumable: bool


def left_behind(storage: Path, resumable: Iterable[Path]) -> list[Left]:
    """Give the upload sessions in the registry's storage; `resumable` are the blobs that travelled so that they are."""
    heads = [_head(path) for path in resumable]
    found = []
    for session in storage.glob("docker/registry/v2/repositories/**/_uploads/*"):
        data = session / "data"
        if not data.exists():  # opened and never sent to, or committed when the registry was killed
            found.append(Left(session, 0, resumable=False))
            continue
        begun = _head(data)
        resumes = bool(begun) and any(head.startswith(begun) for head in heads)
        found.append(Left(session, data.stat().st_size, resumes))
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
