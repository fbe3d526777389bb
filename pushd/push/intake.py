"""Taking a job in: what is asked for is checked to the last blob's size, and only then accepted."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from pushd.errors import Code, PushdError, RegistryError, RequestError
from pushd.job import ANONYMOUS, AUTO, DAEMON, HANDED, Compress, Retain, Validate
from pushd.oci.compression import Encoding, plain_layers
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.platform import Platform
from pushd.oci.reference import Reference
from pushd.push import forecast
from pushd.push.origin import Origin, origin_of
from pushd.telemetry.trace import REQUEST_ID, TRACEPARENT
from pushd.work import Asker, Submission, covers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from pushd.job import Job, JobSpec
    from pushd.oci.compression import Plain
    from pushd.oci.image import Image
    from pushd.principal import Principal
    from pushd.push.budget import Budget
    from pushd.push.gate import Gates
    from pushd.push.inspecting import Inspector
    from pushd.push.origin import Origins
    from pushd.push.policy import Policy
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.source import OpenSource, Source
    from pushd.push.ports.spool import OpenSpooled, Spool
    from pushd.push.ports.store import JobStore
    from pushd.push.ports.vault import Keyring
    from pushd.push.turns import Turns
    from pushd.work import Handed, Sealed

_SAVED = ("docker-archive:", "docker-daemon:")
"""How sources are called, wherever their bytes are, whose layers are plain because Docker keeps them so."""
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of job ids: 32 characters that are hard to confuse when read aloud or typed."""


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes jobs in.

    Attributes:
        origins: opens sources that are in a registry.
        turns: where the others are opened.
        deadline: seconds from its submission in which a job that names no deadline must be done.
        jobs_per_user: jobs of one user that have not ended.
        compression: what becomes of plain layers where a job leaves it to the daemon.
    """

    store: JobStore
    open_source: OpenSource
    open_spooled: OpenSpooled
    origins: Origins
    spool: Spool
    registries: Registries
    keyring: Keyring
    gates: Gates
    policy: Policy
    budget: Budget
    turns: Turns
    inspector: Inspector
    deadline: float
    jobs_per_user: int
    compression: Compress = Compress.NONE

    async def submit(
        self,
        spec: JobSpec,
        *,
        handed: Sequence[Handed],
        caller: Principal,
        idempotency_key: str | None,
        fingerprint: bytes,
    ) -> Job:
        """Store a job, durably, or give the one that was stored for the same request before.

        Raises:
            RequestError, SourceError, StoreError: as `api.ports.Jobs.submit` says; nothing was taken.
        """
        try:
            return await self._accept(spec, handed, caller, idempotency_key, fingerprint)
        except PushdError as error:
            # What was accepted once stays accepted, though its source may be gone, or the rules be others by now.
            if idempotency_key is None or error.code is Code.REQUEST_CONFLICT:
                raise
            known = await self.store.repeated(caller.uid, idempotency_key, fingerprint)
            if known is None:
                raise
            return known

    async def _accept(
        self,
        spec: JobSpec,
        handed: Sequence[Handed],
        caller: Principal,
        idempotency_key: str | None,
        fingerprint: bytes,
    ) -> Job:
        references = await self._destinations(spec, handed, caller)
        self.budget.admit_job()
        async with self._opened(spec, handed, caller, keep=_copies(spec)) as (source, image):
            spec = self._decided(spec)
            _check_digests(references, image, spec.compress)
            submission = self._submission(spec, references, image, caller, idempotency_key, fingerprint)
            if handed:
                submission = replace(submission, credentials=await self._sealed(handed, submission))
            if _copies(spec) and not isinstance(source, Origin):
                return await self._keep(submission, source)
            return await self.store.submit(submission, limit=self.jobs_per_user)

    async def plan(self, spec: JobSpec, *, handed: Sequence[Handed], caller: Principal) -> dict[str, object]:
        """Tell what `submit` and the deliveries after it would do (`POST /v1/plan`).

        Raises:
            RequestError, SourceError: as `submit` does.
        """
        references = await self._destinations(spec, handed, caller)
        asker = _asker(spec, handed, caller)
        full = spec.validate is Validate.FULL
        async with self._opened(spec, handed, caller, keep=full) as (source, image):
            spec = self._decided(spec)
            _check_digests(references, image, spec.compress)
            here = None if isinstance(source, Origin) else source
            wrong = await self.inspector.judge(here, image, uid=caller.uid) if full and here is not None else None
        root, plain = image.root.descriptor, _plain(image, spec.compress)
        return {
            "source": spec.source,
            "digest": None if plain else str(root.digest),
            "media_type": root.media_type,
            "size": image.size,
            "compress": {"count": len(plain), "bytes": sum(layer.size for layer in plain)},
            "destinations": [
                forecast.failed(reference, wrong)
                if wrong is not None
                else await self._forecast(reference, source, image, spec, asker)
                for reference in references
            ],
        }

    async def _forecast(
        self, reference: Reference, source: Source | Origin, image: Image, spec: JobSpec, asker: Asker
    ) -> dict[str, object]:
        try:
            registry = await self.gates.connect(self.registries, reference, asker=asker)
            return await forecast.forecast(
                self.store,
                registry,
                reference,
                image,
                uid=asker.user.uid,
                if_tag=spec.if_tag,
                rewritten=bool(_plain(image, spec.compress)),
                mount_from=source.mountable(registry, reference.repository) if isinstance(source, Origin) else None,
            )
        except PushdError as error:
            return forecast.failed(reference, error)

    async def _destinations(self, spec: JobSpec, handed: Sequence[Handed], caller: Principal) -> tuple[Reference, ...]:
        """Give the destinations, each once, that the caller may push to."""
        references = {str(reference): reference for reference in map(Reference.parse, spec.destinations)}
        check_handed(handed, references.values(), "" if spec.spooled else spec.source)
        asker = _asker(spec, handed, caller)
        for reference in references.values():
            self.policy.check(reference)
            if spec.if_tag is not None and reference.tag is None:
                detail = "has no tag that could be looked at, as if_tag says"
                raise RequestError(Code.REQUEST_INVALID_REFERENCE, str(reference), detail, hint="name the tag")
            try:
                await self.registries.connect(reference.registry, repository=reference.repository, asker=asker)
            except RegistryError:
                continue  # a credential that cannot be read, or is to be brought, is the delivery's, and told with it
        return tuple(references.values())

    @asynccontextmanager
    async def _opened(
        self, spec: JobSpec, handed: Sequence[Handed], caller: Principal, *, keep: bool
    ) -> AsyncIterator[tuple[Source | Origin, Image]]:
        """Open the source as the caller and read its image, as far as it was chosen; with `keep` it stays open.

        A spool entry is kept for as long as this lasts.
        """
        platforms = tuple(map(Platform.parse, spec.platforms))
        if spec.spooled is not None:
            root = Descriptor(spec.spooled.media_type, Digest.parse(spec.spooled.digest), spec.spooled.size)
            with self.spool.using(spec.spooled.entry, uid=caller.uid):
                open_spooled = partial(self.open_spooled, spec.spooled.entry, root=root)
                async with _reading(self.turns, open_spooled, platforms, keep=keep) as opened:
                    yield opened
            return
        origin = await self._origin(spec, handed, caller)
        if origin is not None:
            yield origin, await origin.image(platforms)
            return
        if not caller.paths:
            raise RequestError(
                Code.REQUEST_PATH_REFUSED,
                "source",
                "names a path, and the caller does not see the daemon's files under the same names",
                hint="bring the bytes to the spool, as pushctl does by itself",
            )
        open_source = partial(self.open_source, spec.source, uid=caller.uid, gids=caller.gids)
        async with _reading(self.turns, open_source, platforms, keep=keep) as opened:
            yield opened

    def _decided(self, spec: JobSpec) -> JobSpec:
        """Give what was asked for with what the source and the configuration say in place of what was left to them."""
        compress = spec.compress
        if compress is Compress.AUTO:
            compress = Compress.DEFAULT if spec.source.startswith(_SAVED) else Compress.NONE
        return replace(spec, compress=self.compression if compress is Compress.DEFAULT else compress)

    async def _origin(self, spec: JobSpec, handed: Sequence[Handed], caller: Principal) -> Origin | None:
        """Open a source that is in a registry, which may be any that destinations may be in; None for another kind."""
        reference = origin_of(spec.source)
        if reference is None:
            return None
        self.policy.check_registry(reference.registry)
        _check_streams(spec)
        beside = [Reference.parse(destination).registry for destination in spec.destinations]
        return await self.origins.open(reference, asker=_asker(spec, handed, caller), beside=beside)

    def _submission(  # noqa: PLR0917 (one caller, right above)
        self,
        spec: JobSpec,
        references: Sequence[Reference],
        image: Image,
        caller: Principal,
        idempotency_key: str | None,
        fingerprint: bytes,
    ) -> Submission:
        now = datetime.now(UTC)
        begins = now if spec.not_before is None else max(now, spec.not_before)
        seconds = self.deadline if spec.deadline is None else spec.deadline
        return Submission(
            job_id=_fresh_id(),
            spec=replace(
                spec,
                destinations=tuple(map(str, references)),
                credential=choice_of(spec.credential, caller),
                not_before=begins if begins > now else None,
            ),
            registries=tuple(reference.registry for reference in references),
            image=image,
            uid=caller.uid,
            gids=caller.gids,
            administrator=caller.administrator,
            encoding=Encoding(spec.compress) if _plain(image, spec.compress) else None,
            spool=None if spec.spooled is None else spec.spooled.entry,
            created_at=now,
            deadline_at=begins + timedelta(seconds=seconds),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            request_id=REQUEST_ID.get(),
            traceparent=TRACEPARENT.get(),
        )

    async def _sealed(self, handed: Sequence[Handed], submission: Submission) -> tuple[Sealed, ...]:
        """Seal what was handed over with a job. It ends with the job, so at its deadline at the latest."""
        kept = [
            replace(one, expires_at=min(one.expires_at or submission.deadline_at, submission.deadline_at))
            for one in handed
        ]
        return tuple([await self.keyring.seal(one, submission.uid, submission.created_at) for one in kept])

    async def _keep(self, submission: Submission, source: Source) -> Job:
        """Store a job whose bytes are copied to the spool first; what is not needed after all goes."""
        entry = await self.spool.keep(source, submission.image, uid=submission.uid)
        with self.spool.using(entry, uid=submission.uid):
            try:
                job = await self.store.submit(replace(submission, spool=entry), limit=self.jobs_per_user)
            except Exception:  # not one that is cancelled: it may be stored all the same
                await self.spool.discard(entry, "its job was not taken")
                raise
        if job.id != submission.job_id:
            await self.spool.discard(entry, "its job was there already")
        return job


def _asker(spec: JobSpec, handed: Sequence[Handed], caller: Principal) -> Asker:
    return Asker(user=caller.user, choice=choice_of(spec.credential, caller), handed=tuple(handed))


def choice_of(choice: str, caller: Principal) -> str:
    """Give which credential a caller may choose, who said `choice` (see `JobSpec.credential`).

    Raises:
        RequestError: `request.forbidden`, they named a login, and came by a socket at which they have none.
    """
    if caller.logins or choice in (DAEMON, ANONYMOUS):
        return choice
    if choice == AUTO:
        return HANDED
    raise no_logins(choice)


def no_logins(name: str) -> RequestError:
    """Say that nothing stored may be used, or stored, by the socket the caller came by."""
    detail = "is not to be had by this socket: whoever comes by it is not known to be who stored it"
    hint = "hand the credential over with the job, or come by the daemon's main socket"
    return RequestError(Code.REQUEST_FORBIDDEN, f"login {name}", detail, hint=hint)


def check_handed(handed: Sequence[Handed], destinations: Collection[Reference], source: str) -> None:
    """Refuse a credential that neither destination nor source needs: what is not used is not to be kept."""
    if not handed:
        return
    origin = origin_of(source)
    references = [*destinations] if origin is None else [*destinations, origin]
    for one in handed:
        if not any(covers(one.scope, reference.registry, reference.repository) for reference in references):
            detail = f"has one for {one.scope}, which is neither source nor destination of the job"
            raise RequestError(Code.REQUEST_MALFORMED, "credentials", detail, hint="leave it out")


def _fresh_id() -> str:
    """Make up a job's id. Its bytes are asked for at once: the system takes microseconds for each question."""
    return "".join(_ALPHABET[octet % len(_ALPHABET)] for octet in secrets.token_bytes(12))


