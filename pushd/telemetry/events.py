"""The event catalogue: everything pushd ever tells, by name, in one place.

An event is told once and heard everywhere: the log prints it, the event stream carries it, a terminal draws from it.
Names are an interface: they are added to, never changed. A *durable* event is written in the transaction of the
change it tells, and numbered by it; the others are told and forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Value = str | int | float | bool | None
"""What a field of an event may hold: what JSON and the journal both can."""


@unique
class Level(StrEnum):
    """How loudly an event is told."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the catalogue.

    Attributes:
        name: dotted, stable.
        level: how loudly it is told.
        message: the sentence for a person, a `str.format` template over the fields and `job`.
        fields: the names of all the fields the event may carry; those in `message` are required.
        durable: whether it is stored and numbered.
        canonical: whether it is the one line that sums up what has ended, with all its facts: a log that must leave
            something out keeps such lines, and errors, to the last.
        notable: whether somebody who watches for misuse looks for it although nothing is wrong.
    """

    name: str
    level: Level
    message: str
    fields: frozenset[str]
    durable: bool = False
    canonical: bool = False
    notable: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        kind: its entry in the catalogue.
        at: when, in UTC.
        job: the job's id, where there is one.
        delivery: the delivery's id, where there is one.
        fields: the facts, under names the catalogue allows.
        seq: its number in the stream, once stored; None for what is not durable.
        uid: whose job it is about; None for the daemon's own affairs, which only administrators are told of.
        trace: the id of the trace the job belongs to, where its submitter named one.

    Raises:
        ValueError: a field is not in the catalogue (a defect of ours, found by any test that emits it).
    """

    kind: Kind
    at: datetime
    job: str | None = None
    delivery: int | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)
    seq: int | None = None
    uid: int | None = field(default=None, compare=False)
    trace: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        unknown = self.fields.keys() - self.kind.fields
        if unknown:
            raise ValueError(f"{self.kind.name}: not in the catalogue: {', '.join(sorted(unknown))}")

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return self.kind.message.format_map({**self.fields, "job": self.job})


CATALOGUE: dict[str, Kind] = {}
"""All kinds by name."""


def _kind(
    name: str,
    level: Level,
    message: str,
    *fields: str,
    durable: bool = False,
    canonical: bool = False,
    notable: bool = False,
) -> Kind:
    kind = CATALOGUE[name] = Kind(name, level, message, frozenset(fields), durable, canonical, notable)
    return kind


DAEMON_STARTED = _kind(
    "daemon.started", Level.INFO, "pushd {version} serves {socket}; {requeued} deliveries go on",
    "version", "socket", "state_dir", "epoch", "requeued", "pid",
)  # fmt: skip
DAEMON_STOPPING = _kind("daemon.stopping", Level.INFO, "stopping: {reason}", "reason", "running")
DAEMON_STOPPED = _kind("daemon.stopped", Level.INFO, "stopped after {seconds} s", "seconds")
DAEMON_RELOADED = _kind(
    "daemon.reloaded", Level.INFO, "the configuration was read again; changed: {changed}", "changed", "restart"
)
DAEMON_RELOAD_REFUSED = _kind(
    "daemon.reload_refused", Level.ERROR, "the configuration as it is now is not taken, the old one stays: {error}",
    "error",
)  # fmt: skip
DAEMON_FAULT = _kind(
    "daemon.fault", Level.ERROR, "a defect in pushd, please report it: {error}", "error", "where", "traceback"
)

LIBRARY_MESSAGE = _kind("library.message", Level.WARNING, "{logger}: {text}", "logger", "text", "traceback")
LIBRARY_FAILURE = _kind("library.failure", Level.ERROR, "{logger}: {text}", "logger", "text", "traceback")

LOG_SUPPRESSED = _kind(
    "log.suppressed", Level.WARNING, "{lines} lines were held back, so many came at once: {kinds}",
    "lines", "kinds",
)  # fmt: skip
LOG_LOST = _kind("log.lost", Level.WARNING, "{lines} lines are lost: nobody took them in time", "lines")

STORE_FAILED = _kind("store.failed", Level.ERROR, "{where}: {error}; trying again", "where", "code", "error")
STORE_SLOW = _kind(
    "store.slow", Level.WARNING, "the disk took {seconds} s to keep what happened: everything waits for it", "seconds"
)

JOB_SUBMITTED = _kind(
    "job.submitted", Level.INFO, "job {job}: {source} to {destinations} destinations, {size} bytes",
    "source", "destinations", "size", "digest", "uid", "request_id", durable=True,
)  # fmt: skip
JOB_FINISHED = _kind(
    "job.finished", Level.INFO, "job {job} {state} in {seconds} s",
    "state", "seconds", "succeeded", "superseded", "failed", "cancelled", "size", "digest", "uid", "source",
    "sent", "resumed", "retries", "interruptions", "uploaded", "mounted", "present", durable=True, canonical=True,
)  # fmt: skip

