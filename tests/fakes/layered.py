"""Images whose layers are given byte by byte: good ones in each compression, and those nobody should push."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zstandard

from pushd.oci.digest import Digest
from tests.fakes.images import CONFIG, LAYER, LAYER_GZIP, MANIFEST, Layout, entry
from tests.fakes.tars import archive, member

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LAYER_ZSTD = f"{LAYER}+zstd"


@dataclass(frozen=True, slots=True)
class Bytes:
    """One layer.

    Attributes:
        content: of its blob.
        tar: what the image's config says it unpacks to.
    """

    media_type: str
    content: bytes
    tar: bytes

    @property
    def digest(self) -> Digest:
        """What its blob is called."""
        return Digest.of(self.content)

    @classmethod
    def of(cls, tar: bytes, media_type: str = LAYER_GZIP) -> Bytes:
        """Compress a tar as the media type says."""
        packed = {
            LAYER: lambda: tar,
            LAYER_GZIP: lambda: gzip.compress(tar, mtime=0),
            LAYER_ZSTD: lambda: zstandard.ZstdCompressor().compress(tar),
        }
        return cls(media_type, packed[media_type](), tar)


GOOD = archive(
    member("./", kind=tarfile.DIRTYPE),
    member("usr/bin/app", bytes(range(256)) * 300),
    member("bin", kind=tarfile.SYMTYPE, target="usr/bin"),
    member("usr/bin/copy", kind=tarfile.LNKTYPE, target="usr/bin/app"),
    member("dev/null", kind=tarfile.CHRTYPE),
    member("etc/.wh.motd"),
)
TRAVERSAL = archive(member("usr/../../etc/cron.d/job", b"* * * * * root true\n"))

BAD = {
    "source.layer_diff_id": lambda: Bytes(LAYER_GZIP, gzip.compress(GOOD, mtime=0), archive(member("other"))),
    "source.layer_bomb": lambda: Bytes(LAYER_GZIP, b"".join(_bomb()), b""),
    "source.layer_invalid": lambda: Bytes.of(TRAVERSAL),
    "source.layer_media_type": lambda: Bytes(LAYER_ZSTD, gzip.compress(GOOD, mtime=0), GOOD),
}
"""Makes a layer for each thing that can be wrong with one, by the code it is refused with."""


def _bomb() -> Iterator[bytes]:
    """Give half a MiB that unpacks to half a GiB, piece by piece."""
    info = tarfile.TarInfo("zeros")
    info.size = 512 << 20
    squeeze = zlib.compressobj(wbits=31)
    yield squeeze.compress(info.tobuf())
    for _ in range(info.size >> 20):
        yield squeeze.compress(bytes(1 << 20))
    yield squeeze.compress(bytes(1024)) + squeeze.flush()


def build_layered(path: Path, layers: Sequence[Bytes], *, config: dict[str, Any] | None = None) -> Layout:
    """Build the layout of one image, `latest`, of these layers, with a config that describes them, or this one."""
    path.mkdir()
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    layout = Layout(path)
    blobs = [layout.put(layer.content, layer.media_type) for layer in layers]
    diff_ids = [str(Digest.of(layer.tar)) for layer in layers]
    described = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    written = layout.put_json(described if config is None else config, CONFIG)
    listed = [entry(blob) for blob in blobs]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": entry(written), "layers": listed}
    root = layout.put_json(manifest, MANIFEST)
    layout.write_index(entry(root, annotations={"org.opencontainers.image.ref.name": "latest"}))
    return layout
