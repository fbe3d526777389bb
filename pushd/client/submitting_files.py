"""Handing over plain files as an artifact, in a job like any other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from pushd.client.submission import sourced, wishes
from pushd.client.submitting import Submitting, new_key, own
from pushd.job import AUTO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pushd.client.submission import Asked, AskedOfJob
    from pushd.job import Job, Spooled

T = TypeVar("T")


class SubmittingFiles(Submitting):
    """The part of `Client` that hands over files, and asks what that would do."""

    def submit_files(
        self,
        files: Iterable[tuple[str, str]],
        destinations: Sequence[str],
        *,
        artifact_type: str,
        annotations: Mapping[str, str] | None = None,
        directory: str | None = None,
        idempotency_key: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        **asked: Unpack[AskedOfJob],
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
            idempotency_key: as `submit` has it; so are `progress` and what is asked of the job, by keyword.
            progress: see there.
            asked: see there.

        Raises:
            RequestError: `request.malformed`, a name, a media type or an annotation cannot be; otherwise as `submit`.
            SourceError: `source.not_found`; `source.unreadable`; `source.blob_not_regular`, a FIFO, a socket, a device,
                or a link out of a directory; `source.changed`, a file was while it was read: nothing is submitted.
            RegistryError, StoreError: as `submit` does.
        """
        wanted, key = wishes(destinations, **asked), idempotency_key or new_key()
        handed = own(destinations, asked.get("credential", AUTO))
        return self._with_files(
            artifact_type, files, annotations, directory,
            lambda source, spooled: self._post_job(sourced(wanted, source, spooled, handed), key),
            progress=progress, keep=True,
        )  # fmt: skip

    def plan_files(
        self,
        files: Iterable[tuple[str, str]],
        destinations: Sequence[str],
        *,
        artifact_type: str,
        annotations: Mapping[str, str] | None = None,
        directory: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        **asked: Unpack[Asked],
    ) -> Mapping[str, Any]:
        """Tell what `submit_files` would do, as `plan` does; the files are brought all the same, and removed again.

        Raises:
            RequestError, RegistryError, SourceError, StoreError: as `submit_files` does.
        """
        wanted = wishes(destinations, **asked)
        handed = own(destinations, asked.get("credential", AUTO))
        return self._with_files(
            artifact_type, files, annotations, directory,
            lambda source, spooled: self._ask_plan(sourced(wanted, source, spooled, handed)),
            progress=progress, keep=False,
        )  # fmt: skip

    def _with_files(
        self,
        artifact_type: str,
        files: Iterable[tuple[str, str]],
        annotations: Mapping[str, str] | None,
        directory: str | None,
        ask: Callable[[str, Spooled], T],
        *,
        progress: Callable[[int, int | None], None] | None,
        keep: bool,
    ) -> T:
        """Ask something about an artifact, by what it is called, with its files brought."""
        from pushd.client.artifact import Artifact  # noqa: PLC0415 (a job by path needs none of what it imports)
        from pushd.client.files import bring_files  # noqa: PLC0415 (the same)

        artifact = Artifact.of(artifact_type, files, annotations or {})
        return bring_files(
            self._conversation, artifact, directory, partial(ask, artifact.source), progress=progress, keep=keep
        )