JOB_READY = _kind(
    "job.ready", Level.INFO, "job {job}: all {destinations} destinations are ready, the tags move", "destinations",
    durable=True,
)  # fmt: skip
IMAGE_COMPRESSED = _kind(
    "image.compressed", Level.INFO, "job {job}: {layers} layers of {bytes_before} bytes are {bytes_after} bytes now",
    "layers", "reused", "bytes_before", "bytes_after", "seconds", "encoding", "digest", durable=True,
)  # fmt: skip

JOB_PROGRESS = _kind(
    "job.progress", Level.INFO, "job {job}: {done} of {size} bytes, {rate} bytes/s", "done", "size", "sent", "rate"
)

JOB_PAUSED = _kind("job.paused", Level.INFO, "job {job} is paused", "by", durable=True)
JOB_RESUMED = _kind("job.resumed", Level.INFO, "job {job} goes on", "by", durable=True)
JOB_RETRIED = _kind(
    "job.retried", Level.INFO, "job {job}: {deliveries} deliveries are tried again", "deliveries", "by", durable=True
)
JOBS_PRUNED = _kind(
    "jobs.pruned", Level.INFO, "{jobs} finished jobs and {events} events are past their time and gone", "jobs", "events"
)

IMAGE_VALIDATED = _kind(
    "image.validated", Level.INFO, "job {job}: {layers} layers are as they should be, {size} bytes in {seconds} s",
    "digest", "layers", "skipped", "size", "seconds", durable=True,
)  # fmt: skip

QUEUE_OLD = _kind(
    "queue.old", Level.WARNING, "{jobs} jobs wait for more than {limit} s, the oldest is {job}, for {seconds} s",
    "jobs", "limit", "seconds",
)  # fmt: skip

CREDENTIALS_EXPOSED = _kind(
    "credentials.exposed", Level.WARNING,
    "{file} holds secrets and is open to everybody on this machine (mode {mode}): chmod o= it", "file", "mode",
)  # fmt: skip

REGISTRY_PAUSED = _kind(
    "registry.paused", Level.WARNING, "nothing goes to {registry} until it is resumed", "registry", "by", durable=True
)
REGISTRY_RESUMED = _kind(
    "registry.resumed", Level.INFO, "{registry} is served again", "registry", "by", durable=True, notable=True
)
REGISTRY_THROTTLED = _kind(
    "registry.throttled", Level.WARNING, "{registry} refuses requests as too many: nothing goes there for {seconds} s",
    "registry", "seconds", "asked",
)  # fmt: skip
REGISTRY_SLOW = _kind(
    "registry.slow", Level.WARNING, "{registry} took {seconds} s to store {digest}",
    "registry", "destination", "digest", "size", "seconds",
)  # fmt: skip
CERTIFICATE_EXPIRING = _kind(
    "certificate.expiring", Level.WARNING, "the {whose} certificate at {registry} expires in {days} days, at {until}",
    "registry", "whose", "file", "days", "until",
)  # fmt: skip
REGISTRY_INSECURE = _kind(
    "registry.insecure", Level.WARNING, "the certificate of {registry} is not looked at", "registry"
)

CREDENTIAL_STORED = _kind(
    "credential.stored", Level.INFO, "uid {uid} stored the login {name} for {registry}",
    "uid", "name", "registry", durable=True, notable=True,
)  # fmt: skip
CREDENTIAL_REMOVED = _kind(
    "credential.removed", Level.INFO, "uid {uid} removed the login {name} for {registry}",
    "uid", "name", "registry", durable=True, notable=True,
)  # fmt: skip
CREDENTIAL_SPENT = _kind(
    "credential.spent", Level.WARNING, "a credential of uid {uid} for {registry} {reason}, and is forgotten",
    "uid", "name", "registry", "reason", durable=True,
)  # fmt: skip

SPOOL_CREATED = _kind("spool.created", Level.DEBUG, "spool {entry} for uid {uid}", "entry", "uid", "size")
SPOOL_REMOVED = _kind("spool.removed", Level.DEBUG, "spool {entry} is gone: {reason}", "entry", "uid", "reason")
DISK_SHORT = _kind(
    "disk.short", Level.WARNING, "short of disk: {refused} refused; {detail}", "refused", "detail", "free", "used"
)
DISK_RELIEVED = _kind("disk.relieved", Level.INFO, "enough disk again: everything is accepted", "free", "used")

STREAM_BOOKMARK = _kind("stream.bookmark", Level.DEBUG, "everything up to here was told", "stream")

