"""Handing over jobs, with the bytes of their images where the daemon cannot read those itself."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, Unpack

from pushd.client import targets
from pushd.client.conversation import TRY_WITHIN, Speaker
from pushd.client.documents import JSON, job_of
from pushd.client.exchange import Request
from pushd.client.own import own_credentials
from pushd.client.sources import absolute, in_registry
from pushd.client.submission import sourced, wishes
from pushd.errors import Code, PushdError
from pushd.job import AUTO, IN_ENGINE, Compress, Validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pushd.client.piped import Piped
    from pushd.client.submission import AskedOfImageJob, AskedOfSource, AskedOfSourceJob
    from pushd.job import Job, Spooled
    from pushd.work import Handed

T = TypeVar("T")

_SUBMIT_WITHIN: Final = 300.0  # the daemon reads and checks the whole source's structure before it answers
_VALIDATED_WITHIN: Final = 3600.0
_OUT_OF_REACH: Final = frozenset(
    {
        Code.SOURCE_NOT_FOUND,
        Code.SOURCE_UNREADABLE,
        Code.SOURCE_FORBIDDEN,
        Code.SOURCE_UNSUPPORTED,
        Code.REQUEST_PATH_REFUSED,
    }
)
"""What the daemon says of what only the caller can open, or only a newer version of it."""


class Submitting(Speaker):
    """The part of `Client` that hands over jobs, and asks what they would do."""

    def submit(
        self,
        source: str,
        destinations: Sequence[str],
        *,
        idempotency_key: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        **asked: Unpack[AskedOfSourceJob],
    ) -> Job:
        """Hand over a job. When this returns it is on the daemon's disk and will be delivered, whatever happens here.

        The daemon is given the path. Where it cannot or may not read what is there, the image is opened here, as the
        caller, and its bytes are brought to the daemon's spool; when this returns they are there, all of them. So is
        an image in Docker or podman, for which the daemon is not to ask: the engine is asked here, at the socket in
        `$DOCKER_HOST`, of Docker's current context, of Docker, or of podman, whichever is the first to be there.

        Args:
            source: `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]` or `dir:DIR`; a relative path
                is taken from this process's directory, because the daemon's is another. `docker://REF` for an image in
                a registry. Or `docker-daemon:NAME:TAG`, `docker-daemon:NAME@DIGEST` or `docker-daemon:sha256:HEX`, the
                image's id.
            destinations: references, at least one.
            idempotency_key: 1 to 255 printable ASCII characters; submitting again with the same key gives the same
                job. One is made up when none is given.
            progress: told the bytes brought so far, and how many there are, while bytes are brought; by whichever
                thread brought them, one at a time. Of an image out of an engine nobody knows how many until the end,
                and it is told None.
            asked: what is asked of the job, by keyword: see `pushd.client.submission.Asked` and those after it.

        Raises:
            RequestError: the request was refused: `request.limit` and `request.forbidden` among others;
                `request.idempotency_conflict`, the key was used for something else.
            RegistryError: a file in which the caller keeps credentials, or a helper it names, cannot be used; nothing
                was sent.
            SourceError: the image is missing, malformed, not what it says it is, or not the caller's to read, as is an
                engine; `source.platform_unknown`, it has nothing for one of `platforms`.
            StoreError: `store.budget`, `store.full`; the daemon has no room for it now.
        """
        wanted = wishes(destinations, **asked)
        name, key = absolute(source), idempotency_key or new_key()
        handed = own([*destinations, *in_registry(name)], asked.get("credential", AUTO))
        return self._with_source(
            name,
            lambda spooled: self._post_job(sourced(wanted, name, spooled, handed), key),
            asked,
            progress=progress,
            keep=True,
        )

    def submit_stream(
        self,
        stream: BinaryIO,
        destinations: Sequence[str],
        *,
        reference: str = "",
        idempotency_key: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        **asked: Unpack[AskedOfImageJob],
    ) -> Job:
        """Hand over a job whose image comes down a pipe. When this returns it will be delivered, as with `submit`.

        Args:
            stream: an OCI archive or one that `docker save`, `podman save` or `skopeo copy` wrote, plain or compressed
                with gzip. Read once, forwards, to its end; not closed.
            destinations: references, at least one.
            reference: which image of the archive, by name, or `@N` for the one at position N, from 0; empty for the
                only one.
            idempotency_key: as `submit` has it.
            progress: told the bytes brought so far, and None, for nobody knows how many will come.
            asked: as with `submit`.

        Raises:
            SourceError: `source.archive_invalid`, it is damaged, cut off, or no such archive; `source.ambiguous`,
                `source.reference_unknown`, `source.blob_missing` and others, the image is not there, or not whole.
            RequestError, RegistryError, StoreError: as `submit` does; `request.not_found`, the daemon forgot what was
                brought.
        """
        wanted = wishes(destinations, **asked)
        key = idempotency_key or new_key()
        handed = own(destinations, asked.get("credential", AUTO))
        # tarfile, zlib, hashlib: a job by path needs none of them.
        from pushd.client.piped import bring_stream, image_named  # noqa: PLC0415

        def hand_over(piped: Piped, spooled: Spooled) -> Job:
            name = reference or piped.name
            whole = {"compress": Compress.DEFAULT, **wanted} if piped.saved else wanted
            return self._post_job(sourced(whole, f"-:{name}" if name else "-", spooled, handed), key)

        return bring_stream(
            self._conversation,
            stream,
            lambda documents: image_named(documents, reference),
            hand_over,
            platforms=asked.get("platforms", ()),
            progress=progress,
            keep=True,
        )

    def plan(
        self,
        source: str,
        destinations: Sequence[str],
        *,
        progress: Callable[[int, int | None], None] | None = None,
        **asked: Unpack[AskedOfSource],
    ) -> Mapping[str, Any]:
        """Tell what submitting this would do; nothing changes at any registry.

        Where the daemon cannot read the source its bytes are brought, as `submit` does, and removed afterwards. What
        is asked for means what it means there. Nothing is compressed.

        Returns:
            `source`, `digest` (None where layers would be compressed first), `media_type`, `size` (bytes), `compress`
            (how many layers that would be, and their bytes; all else is counted as if it were not done), `referrers`
            (how many manifests go along because they refer to it; None where that was not asked for), and
            `destinations`: for each its `action` (`nothing`, `push` or `fail`), the digest its `tag` names now, how
            many bytes are `present`, would be `mount`ed and `send`t, `blobs` one by one, and the `failure`.

        Raises:
            RequestError, RegistryError, SourceError, StoreError: as `submit` does.
        """
        wanted = wishes(destinations, **asked)
        name = absolute(source)
        handed = own([*destinations, *in_registry(name)], asked.get("credential", AUTO))
        within = _within(asked.get("validate", Validate.DIGEST))
        return self._with_source(
            name,
            lambda spooled: self._ask_plan(sourced(wanted, name, spooled, handed), within=within),
            asked,
            progress=progress,
            keep=False,
        )

    def _with_source(
        self,
        name: str,
        ask: Callable[[Spooled | None], T],
        asked: AskedOfSource,
        *,
        progress: Callable[[int, int | None], None] | None,
        keep: bool,
    ) -> T:
        """Ask something about a source: by its path, or where the daemon cannot open that, with the bytes brought.

        What is in a registry is the daemon's to read, and nobody's to bring.
        """
        try:
            return ask(None)
        except PushdError as error:
            if error.code not in _OUT_OF_REACH or in_registry(name):
                raise
        platforms = asked.get("platforms", ())
        if name.startswith(IN_ENGINE):
            from pushd.client.from_engine import bring_from_engine  # noqa: PLC0415 (as below)

            return bring_from_engine(self._conversation, name, ask, platforms=platforms, progress=progress, keep=keep)
        from pushd.client.bringing import bring_source  # noqa: PLC0415 (a job by path needs none of what it imports)

        return bring_source(
            self._conversation,
            name,
            ask,
            platforms=platforms,
            with_referrers=asked.get("with_referrers", False),
            progress=progress,
            keep=keep,
        )

    def _post_job(self, document: Mapping[str, Any], key: str) -> Job:
        request = Request(
            method="POST",
            target=targets.path("jobs"),
            headers={**JSON, **_preference(document), "Idempotency-Key": key},
            body=json.dumps(document).encode(),
            answer_within=_SUBMIT_WITHIN,
            secret="credentials" in document,
        )
        return self._conversation.ask(request, job_of)

    def _ask_plan(self, document: Mapping[str, Any], *, within: float = TRY_WITHIN) -> Mapping[str, Any]:
        request = Request(
            method="POST",
            target=targets.path("plan"),
            headers={**JSON, **_preference(document)},
            body=json.dumps(document).encode(),
            answer_within=within,
            secret="credentials" in document,
        )
        return self._conversation.ask(request, dict)


def _preference(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Say that an image in an engine is asked for here, with the caller's rights, whatever the daemon would do."""
    return {"Prefer": "bring"} if document["source"].startswith(IN_ENGINE) else {}


def _within(validate: Validate) -> float:
    """Give the seconds in which a plan is there: an image that is looked into takes as long as its bytes take."""
    return _VALIDATED_WITHIN if validate is Validate.FULL else TRY_WITHIN


def own(references: Sequence[str], credential: str) -> Sequence[Handed]:
    """Look the caller's own up where they are wanted."""
    return own_credentials(references) if credential == AUTO else ()


def new_key() -> str:
    """Make up an idempotency key: what `secrets.token_hex` does, without importing it and what it imports."""
    return os.urandom(16).hex()
