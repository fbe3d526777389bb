"""The catalogue as a document: what `deploy/events.md` says, for whoever reads logs, writes filters or alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pushd.telemetry.events import CATALOGUE
from pushd.telemetry.journald import NAMESPACE, message_id, priority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.telemetry.events import Kind

_ABOUT: Final = f"""\
# The events of pushd

Everything pushd tells, by name. Made from the catalogue by `python -m pushd.telemetry`; a test keeps it up to date.
Names and fields are an interface: they are added to, never changed.

Each event is told once: to the log, and those marked *durable* to `GET /v1/events` as well, numbered.

- **Where standard error is the journal**, each is an entry with `MESSAGE` (the sentence), `PRIORITY`, `MESSAGE_ID`,
  `PUSHD_EVENT` (the name), and each field in capitals after `PUSHD_`: `PUSHD_JOB`, `PUSHD_DELIVERY`, `PUSHD_REGISTRY`,
  and so on. What has no value is left out. At most 9,000 lines go to the journal in 30 seconds, which drops what is
  over 10,000; what is held back is counted in `log.suppressed`. Errors, and the *canonical* lines that sum up what has
  ended, are held back last.
- **On a terminal** each is a line to read; **elsewhere** a line of JSON: `ts`, `level`, `event`, `message`, `job`,
  `delivery`, and the fields.

A `MESSAGE_ID` is the UUID, version 5, of the name under the namespace `{NAMESPACE}`.
"""

FIELDS: Final = {
    "advice": "what would keep it from happening again",
    "asked": "whether the registry named the time",
    "attempt": "how often the delivery was claimed, this time included",
    "blobs": "blobs",
    "by": "the uid of who asked for it",
    "bytes_after": "bytes of the layers when they were compressed",
    "bytes_before": "bytes of the layers when they were plain",
    "cancelled": "deliveries cancelled",
    "changed": "keys of the configuration that changed",
    "code": "the stable code of what went wrong",
    "credential": "what was chosen to log in with: `auto`, `daemon`, `anonymous`, or the name of a login",
    "days": "whole days that are left",
    "deliveries": "deliveries",
    "destination": "the reference it goes to",
    "destinations": "destinations of the job",
    "detail": "what was found",
    "digest": "of the blob or manifest; of a job, of its image, if that is known yet",
    "done": "bytes the registry is known or believed to hold",
    "encoding": "what layers are compressed with where their type has it: `gzip` or `zstd`",
    "entry": "the id of the spool entry",
    "epoch": "the number of this life of the daemon",
    "error": "what went wrong, with what to do",
    "events": "events",
    "failed": "deliveries failed",
    "file": "the path of the file",
    "form": "how the blob was sent: `chunked`, `streamed`, `monolithic`; empty when nothing was",
    "free": "bytes free on the disk",
    "interruptions": "how often uploads were broken and went on",
    "jobs": "jobs",
    "kinds": "names of events, each with how many of it",
    "layers": "layers, each counted once",
    "limit": "seconds that are allowed",
    "lines": "lines of the log",
    "logger": "the library's logger",
    "manifests": "manifests",
    "media_type": "of the blob or manifest",
    "mode": "the permissions, octal",
    "mounted": "blobs mounted from another repository",
    "name": "of the login; none for a credential that came with a job",
    "offset": "bytes the registry has of the blob",
    "others": "destinations of the job that are not ready yet",
    "pid": "of the daemon",
    "present": "blobs that were there already",
    "rate": "bytes a second since it was told last",
    "reason": "why, for people",
    "refused": "what is refused",
    "registry": "`host[:port]`",
    "request_id": "`X-Request-Id` of the request that handed the job in",
    "requeued": "deliveries an earlier life left running, which go on",
    "restart": "those of the changed keys that take effect at the next start",
    "resumed": "bytes an earlier attempt had brought; of `transfer.started`, whether there was one",
    "retries": "how often deliveries were put back after a failure",
    "reused": "of these layers, those that were compressed before, for another image of the same user",
    "running": "deliveries that run",
    "seconds": "how long it took; of `registry.throttled`, how long it will",
    "sent": "bytes that went over the wire, repetitions included",
    "size": "bytes: of the blob, of the blobs needed, of the job's image, of what its layers unpack to",
    "skipped": "layers that nobody here can look into: foreign, encrypted, or of no files",
    "socket": "the path of the main socket",
    "source": "where the job's bytes come from",
    "start": "the first byte",
    "state": "what it came to",
    "state_dir": "the directory of the database",
    "stop": "the byte after the last",
    "stream": "the id of the stream the events are numbered in",
    "succeeded": "deliveries succeeded",
    "superseded": "deliveries that a newer job got ahead of",
    "tag": "of the manifest, if it has one",
    "text": "what the library said",
    "traceback": "where in the code it happened",
    "uid": "whose job it is",
    "until": "when: RFC 3339, UTC",
    "uploaded": "blobs uploaded",
    "used": "bytes used of the budget",
    "version": "of pushd",
    "where": "what was being done",
    "whose": "`server` or `client`",
}
"""What each field says, with its unit."""

_EXPLAINED: Final = {
    "job": "the job's id, where there is one",
    "delivery": "the delivery's number, where there is one",
    "trace_id": "of the trace the job belongs to, where its submitter sent a `traceparent`",
}


def table() -> str:
    """Give the document, in Markdown."""
    return "\n".join([_ABOUT, *_events(), "", *_fields(), ""])


def _events() -> Iterator[str]:
    yield "## Events"
    yield ""
    yield "| event | level | priority | message | fields | MESSAGE_ID |"
    yield "|---|---|---|---|---|---|"
    for name, kind in sorted(CATALOGUE.items()):
        marks = "".join(f" *{mark}*" for mark, is_so in _marks(kind) if is_so)
        fields = ", ".join(sorted(kind.fields))
        yield (
            f"| `{name}`{marks} | {kind.level} | {priority(kind)} | {kind.message.replace('|', '&#124;')} | {fields} "
            f"| `{message_id(name)}` |"
        )


def _marks(kind: Kind) -> tuple[tuple[str, bool], ...]:
    return ("durable", kind.durable), ("canonical", kind.canonical)


def _fields() -> Iterator[str]:
    yield "## Fields"
    yield ""
    yield "| field | in the journal | says |"
    yield "|---|---|---|"
    for name, says in {**_EXPLAINED, **dict(sorted(FIELDS.items()))}.items():
        yield f"| `{name}` | `PUSHD_{name.upper()}` | {says} |"