@asynccontextmanager
async def _reading(
    turns: Turns, open_: partial[Source], platforms: Collection[Platform], *, keep: bool
) -> AsyncIterator[tuple[Source, Image]]:
    """Open a source and read its image, in one hop to a thread; with `keep` the source stays open meanwhile."""

    def read() -> tuple[Source, Image]:
        source = open_()
        try:
            image = source.image(platforms)
        except BaseException:
            source.close()
            raise
        if not keep:
            source.close()  # a few system calls that need not be the loop's
        return source, image

    source, image = await turns.run(read)
    try:
        yield source, image
    finally:
        source.close()


def _check_streams(spec: JobSpec) -> None:
    """Refuse what cannot be asked of an image in a registry, nothing of which is here before it is sent."""
    asked = {
        "retain": _copies(spec),
        "validate": spec.validate is not Validate.DIGEST,
        "compress": spec.compress not in (Compress.AUTO, Compress.NONE),
    }
    for field, is_asked in asked.items():
        if is_asked:
            detail = "does not go with an image in a registry: what is sent of it is read when it is sent"
            hint = "leave it out, or copy the image to a layout first"
            raise RequestError(Code.REQUEST_MALFORMED, field, detail, hint=hint)


def _copies(spec: JobSpec) -> bool:
    """Whether the bytes are copied before the job is accepted. Those that were brought are in the spool already."""
    return spec.spooled is None and spec.retain is Retain.SPOOL


def _plain(image: Image, compress: Compress) -> Sequence[Plain]:
    """Give the layers of an image that are to be compressed."""
    return () if compress is Compress.NONE else plain_layers(image, Encoding(compress))


def _check_digests(references: Sequence[Reference], image: Image, compress: Compress) -> None:
    """A destination that names a digest can only ever hold that image, and nobody knows what another will be called."""
    root, rewritten = image.root.descriptor.digest, bool(_plain(image, compress))
    for reference in references:
        if reference.digest is not None and rewritten:
            raise RequestError(
                Code.REQUEST_INVALID_REFERENCE,
                str(reference),
                "names a digest, and the image will have another when its layers are compressed, not known before",
                hint="leave the digest out, or push the image as it is",
            )
        if reference.digest is not None and reference.digest != root:
            raise RequestError(
                Code.REQUEST_INVALID_REFERENCE,
                str(reference),
                f"names another digest than the image, which is {root}",
                hint="leave the digest out, or name the image's",
            )
