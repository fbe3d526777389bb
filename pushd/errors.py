"""Every error pushd raises on purpose: one hierarchy, one table of stable codes.

Attributes carry the facts; `__str__` builds the sentence a person reads: what happened, to what, what to do next.
A code never changes its meaning once released: clients, alerts and scripts match on it.
"""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class Origin(StrEnum):
    """Where an error comes from, so that a person knows whom to ask."""

    REQUEST = "request"
    """The caller: what was asked for cannot be done as asked."""
    SOURCE = "source"
    """The image: what was to be pushed is missing, malformed or changed, or the registry it is in does not give it."""
    REGISTRY = "registry"
    """The destination, or the network on the way to it."""
    STORE = "store"
    """The daemon's own database or disk."""
    DAEMON = "daemon"
    """The daemon itself: its configuration, its life cycle, or a defect in it."""


@unique
class Code(StrEnum):
    """Stable error codes, `<origin>.<what>`."""

    REQUEST_MALFORMED = "request.malformed"
    REQUEST_INVALID_REFERENCE = "request.invalid_reference"
    REQUEST_INVALID_DIGEST = "request.invalid_digest"
    REQUEST_TOO_LARGE = "request.too_large"
    REQUEST_FORBIDDEN = "request.forbidden"
    REQUEST_NOT_FOUND = "request.not_found"
    REQUEST_METHOD = "request.method_not_allowed"
    REQUEST_CONFLICT = "request.idempotency_conflict"
    REQUEST_CANCELLED = "request.cancelled"
    REQUEST_DEADLINE = "request.deadline"
    REQUEST_STATE = "request.state"
    REQUEST_LIMIT = "request.limit"
    REQUEST_PATH_REFUSED = "request.path_refused"
    REQUEST_EVENTS_GONE = "request.events_gone"
    REQUEST_OFFSET = "request.offset"
    REQUEST_CREDENTIAL_REFUSED = "request.credential_refused"
    REQUEST_TOGETHER = "request.together"

    SOURCE_UNSUPPORTED = "source.unsupported"
    SOURCE_NOT_FOUND = "source.not_found"
    SOURCE_UNREADABLE = "source.unreadable"
    SOURCE_FORBIDDEN = "source.forbidden"
    SOURCE_LAYOUT_INVALID = "source.layout_invalid"
    SOURCE_ARCHIVE_INVALID = "source.archive_invalid"
    SOURCE_AMBIGUOUS = "source.ambiguous"
    SOURCE_REFERENCE_UNKNOWN = "source.reference_unknown"
    SOURCE_PLATFORM_UNKNOWN = "source.platform_unknown"
    SOURCE_MANIFEST_INVALID = "source.manifest_invalid"
    SOURCE_MANIFEST_TOO_LARGE = "source.manifest_too_large"
    SOURCE_MANIFEST_CYCLE = "source.manifest_cycle"
    SOURCE_MANIFEST_UNSUPPORTED = "source.manifest_unsupported"
    SOURCE_BLOB_MISSING = "source.blob_missing"
    SOURCE_BLOB_NOT_REGULAR = "source.blob_not_regular"
    SOURCE_BLOB_SIZE = "source.blob_size"
    SOURCE_BLOB_DIGEST = "source.blob_digest"
    SOURCE_LAYER_MEDIA_TYPE = "source.layer_media_type"
    SOURCE_LAYER_INVALID = "source.layer_invalid"
    SOURCE_LAYER_BOMB = "source.layer_bomb"
    SOURCE_LAYER_DIFF_ID = "source.layer_diff_id"
    SOURCE_CHANGED = "source.changed"
    SOURCE_UNREACHABLE = "source.unreachable"
    SOURCE_INTERRUPTED = "source.interrupted"
    SOURCE_UNAVAILABLE = "source.unavailable"
    SOURCE_THROTTLED = "source.throttled"
    SOURCE_UNAUTHORIZED = "source.unauthorized"
    SOURCE_DENIED = "source.denied"
    SOURCE_NEEDS_CREDENTIAL = "source.needs_credential"

    REGISTRY_UNRESOLVED = "registry.unresolved"
    REGISTRY_UNREACHABLE = "registry.unreachable"
    REGISTRY_TLS = "registry.tls"
    REGISTRY_TLS_UNTRUSTED = "registry.tls_untrusted"
    REGISTRY_TLS_EXPIRED = "registry.tls_expired"
    REGISTRY_TLS_NAME = "registry.tls_name"
    REGISTRY_TLS_CLIENT = "registry.tls_client_certificate"
    REGISTRY_TLS_FILES = "registry.tls_files"
    REGISTRY_TLS_KEY = "registry.tls_key_mismatch"
    REGISTRY_PROXY = "registry.proxy"
    REGISTRY_ADDRESS_REFUSED = "registry.address_refused"
    REGISTRY_DOWNGRADE_REFUSED = "registry.downgrade_refused"
    REGISTRY_INTERRUPTED = "registry.interrupted"
    REGISTRY_STALLED = "registry.stalled"
    REGISTRY_UNAVAILABLE = "registry.unavailable"
    REGISTRY_THROTTLED = "registry.throttled"
    REGISTRY_UNAUTHORIZED = "registry.unauthorized"
    REGISTRY_DENIED = "registry.denied"
    REGISTRY_NOT_FOUND = "registry.not_found"
    REGISTRY_NAME_INVALID = "registry.name_invalid"
    REGISTRY_REDIRECTED = "registry.redirected"
    REGISTRY_REFUSED = "registry.refused"
    REGISTRY_MALFORMED = "registry.malformed"
    REGISTRY_UPLOAD_LOST = "registry.upload_lost"
    REGISTRY_DIGEST_MISMATCH = "registry.digest_mismatch"
    REGISTRY_MANIFEST_INVALID = "registry.manifest_invalid"
    REGISTRY_BLOB_UNKNOWN = "registry.blob_unknown"
    REGISTRY_TAG_EXISTS = "registry.tag_exists"
    REGISTRY_CREDENTIALS = "registry.credentials"
    REGISTRY_CREDENTIALS_UNREADABLE = "registry.credentials_unreadable"
    REGISTRY_CREDENTIALS_MALFORMED = "registry.credentials_malformed"
    REGISTRY_CREDENTIALS_ENCODING = "registry.credentials_encoding"
    REGISTRY_HELPER_MISSING = "registry.helper_missing"
    REGISTRY_HELPER_TIMEOUT = "registry.helper_timeout"
    REGISTRY_HELPER_FAILED = "registry.helper_failed"
    REGISTRY_HELPER_MALFORMED = "registry.helper_malformed"
    REGISTRY_REALM_REFUSED = "registry.realm_refused"
    REGISTRY_TOKEN_MISSING = "registry.token_missing"  # noqa: S105 (a code)
    REGISTRY_TOKEN_LIFE = "registry.token_life"  # noqa: S105 (a code)
    REGISTRY_TOKEN_TOO_LONG = "registry.token_too_long"  # noqa: S105 (a code)
    REGISTRY_NEEDS_CREDENTIAL = "registry.needs_credential"

    STORE_FULL = "store.full"
    STORE_BUDGET = "store.budget"
    STORE_DAMAGED = "store.damaged"
    STORE_NEWER = "store.newer"
    STORE_UNAVAILABLE = "store.unavailable"
    STORE_CLAIM_LOST = "store.claim_lost"

    DAEMON_CONFIG = "daemon.config"
    DAEMON_SOCKET = "daemon.socket"
    DAEMON_UNREACHABLE = "daemon.unreachable"
    DAEMON_INTERNAL = "daemon.internal"
    DAEMON_CRASH_LOOP = "daemon.crash_loop"

    @property
    def origin(self) -> Origin:
        """Whom the code is about: the part before the dot."""
        return Origin(self.value.partition(".")[0])

    @property
    def retryable(self) -> bool:
        """Whether the same thing, tried again later, may well succeed."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        Code.SOURCE_UNREACHABLE,
        Code.SOURCE_INTERRUPTED,
        Code.SOURCE_UNAVAILABLE,
        Code.SOURCE_THROTTLED,
        Code.SOURCE_NEEDS_CREDENTIAL,
        Code.REGISTRY_UNRESOLVED,
        Code.REGISTRY_UNREACHABLE,
        Code.REGISTRY_INTERRUPTED,
        Code.REGISTRY_STALLED,
        Code.REGISTRY_UNAVAILABLE,
        Code.REGISTRY_THROTTLED,
        Code.REGISTRY_UPLOAD_LOST,
        Code.REGISTRY_BLOB_UNKNOWN,
        Code.REGISTRY_HELPER_TIMEOUT,
        Code.REGISTRY_HELPER_FAILED,
        Code.REGISTRY_CREDENTIALS_MALFORMED,
        Code.REGISTRY_CREDENTIALS_UNREADABLE,
        Code.REGISTRY_NEEDS_CREDENTIAL,
        Code.STORE_FULL,
        Code.STORE_BUDGET,
    }
)


NEEDING = frozenset({Code.REGISTRY_NEEDS_CREDENTIAL, Code.SOURCE_NEEDS_CREDENTIAL})
"""What goes on when somebody brings a credential, for where it is to go or for where it is read."""


class PushdError(Exception):
    """The base of all errors raised on purpose.

    Attributes:
        code: what went wrong, stable.
        subject: the thing it happened to: a path, a reference, a digest, a field.
        detail: what happened to it, without a full stop.
        hint: the next step for whoever reads it, or empty.
        retry_after: seconds the peer asked to be left alone, or None.
    """

    def __init__(
        self, code: Code, subject: str, detail: str, *, hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(code, subject, detail)
        self.code = code
        self.subject = subject
        self.detail = detail
        self.hint = hint
        self.retry_after = retry_after

    @property
    def origin(self) -> Origin:
        """Whom the error is about."""
        return self.code.origin

    @property
    def retryable(self) -> bool:
        """Whether the same thing, tried again later, may well succeed."""
        return self.code.retryable

    def __str__(self) -> str:
        text = f"{self.subject}: {self.detail}" if self.subject else self.detail
        return f"{text}; {self.hint}" if self.hint else text


class RequestError(PushdError):
    """What the caller asked for cannot be done as asked."""


class OffsetError(RequestError):
    """Bytes were brought that do not belong where the file ends: `request.offset`.

    Attributes:
        offset: where it ends.
    """

    def __init__(self, subject: str, offset: int) -> None:
        super().__init__(Code.REQUEST_OFFSET, subject, f"ends at byte {offset}", hint="go on from there")
        self.offset = offset


class SourceError(PushdError):
    """The image to be pushed is missing, malformed, or not what it says it is."""


class RegistryError(PushdError):
    """The registry refused, failed, or could not be reached."""


class StoreError(PushdError):
    """The database or the disk under it failed."""


class DaemonError(PushdError):
    """The daemon's configuration, socket or life cycle is in the way."""
