"""One layer, checked as its bytes come: its media type, its tar, and the digest its image's config gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, SourceError
from pushd.inspection import compression
from pushd.inspection.compression import Compression
from pushd.inspection.member import RefusedError
from pushd.inspection.tar_check import TarCheck
from pushd.inspection.unpacking import UNPACKINGS, CorruptError
from pushd.oci.magic import HEAD
from pushd.oci.manifest import REBUILD
from pushd.oci.tar import MalformedTarError
from pushd.oci.text import printable, quoted

if TYPE_CHECKING:
    from pushd.inspection.unpacking import Unpacking
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest

_DETAIL: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may come out of a compressed layer.

    Attributes:
        ratio: times its own bytes. Files give 2 to 5 times as much, logs 50; gzip cannot give more than 1032 times.
        allowance: bytes beside that, so that a small layer may be one file of zeros.
        most: bytes of any layer.
    """

    ratio: int = 200
    allowance: int = 256 << 20
    most: int = 64 << 30

    def limit(self, size: int) -> int:
        """Give the bytes that may come out of `size` bytes."""
        return min(self.most, self.allowance + self.ratio * size)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that is to be checked.

    Attributes:
        blob: its descriptor.
        compression: as its media type says.
        diff_id: the digest of its tar; None where nothing says what it is to be, and only its media type is compared.
    """

    blob: Descriptor
    compression: Compression
    diff_id: Digest | None

    @property
    def subject(self) -> str:
        """What errors call it."""
        return f"layer {self.blob.digest}"


def check_head(layer: Layer, head: bytes) -> None:
    """Compare a layer's first bytes, `HEAD` of them or all there are, with its media type.

    Raises:
        SourceError: `source.layer_media_type`.
    """
    found = compression.seen(head)
    if found is not layer.compression:
        detail = f"is {found if head else 'empty'}; its media type is {printable(layer.blob.media_type, _DETAIL)}"
        raise SourceError(Code.SOURCE_LAYER_MEDIA_TYPE, layer.subject, detail, hint=REBUILD)


class LayerCheck:
    """Is fed the bytes of a layer that has a diff_id, cut in any way, and then told that they have ended.

    Attributes:
        size: bytes that came out of it so far.
    """

    def __init__(self, layer: Layer, diff_id: Digest, bounds: Bounds) -> None:
        self._layer = layer
        self._diff_id = diff_id
        self._bounds = bounds
        self._head = b""
        self._unpacking: Unpacking | None = None  # known once its first bytes are what they are said to be
        self._tar = TarCheck()
        self._hasher = diff_id.hasher()
        self.size = 0

    def feed(self, content: bytes) -> None:
        """Take the next bytes.

        Raises:
            SourceError: `source.layer_media_type`, `.layer_invalid`, `.layer_bomb`.
        """
        if self._unpacking is None:
            self._head += content
            if len(self._head) < HEAD:
                return
            content = self._begin()
        self._unpack(content)

    def finish(self) -> None:
        """Take the end.

        Raises:
            SourceError: as `feed` does; `source.layer_diff_id`.
        """
        if self._unpacking is None:
            self._unpack(self._begin())
        assert self._unpacking is not None  # noqa: S101 (for mypy: begun right above)
        try:
            self._unpacking.finish()
            self._tar.finish()
        except (CorruptError, MalformedTarError) as error:
            raise self._invalid(error) from error
        found = self._hasher.hexdigest()
        if found != self._diff_id.encoded:
            detail = f"unpacks to {self._diff_id.algorithm}:{found}; its image's config says {self._diff_id}"
            raise SourceError(Code.SOURCE_LAYER_DIFF_ID, self._layer.subject, detail, hint=REBUILD)

    def _begin(self) -> bytes:
        """Look at the first bytes, and give them: now it is known what they are."""
        check_head(self._layer, self._head[:HEAD])
        self._unpacking = UNPACKINGS[self._layer.compression]()
        return self._head

    def _unpack(self, content: bytes) -> None:
        assert self._unpacking is not None  # noqa: S101 (for mypy: asked for only when it is there)
        try:
            for piece in self._unpacking.feed(content):
                self._admit(len(piece))
                self._hasher.update(piece)
                self._tar.feed(piece)
        except (CorruptError, MalformedTarError, RefusedError) as error:
            raise self._invalid(error) from error

    def _admit(self, length: int) -> None:
        self.size += length
        blob = self._layer.blob
        limit = self._bounds.limit(blob.size)
        if self.size > limit and self._layer.compression is not Compression.NONE:
            detail = f"has {blob.size} bytes and unpacks to more than {limit}"
            hint = "if it is meant to, push it without full validation"
            raise SourceError(Code.SOURCE_LAYER_BOMB, self._layer.subject, detail, hint=hint)

    def _invalid(self, error: CorruptError | MalformedTarError | RefusedError) -> SourceError:
        subject, detail = self._layer.subject, printable(str(error), _DETAIL)
        if isinstance(error, RefusedError):
            subject, detail = f"{subject}, member {quoted(error.name)}", error.detail
        elif isinstance(error, CorruptError):
            detail = f"cannot be decompressed: {detail}"
        return SourceError(Code.SOURCE_LAYER_INVALID, subject, detail, hint=REBUILD)
