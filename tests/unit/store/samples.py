"""Images, submissions, claims and times for the store's tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from pushd.job import AUTO, Compress, DeliveryState, Failure, JobSpec, Retain, Tags, Validate
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.document import Document
from pushd.oci.image import Image
from pushd.oci.manifest import Manifest
from pushd.work import Outcome, Sealed, Submission, TransferKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.oci.compression import Encoding
    from pushd.store import Store
    from pushd.work import Claim

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
THROTTLED = Failure(code="registry.throttled", message="registry.test: asks for a pause", retryable=True)
NEEDY = Failure(code="registry.needs_credential", message="registry.test: bring another", retryable=True)
SHUT_OUT = Failure(code="source.needs_credential", message="source base.test: bring another", retryable=True)
REFUSED = Failure(code="registry.denied", message="registry.test: no right to push", retryable=False)
PLENTY = 10_000
"""More unfinished jobs than any test has, as the limit of a user."""
CANCELLED = Outcome(state=DeliveryState.CANCELLED)
SUPERSEDED = Outcome(state=DeliveryState.SUPERSEDED)
FAILED = Outcome(state=DeliveryState.FAILED, failure=REFUSED)


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def blob(name: str, size: int = 1000, media_type: str = LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(name.encode()), size)


def document(media_type: str, fields: Mapping[str, object]) -> Document:
    content = json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}, indent=1).encode()
    descriptor = Descriptor(media_type, Digest.of(content), len(content))
    return Document(descriptor, content, Manifest.parse(content, media_type))


def manifest(name: str, layers: int = 2, annotation: str = "") -> Document:
    blobs = [blob(f"{name} config", 20, CONFIG), *(blob(f"{name} layer {n}") for n in range(layers))]
    listed = [{"mediaType": one.media_type, "digest": str(one.digest), "size": one.size} for one in blobs]
    return document(MANIFEST, {"config": listed[0], "layers": listed[1:], "annotations": {"a": annotation}})


def image(name: str = "app", *, layers: int = 2, annotation: str = "") -> Image:
    return Image((manifest(name, layers, annotation),))


def index(*names: str) -> Image:
    children = [manifest(name) for name in names]
    listed = [
        {
            "mediaType": child.descriptor.media_type,
            "digest": str(child.descriptor.digest),
            "size": child.descriptor.size,
        }
        for child in children
    ]
    return Image((*children, document(INDEX, {"manifests": listed})))


def with_signature() -> Image:
    """Give an image with a signature, and one more under a tag of its own."""
    signed, tagged = manifest("app"), manifest("tagged")
    subject = {"mediaType": MANIFEST, "digest": str(signed.descriptor.digest), "size": signed.descriptor.size}
    config = {"mediaType": CONFIG, "digest": str(blob("signature").digest), "size": 1000}
    signature = document(MANIFEST, {"config": config, "layers": [], "subject": subject})
    return Image(
        (signature, tagged, signed), (("app.sig", tagged.descriptor.digest), ("app.att", tagged.descriptor.digest))
    )


def submission(
    job_id: str = "job1",
    *destinations: str,
    source: str = "oci:/srv/app:1.4",
    priority: int = 0,
    uid: int = 1000,
    of: Image | None = None,
    idempotency_key: str | None = None,
    fingerprint: bytes = b"body",
    labels: Mapping[str, str] | None = None,
    at: datetime = NOON,
    gids: frozenset[int] = frozenset(),
    administrator: bool = False,
    spool: str | None = None,
    not_before: datetime | None = None,
    deadline: float = 86_400.0,
    if_tag: str | None = None,
    retain: Retain = Retain.SOURCE,
    platforms: tuple[str, ...] = (),
    validate: Validate = Validate.DIGEST,
    encoding: Encoding | None = None,
    tags: Tags = Tags.EACH,
    with_referrers: bool = False,
    credential: str = AUTO,
    credentials: tuple[Sealed, ...] = (),
) -> Submission:
    destinations = destinations or ("registry.test/team/app:1.4",)
    return Submission(
        job_id=job_id,
        spec=JobSpec(
            source=source,
            destinations=destinations,
            priority=priority,
            labels=labels or {},
            not_before=not_before,
            if_tag=if_tag,
            retain=retain,
            platforms=platforms,
            validate=validate,
            compress=Compress.NONE if encoding is None else Compress(encoding),
            tags=tags,
            with_referrers=with_referrers,
            credential=credential,
        ),
        registries=tuple(destination.partition("/")[0] for destination in destinations),
        image=of or image(),
        uid=uid,
        created_at=at,
        deadline_at=max(at, not_before or at) + timedelta(seconds=deadline),
        gids=gids,
        administrator=administrator,
        encoding=encoding,
        spool=spool,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        credentials=credentials,
    )


async def next_claim(
    store: Store, now: datetime, *, free: Mapping[str, int] = MappingProxyType({}), default: int
) -> Claim | None:
    """Claim the next delivery that may run, if there is one."""
    taken, _ = await store.claim_all(now, free=free, default=default, most=1)
    return taken[0] if taken else None


async def claimed(store: Store, at: float = 0.0) -> Claim:
    """Claim the next delivery; there is one."""
    claim = await next_claim(store, after(at), default=PLENTY)
    assert claim is not None
    return claim


async def due(store: Store, now: datetime) -> datetime | None:
    """Give when the next held delivery is due, as a look for claims says it."""
    _, earliest = await store.claim_all(now, free={}, default=0, most=0)
    return earliest


def sealed(
    scope: str = "registry.test",
    secret: bytes | None = b"sealed",
    *,
    at: datetime = NOON,
    until: datetime | None = None,
) -> Sealed:
    return Sealed(scope=scope, secret=secret, created_at=at, expires_at=until)


def succeeded(name: str = "app") -> Outcome:
    return Outcome(state=DeliveryState.SUCCEEDED, digest=image(name).root.descriptor.digest)


def transfer_key(
    claim: Claim, of: Descriptor, *, credential: str = "anonymous", repository: str = "team/app"
) -> TransferKey:
    return TransferKey(
        registry=claim.registry,
        repository=repository,
        digest=of.digest,
        credential=credential,
        uid=claim.uid,
    )