_ENDED = (
    "destination", "registry", "attempt", "retries", "seconds", "size", "sent", "resumed", "interruptions",
    "uploaded", "mounted", "present", "uid", "credential",
)  # fmt: skip
"""What is told of every delivery that has ended."""

DELIVERY_STARTED = _kind(
    "delivery.started", Level.INFO, "to {destination}, attempt {attempt}",
    "destination", "registry", "attempt", durable=True,
)  # fmt: skip
DELIVERY_PLANNED = _kind(
    "delivery.planned", Level.DEBUG, "to {destination}: {blobs} blobs of {size} bytes, {manifests} manifests",
    "destination", "registry", "blobs", "size", "manifests", durable=True,
)  # fmt: skip
DELIVERY_HELD = _kind(
    "delivery.held", Level.WARNING, "to {destination} waits until {until}: {reason}",
    "destination", "registry", "attempt", "until", "code", "reason", durable=True,
)  # fmt: skip
DELIVERY_HEALING = _kind(
    "delivery.healing", Level.WARNING, "{destination} lacks what it said it has; {blobs} blobs are sent for real",
    "destination", "registry", "blobs",
)  # fmt: skip
DELIVERY_REQUEUED = _kind(
    "delivery.requeued", Level.INFO, "to {destination} is back in the queue",
    "destination", "registry", "attempt", durable=True,
)  # fmt: skip
DELIVERY_PAUSED = _kind(
    "delivery.paused", Level.INFO, "to {destination} is paused",
    "destination", "registry", "attempt", durable=True,
)  # fmt: skip
DELIVERY_READY = _kind(
    "delivery.ready", Level.INFO, "to {destination} is ready but for its tag; destinations that are not: {others}",
    "destination", "registry", "attempt", "others", durable=True,
)  # fmt: skip
DELIVERY_SUCCEEDED = _kind(
    "delivery.succeeded", Level.INFO, "{destination} is {digest}, {sent} bytes sent in {seconds} s",
    *_ENDED, "digest", durable=True, canonical=True,
)  # fmt: skip
DELIVERY_SUPERSEDED = _kind(
    "delivery.superseded", Level.INFO, "{destination} superseded: a newer job tagged it first, nothing was overwritten",
    *_ENDED, durable=True, canonical=True,
)  # fmt: skip
DELIVERY_FAILED = _kind(
    "delivery.failed", Level.ERROR, "to {destination} failed: {reason}",
    *_ENDED, "code", "reason", durable=True, canonical=True,
)  # fmt: skip
DELIVERY_CANCELLED = _kind(
    "delivery.cancelled", Level.INFO, "to {destination} cancelled", *_ENDED, durable=True, canonical=True
)

TRANSFER_STARTED = _kind(
    "transfer.started", Level.DEBUG, "{digest} to {destination}",
    "digest", "destination", "registry", "size", "resumed",
)  # fmt: skip
TRANSFER_FINISHED = _kind(
    "transfer.finished", Level.INFO, "{digest} {state} at {destination}, {sent} of {size} bytes sent in {seconds} s",
    "digest", "destination", "registry", "media_type", "size", "state", "sent", "seconds", "resumed", "interruptions",
    "form", "attempt", "uid", "credential", durable=True, canonical=True,
)  # fmt: skip
TRANSFER_PROGRESS = _kind(
    "transfer.progress", Level.DEBUG, "{digest}: {done} of {size} bytes",
    "digest", "destination", "registry", "size", "done", "sent", "state",
)  # fmt: skip
UPLOAD_INTERRUPTED = _kind(
    "blob.upload.interrupted", Level.WARNING, "{digest} to {destination} interrupted: {reason}; asking where it stands",
    "digest", "destination", "registry", "code", "reason", "offset",
)  # fmt: skip
UPLOAD_RESTARTED = _kind(
    "blob.upload.restarted", Level.WARNING, "{digest} to {destination} starts over: {reason}",
    "digest", "destination", "registry", "reason", "offset", "form", "advice",
)  # fmt: skip
UPLOAD_CHUNK = _kind(
    "blob.upload.chunk", Level.DEBUG, "{digest} bytes {start} to {stop}",
    "digest", "destination", "registry", "start", "stop", "seconds",
)  # fmt: skip
UPLOAD_COMMITTED = _kind(
    "blob.upload.committed", Level.DEBUG, "{digest} is stored at {destination}, {seconds} s after its last byte",
    "digest", "destination", "registry", "seconds",
)  # fmt: skip
MANIFEST_PUT = _kind(
    "manifest.put", Level.INFO, "{digest} put to {destination}",
    "digest", "destination", "registry", "media_type", "size", "tag",
)  # fmt: skip
