"""Reading from a registry: manifests whole, blobs as streams (OCI distribution spec 1.1, "Pull")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from pushd.errors import Code, RegistryError, RequestError, SourceError
from pushd.oci import media_types
from pushd.oci.digest import Digest
from pushd.oci.link import next_page
from pushd.oci.manifest import MAX_SIZE, too_large
from pushd.oci.ranges import content_begins
from pushd.oci.reply import refusal
from pushd.oci.scope import to_pull
from pushd.registry.calls import Call
from pushd.registry.speaking import Speaking
from pushd.registry.wire import TooLongError

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.registry.incoming import Incoming
    from pushd.registry.wire import Answer

_PAGES_MAX: Final = 100
"""Pages of one list of referrers."""
_LIST_MAX: Final = 16 << 20
"""Bytes of all its pages: ten thousand referrers, and more than go along with any image."""
_NO_API: Final = frozenset({400, 404, 405, 406, 501})
"""Answers that mean that there is no list of referrers to be had."""


class Blob:
    """A blob on its way here.

    Attributes:
        offset: where in the blob the next byte that is read lies: not where it was asked for, where a registry does
            not know of ranges.
    """

    def __init__(self, incoming: Incoming, offset: int) -> None:
        self._incoming = incoming
        self.offset = offset

    async def read(self) -> bytes:
        """Give the bytes that are there, waiting for the first of them; nothing at the end. Raises as `Incoming`."""
        piece = await self._incoming.read()
        self.offset += len(piece)
        return piece

    def close(self) -> None:
        """Let go of it. Idempotent."""
        self._incoming.close()


class Pulling(Speaking):
    """The part of `RegistryClient` that reads. For none of it more than the right to pull is asked for."""

    async def get_manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """Read the manifest that `reference`, a tag or digest, names (spec end-3).

        Returns:
            Its media type, as the registry says it, and its bytes, which have the digest the registry says.

        Raises:
            RegistryError: any other answer than 200, or none; `registry.digest_mismatch`.
            SourceError: `source.manifest_too_large`.
        """
        return self._manifest(await self._ask_manifest(repository, reference), repository, reference)

    async def find_manifest(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        """Read a manifest as `get_manifest` does; None when it is not there.

        Raises:
            RegistryError, SourceError: as there.
        """
        answer = await self._ask_manifest(repository, reference)
        if answer.status in self._settings.limits.absent:  # spec: 404
            return None
        return self._manifest(answer, repository, reference)

    async def get_referrers(self, repository: str, subject: Digest) -> tuple[bytes, ...] | None:
        """Read which manifests refer to `subject` (spec end-12a), page by page.

        Returns:
            The content of each page, an index; None when the registry does not have this API: 404 by the spec, and
            registries from before it have other ways of not knowing an address.

        Raises:
            RegistryError: any other answer, or none; `registry.malformed`, there is no end of them, or the next page
                is not the registry's own.
        """
        named = f"the referrers of {subject} in {self.name}/{repository}"
        url, pages = f"{self._base}/v2/{repository}/referrers/{subject}", list[bytes]()
        while len(pages) < _PAGES_MAX:
            answer = await self._send(
                repository, Call("GET", url, {"Accept": media_types.OCI_INDEX}, to_pull(repository))
            )
            if not pages and (answer.status in _NO_API or (answer.status == 200 and not _is_index(answer))):  # noqa: PLR2004
                return None
            if answer.status != 200:  # noqa: PLR2004 (spec end-12a)
                raise refusal(self._reply(answer), named, "for them")
            pages.append(answer.content)
            if sum(map(len, pages)) > _LIST_MAX:
                raise RegistryError(Code.REGISTRY_MALFORMED, named, f"are a list of more than {_LIST_MAX} bytes")
            following = next_page(answer.headers.getall("Link", ()))
            if following is None:
                return tuple(pages)
            url = urljoin(answer.url, following)
            if not self._way.ours(url):
                raise RegistryError(Code.REGISTRY_MALFORMED, named, "the registry leads to another host for more")
        raise RegistryError(Code.REGISTRY_MALFORMED, named, f"are on more than {_PAGES_MAX} pages")

    async def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Ask whether a blob is there with its size (spec end-2).

        Raises:
            RegistryError: the registry did not say.
        """
        call = Call("HEAD", self._blob_url(repository, blob), {}, to_pull(repository))
        reply = self._reply(await self._send(repository, call))
        if reply.status in self._settings.limits.absent:
            return False
        if reply.status != 200:  # noqa: PLR2004 (spec end-2)
            raise refusal(reply, f"{blob.digest} in {self.name}/{repository}", "whether it has the blob")
        return reply.length in (None, blob.size)

    async def get_blob(self, repository: str, blob: Descriptor, offset: int) -> Blob:
        """Begin to read a blob (spec end-2) at `offset`, bytes; it may begin before that.

        A storage that the registry leads to is followed, and told nothing of who we are.

        Raises:
            RegistryError: any other answer than 200 or 206, or none.
            SourceError: `source.blob_size`, it is longer or shorter than its descriptor says.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._blob_url(repository, blob)
        answer = await self._send(repository, Call("GET", url, headers, to_pull(repository), opens=True))
        subject = f"{blob.digest} in {self.name}/{repository}"
        if answer.incoming is None:
            raise refusal(self._reply(answer), subject, "for the blob")
        try:
            return Blob(answer.incoming, _begins(answer, blob, offset, subject))
        except BaseException:
            answer.incoming.close()
            raise

    async def _ask_manifest(self, repository: str, reference: str) -> Answer:
        headers = {"Accept": ", ".join(sorted(media_types.MANIFESTS))}
        call = Call("GET", self._manifest_url(repository, reference), headers, to_pull(repository))
        try:
            return await self._send(repository, call)
        except TooLongError:
            raise too_large(self._subject(repository, reference), MAX_SIZE + 1) from None

    def _manifest(self, answer: Answer, repository: str, reference: str) -> tuple[str, bytes]:
        subject = self._subject(repository, reference)
        if answer.status != 200:  # noqa: PLR2004 (spec end-3)
            raise refusal(self._reply(answer), subject, "for the manifest")
        self._check_digest(answer, reference, subject)
        return _media_type(answer), answer.content

    def _check_digest(self, answer: Answer, reference: str, subject: str) -> None:
        """Compare the bytes with the digest they were asked for by, and with the one the registry says they have."""
        named = answer.headers.get("Docker-Content-Digest")
        for text in (reference if ":" in reference else None, named):
            if text is None:
                continue
            try:
                wanted = Digest.parse(text)
            except RequestError as error:
                raise RegistryError(Code.REGISTRY_MALFORMED, subject, f"its digest header {error}") from error
            found = Digest.of(answer.content, wanted.algorithm)
            if found != wanted:
                detail = f"the registry sent {found} in place of {wanted}"
                raise RegistryError(Code.REGISTRY_DIGEST_MISMATCH, subject, detail)

    def _blob_url(self, repository: str, blob: Descriptor) -> str:
        return f"{self._base}/v2/{repository}/blobs/{blob.digest}"


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip()


def _is_index(answer: Answer) -> bool:
    return _media_type(answer) == media_types.OCI_INDEX


def _begins(answer: Answer, blob: Descriptor, offset: int, subject: str) -> int:
    """Give where in a blob an answer begins that was to begin at `offset`; raises as `get_blob` does."""
    begins, size = _extent(answer, subject)
    if begins not in (0, offset):
        detail = f"the registry sent it from byte {begins} on, when asked for it from byte {offset} on"
        raise RegistryError(Code.REGISTRY_MALFORMED, subject, detail)
    if size not in (None, blob.size):
        detail = f"has {size} bytes; its descriptor says {blob.size}"
        raise SourceError(Code.SOURCE_BLOB_SIZE, subject, detail)
    return begins


def _extent(answer: Answer, subject: str) -> tuple[int, int | None]:
    """Give where in a blob an answer begins, and the size of the whole, if it says."""
    if answer.status == 206:  # noqa: PLR2004 (RFC 9110, 15.3.7)
        part = content_begins(answer.headers.get("Content-Range"))
        if part is None:
            detail = "the registry sent a part of it and did not say which"
            raise RegistryError(Code.REGISTRY_MALFORMED, subject, detail)
        return part
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None  # noqa: PLR2004 (64 bits)
