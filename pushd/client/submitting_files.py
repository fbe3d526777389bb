"""Handing over plain files as an artifact, in a job like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushd.client.submission import sourced, wishes
from pushd.client.submitting import Submitting, new_key, own
from pushd.job import AUTO, Retain, Tags, Verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Job


class SubmittingFiles(Submitting):
    """The part of `Client` that hands over files, and asks what that would do."""

    def submit_files(  # noqa: PLR0913 (what may be asked of a job; by keyword)
        self,
        files: Iterable[tuple[str, str]],
        destinations: Sequence[str],
        *,
        artifact_type: str,
        annotations: Mapping[str, str] | None = None,
        directory: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        deadline: float | None = None,
        verify: Verify = Verify.TAG,
        not_before: datetime | None = None,
        if_tag: str | None = None,
        retain: Retain = Retain.SOURCE,
        tags: Tags = Tags.EACH,
        credential: str = AUTO,
        idempotency_key: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Job:
        """Hand over files and directories as an artifact that `oras pull` writes out again, each under its name.

        They are read here, as the caller, and brought to the daemon's spool; when this returns they are there, and
        will be delivered, whatever becomes of them here. A directory is packed, always in the same way, into a
        temporary file. The same files give the same digest: no time is told, except for that in `SOURCE_DATE_EPOCH`.

            client.submit_files(
                [("report.json", "application/json"), ("charts", "")],
                ["registry.example.com/team/report:1"],
                artifact_type="application/vnd.example.report.v1",
            )

        Args:
            files: of each its name, a relative path that does not lead upwards, and its media type; empty for the one
                oras has for files, or for directories. None at all make an artifact that is its annotations alone.
            destinations: references, at least one.
            artifact_type: a media type: what all of it is.
            annotations: of the manifest.
            directory: where the names are looked for; None for this process's own.
            priority: as `submit` has it; so are `labels`, `deadline`, `verify`, `not_before`, `if_tag`, `retain`,
                `tags`, `credential`, `idempotency_key` and `progress`.
            labels: see there.
            deadline: see there.
            verify: see there.
            not_before: see there.
            if_tag: see there.
            retain: see there.
            tags: see there.
            credential: see there.
            idempotency_key: see there.
            progress: see there.

        Raises:
            RequestError: `request.malformed`, a name, a media type or an annotation cannot be; otherwise as `submit`.
            SourceError: `source.not_found`; `source.unreadable`; `source.blob_not_regular`, a FIFO, a socket, a device,
                or a link out of a directory; `source.changed`, a file was while it was read: nothing is submitted.
            RegistryError, StoreError: as `submit` does.
        """
        wanted = wishes(
            destinations,
            priority=priority,
            labels=labels,
            deadline=deadline,
            verify=verify,
            not_before=not_before,
            if_tag=if_tag,
            retain=retain,
            tags=tags,
            credential=credential,
        )
        key = idempotency_key or new_key()
        handed = own(destinations, credential)
        from pushd.client.artifact import Artifact  # noqa: PLC0415 (a job by path needs none of what it imports)
        from pushd.client.files import bring_files  # noqa: PLC0415 (the same)

        artifact = Artifact.of(artifact_type, files, annotations or {})
        return bring_files(
            self._conversation,
            artifact,
            directory,
            lambda spooled: self._post_job(sourced(wanted, artifact.source, spooled, handed), key),
            progress=progress,
            keep=True,
        )

    def plan_files(
        self,
        files: Iterable[tuple[str, str]],
        destinations: Sequence[str],
        *,
        artifact_type: str,
        annotations: Mapping[str, str] | None = None,
        directory: str | None = None,
        verify: Verify = Verify.TAG,
        if_tag: str | None = None,
        credential: str = AUTO,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Mapping[str, Any]:
        """Tell what `submit_files` would do, as `plan` does; the files are brought all the same, and removed again.

        Raises:
            RequestError, RegistryError, SourceError, StoreError: as `submit_files` does.
        """
        wanted = wishes(destinations, verify=verify, if_tag=if_tag, credential=credential)
        handed = own(destinations, credential)
        from pushd.client.artifact import Artifact  # noqa: PLC0415 (a job by path needs none of what it imports)
        from pushd.client.files import bring_files  # noqa: PLC0415 (the same)

        artifact = Artifact.of(artifact_type, files, annotations or {})
        return bring_files(
            self._conversation,
            artifact,
            directory,
            lambda spooled: self._ask_plan(sourced(wanted, artifact.source, spooled, handed)),
            progress=progress,
            keep=False,
        )
