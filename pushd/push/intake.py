"""Taking a job in: what is asked for is checked to the last blob's size, and only then accepted."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, PushdError, RegistryError, RequestError
from pushd.job import Compress, Validate
from pushd.oci.compression import Encoding
from pushd.oci.reference import Reference
from pushd.push import forecast
from pushd.push.choosing import asker_of, check_handed, choice_of
from pushd.push.compressing import decided, layers_to_compress
from pushd.push.origin import Origin
from pushd.push.sources import check_refers, copies
from pushd.telemetry.trace import REQUEST_ID, TRACEPARENT
from pushd.work import Submission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.job import Job, JobSpec
    from pushd.oci.image import Image
    from pushd.principal import Principal
    from pushd.push.budget import Budget
    from pushd.push.docking import Docking
    from pushd.push.gate import Gates
    from pushd.push.inspecting import Inspector
    from pushd.push.policy import Policy
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.source import Source
    from pushd.push.ports.spool import Spool
    from pushd.push.ports.store import JobStore
    from pushd.push.ports.vault import Keyring
    from pushd.push.sources import Sources
    from pushd.work import Asker, Handed, Sealed

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of job ids: 32 characters that are hard to confuse when read aloud or typed."""


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes jobs in.

    Attributes:
        deadline: seconds from its submission in which a job that names no deadline must be done.
        docking: fetches images out of container engines.
        jobs_per_user: jobs of one user that have not ended.
        compression: what becomes of plain layers where a job leaves it to the daemon.
    """

    store: JobStore
    sources: Sources
    spool: Spool
    registries: Registries
    keyring: Keyring
    gates: Gates
    policy: Policy
    budget: Budget
    inspector: Inspector
    docking: Docking
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
        brings: bool = False,
    ) -> Job:
        """Store a job, durably, or give the one that was stored for the same request before.

        Raises:
            RequestError, SourceError, StoreError: as `api.ports.Jobs.submit` says; nothing was taken.
        """
        try:
            check_refers(spec)
            references = await self._destinations(spec, handed, caller)
            self.budget.admit_job()
            if brings or not self.docking.concerns(spec):
                return await self._accept(spec, references, handed, caller, idempotency_key, fingerprint)
            if idempotency_key is not None:
                # Asked before, for once: an image of gigabytes that was fetched is not fetched again to find out.
                known = await self.store.repeated(caller.uid, idempotency_key, fingerprint)
                if known is not None:
                    return known
            async with self.docking.fetched(spec, caller, keep=True) as fetched:
                with anyio.CancelScope(shield=True):  # whoever leaves now has a job, and that has its bytes
                    job = await self._accept(fetched, references, handed, caller, idempotency_key, fingerprint)
                return job  # noqa: RET504 (a scope swallows what it was cancelled by, as far as types tell)
        except PushdError as error:
            # What was accepted once stays accepted, though its source may be gone, or the rules be others by now.
            if idempotency_key is None or error.code is Code.REQUEST_CONFLICT:
                raise
            known = await self.store.repeated(caller.uid, idempotency_key, fingerprint)
            if known is None:
                raise
            return known

    async def _accept(  # noqa: PLR0917 (two callers, right above)
        self,
        spec: JobSpec,
        references: Sequence[Reference],
        handed: Sequence[Handed],
        caller: Principal,
        idempotency_key: str | None,
        fingerprint: bytes,
    ) -> Job:
        asker = asker_of(caller, spec.credential, handed)
        async with self.sources.submitted(spec, asker, caller, keep=copies(spec)) as (source, image):
            spec = replace(spec, compress=decided(spec, self.compression))
            plain = layers_to_compress(image, spec.compress)
            _check_rewritten(references, image, rewritten=bool(plain))
            submission = self._submission(spec, references, image, caller, idempotency_key, fingerprint)
            if plain:
                submission = replace(submission, encoding=Encoding(spec.compress))
            if handed:
                submission = replace(submission, credentials=await self._sealed(handed, submission))
            if copies(spec) and not isinstance(source, Origin):
                return await self._keep(submission, source)
            return await self.store.submit(submission, limit=self.jobs_per_user)

    async def plan(
        self, spec: JobSpec, *, handed: Sequence[Handed], caller: Principal, brings: bool = False
    ) -> dict[str, object]:
        """Tell what `submit` and the deliveries after it would do (`POST /v1/plan`).

        Raises:
            RequestError, SourceError: as `submit` does.
        """
        check_refers(spec)
        references = await self._destinations(spec, handed, caller)
        if brings or not self.docking.concerns(spec):
            return await self._plan(spec, references, handed, caller)
        async with self.docking.fetched(spec, caller, keep=False) as fetched:
            return await self._plan(fetched, references, handed, caller)

    async def _plan(
        self, spec: JobSpec, references: Sequence[Reference], handed: Sequence[Handed], caller: Principal
    ) -> dict[str, object]:
        asker = asker_of(caller, spec.credential, handed)
        full = spec.validate is Validate.FULL
        async with self.sources.submitted(spec, asker, caller, keep=full) as (source, image):
            spec = replace(spec, compress=decided(spec, self.compression))
            plain = layers_to_compress(image, spec.compress)
            _check_rewritten(references, image, rewritten=bool(plain))
            here = None if isinstance(source, Origin) else source
            wrong = await self.inspector.judge(here, image, uid=caller.uid) if full and here is not None else None
        root = image.root.descriptor
        return {
            "source": spec.source,
            "digest": None if plain else str(root.digest),
            "media_type": root.media_type,
            "size": image.size,
            "compress": {"count": len(plain), "bytes": sum(layer.size for layer in plain)},
            "referrers": len(image.referrers) if spec.with_referrers else None,
            "destinations": [
                forecast.failed(reference, wrong)
                if wrong is not None
                else await self._forecast(reference, source, image, spec, asker, rewritten=bool(plain))
                for reference in references
            ],
        }

    async def _forecast(
        self,
        reference: Reference,
        source: Source | Origin,
        image: Image,
        spec: JobSpec,
        asker: Asker,
        *,
        rewritten: bool,
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
                rewritten=rewritten,
                mount_from=source.mountable(registry, reference.repository) if isinstance(source, Origin) else None,
            )
        except PushdError as error:
            return forecast.failed(reference, error)

    async def _destinations(self, spec: JobSpec, handed: Sequence[Handed], caller: Principal) -> tuple[Reference, ...]:
        """Give the destinations, each once, that the caller may push to."""
        references = {str(reference): reference for reference in map(Reference.parse, spec.destinations)}
        check_handed(handed, references.values(), "" if spec.spooled else spec.source)
        asker = asker_of(caller, spec.credential, handed)
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


def _fresh_id() -> str:
    """Make up a job's id. Its bytes are asked for at once: the system takes microseconds for each question."""
    return "".join(_ALPHABET[octet % len(_ALPHABET)] for octet in secrets.token_bytes(12))


def _check_rewritten(references: Sequence[Reference], image: Image, *, rewritten: bool) -> None:
    """Refuse what cannot be when the image will be another one, and nobody knows what that will be called.

    A destination that names a digest can only ever hold that image; and what refers to an image refers to that one.
    """
    if rewritten and image.referrers:
        detail = "would make another image of it, to which nothing refers that goes along"
        hint = "leave compress out, or with_referrers"
        raise RequestError(Code.REQUEST_MALFORMED, "compress", detail, hint=hint)
    root = image.root.descriptor.digest
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
