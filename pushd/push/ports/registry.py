"""What the engine needs of registries: where the bytes go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.reply import Reply, Stored
    from pushd.oci.upload import Limits, Request
    from pushd.work import Asker, Check


class Body(Protocol):
    """The bytes of one request, pulled as the wire takes them.

    Attributes:
        length: bytes it will give; announced as Content-Length.
    """

    @property
    def length(self) -> int:
        """Bytes it will give."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces. Raising ends the request with the connection."""


class Stream(Protocol):
    """A blob that is being read, from one registry."""

    @property
    def offset(self) -> int:
        """Where in the blob the next byte lies that is read."""

    async def read(self) -> bytes:
        """Give the bytes that are there, waiting for the first of them; nothing at the end.

        Raises:
            RegistryError: `registry.interrupted`, `registry.stalled`.
        """

    def close(self) -> None:
        """Let go of it. Idempotent."""


class Registry(Protocol):
    """One registry, spoken to with one credential.

    Attributes:
        name: `host[:port]`, as in references.
        credential: which credential is used, by a stable name that is no secret (`anonymous`, `docker-config:alice`).
        limits: how uploads to it are done.
    """

    @property
    def name(self) -> str:
        """`host[:port]`."""

    @property
    def credential(self) -> str:
        """The credential's name."""

    @property
    def borrowed(self) -> bool:
        """Whether the credential is the submitter's own, and not the daemon's."""

    @property
    def accepted(self) -> bool:
        """Whether the credential was ever taken, as far as this life of the daemon knows."""

    @property
    def limits(self) -> Limits:
        """How uploads to it are done."""

    async def verify(self) -> bool | None:
        """Ask whether it takes the credential; None when it asks for none.

        Raises:
            RegistryError: it did not say.
        """

    async def head_manifest(self, repository: str, reference: str) -> Digest | None:
        """Ask which digest `reference` (a tag or digest) has; None when there is none (404).

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure.
        """

    async def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Stored:
        """Put exactly these bytes; give what the registry answered.

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure.
        """

    async def get_manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """Read the manifest that `reference`, a tag or digest, names; give its media type, and its bytes.

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure; `registry.digest_mismatch`.
            SourceError: `source.manifest_too_large`.
        """

    async def find_manifest(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        """Read a manifest as `get_manifest` does; None when there is none.

        Raises:
            RegistryError, SourceError: as there.
        """

    async def get_referrers(self, repository: str, subject: Digest) -> Sequence[bytes] | None:
        """Read which manifests refer to `subject`: indexes, one a page; None when the registry has no such API.

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure; `registry.malformed`.
        """

    async def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Ask whether a blob that is to be read is there with its size.

        Raises:
            RegistryError: the registry did not say.
        """

    async def get_blob(self, repository: str, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a blob at `offset`, bytes; what is given may begin before that.

        Raises:
            RegistryError: whatever else the registry answered, or the connection's failure.
            SourceError: `source.blob_size`.
        """

    async def perform(self, repository: str, request: Request, body: Body | bytes | None = None) -> Reply:
        """Send one request of an upload session and give the reply, whatever its status.

        Raises:
            RegistryError: the connection's failure (`registry.unresolved`, `.unreachable`, `.tls`, `.interrupted`),
                or credentials that could not be had.
        """

    async def diagnose(self, repository: str | None) -> Sequence[Check]:
        """Try how it is spoken to: name, connection, TLS, clock, API; and the right to push to `repository`, if given.

        What that begins at the registry is taken back. No failure of the registry is an error here.
        """


class Registries(Protocol):
    """All registries."""

    async def connect(self, name: str, *, repository: str, asker: Asker) -> Registry:
        """Give the registry `host[:port]`, with the credential that is the asker's to use there. No request is made.

        Raises:
            RegistryError: `registry.needs_credential`, theirs has expired or was refused before; others, the daemon's
                cannot be read.
            RequestError: `request.forbidden`, there is a credential, and it is not for this user and repository;
                `request.not_found`, they chose one they have not stored.
        """

    async def refused(self, name: str, *, repository: str, asker: Asker) -> None:
        """Forget the asker's own credential for a repository, if the registry does not take it any more."""

    def sweep(self) -> None:
        """Let go of the credentials and tokens nobody has asked for in a while."""
