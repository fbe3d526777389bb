"""A layer is what its media type and its image's config say, or refused by its digest, with bounded memory and work."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.inspection.compression import Compression, said
from pushd.inspection.layer import Bounds, Layer, LayerCheck
from pushd.inspection.unpacking import Gzip, Zstd
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from tests.fakes.tars import archive, member

if TYPE_CHECKING:
    from collections.abc import Callable

OCI = "application/vnd.oci.image.layer.v1.tar"
DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
TAR = archive(member("bin/sh", random.Random(7).randbytes(3000)), member("etc/passwd", b"root" * 1000))
SKIPPABLE = b"\x5f\x2a\x4d\x18\x04\x00\x00\x00abcd"


def squeeze(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    OCI: bytes,
    f"{OCI}+gzip": gzip.compress,
    f"{OCI}+zstd": squeeze,
    DOCKER: bytes,
    f"{DOCKER}.gzip": gzip.compress,
    f"{DOCKER}.zstd": squeeze,
}
GZIP, ZSTD = f"{OCI}+gzip", f"{OCI}+zstd"


def check(
    content: bytes, media_type: str, *, tar: bytes = TAR, size: int = 1 << 18, bounds: Bounds | None = None
) -> LayerCheck:
    compression = said(media_type)
    assert compression is not None
    diff_id = Digest.of(tar)
    blob = Descriptor(media_type, Digest.of(content), len(content))
    layer = LayerCheck(Layer(blob, compression, diff_id), diff_id, bounds or Bounds())
    for start in range(0, len(content), size):
        layer.feed(content[start : start + size])
    layer.finish()
    return layer


def refusal(content: bytes, media_type: str, **more: bytes) -> SourceError:
    with pytest.raises(SourceError) as caught:
        check(content, media_type, **more)  # type: ignore[arg-type]  # only the tar is given
    error = caught.value
    assert str(Digest.of(content)) in error.subject
    assert error.hint
    assert not error.retryable
    return error


@pytest.mark.parametrize("media_type", PACKED)
@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 18])
def test_a_good_layer_passes_however_it_is_cut(media_type: str, size: int) -> None:
    assert check(PACKED[media_type](TAR), media_type, size=size).size == len(TAR)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (gzip.compress(TAR[:700], mtime=0) + gzip.compress(TAR[700:], mtime=0), GZIP),
        (gzip.compress(TAR, mtime=0) + gzip.compress(b"", mtime=0), GZIP),  # as eStargz ends
        (squeeze(TAR[:700]) + squeeze(TAR[700:]), ZSTD),
        (squeeze(TAR) + SKIPPABLE, ZSTD),  # as zstd:chunked ends
        (SKIPPABLE + squeeze(TAR), ZSTD),
    ],
)
def test_parts_one_behind_the_other_are_one_layer(content: bytes, media_type: str) -> None:
    for size in (1, 77, 1 << 18):
        check(content, media_type, size=size)


def test_a_layer_without_any_files_passes() -> None:
    for media_type, pack in PACKED.items():
        check(pack(bytes(1024)), media_type, tar=bytes(1024))
    check(b"", OCI, tar=b"")


@pytest.mark.parametrize(
    ("content", "media_type", "looks"),
    [
        (TAR, GZIP, "not compressed"),
        (squeeze(TAR), GZIP, "zstd"),
        (gzip.compress(TAR, mtime=0), ZSTD, "gzip"),
        (gzip.compress(TAR, mtime=0), OCI, "gzip"),
        (squeeze(TAR), DOCKER, "zstd"),
        (b"", GZIP, "empty"),
        (b"\x1f", GZIP, "not compressed"),
    ],
)
def test_what_its_media_type_does_not_say_is_refused(content: bytes, media_type: str, looks: str) -> None:
    error = refusal(content, media_type)
    assert error.code is Code.SOURCE_LAYER_MEDIA_TYPE
    assert error.detail == f"is {looks}; its media type is {media_type}"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (gzip.compress(TAR, mtime=0)[:-1], GZIP),
        (gzip.compress(TAR, mtime=0)[:100], GZIP),
        (gzip.compress(TAR, mtime=0) + b"\0", GZIP),
        (gzip.compress(TAR, mtime=0) + b"rubbish", GZIP),
        (gzip.compress(TAR, mtime=0)[:-8] + bytes(8), GZIP),
        (squeeze(TAR)[:-1], ZSTD),
        (squeeze(TAR)[:100], ZSTD),
        (squeeze(TAR) + b"\0", ZSTD),
        (squeeze(TAR) + b"rubbish", ZSTD),
        (squeeze(TAR)[:-4] + bytes(4), ZSTD),
        (SKIPPABLE[:-1], ZSTD),
    ],
)
def test_what_cannot_be_decompressed_to_its_very_end_is_refused(content: bytes, media_type: str) -> None:
    error = refusal(content, media_type)
    assert error.code is Code.SOURCE_LAYER_INVALID
    assert error.detail.startswith("cannot be decompressed: ")


@pytest.mark.parametrize("media_type", PACKED)
def test_what_is_another_tar_than_the_config_says_is_refused(media_type: str) -> None:
    other = archive(member("bin/sh", b"another"))
    error = refusal(PACKED[media_type](other), media_type)
    assert error.code is Code.SOURCE_LAYER_DIFF_ID
    assert error.detail == f"unpacks to {Digest.of(other)}; its image's config says {Digest.of(TAR)}"


def test_a_refused_member_is_named_as_it_can_be_shown() -> None:
    evil = archive(member("x", pax={"path": "../\x1b[2Jgone" + "y" * 90}))
    error = refusal(gzip.compress(evil, mtime=0), GZIP, tar=evil)
    assert error.code is Code.SOURCE_LAYER_INVALID
    assert ", member '../\\x1b[2Jgoneyyy" in error.subject
    assert len(error.subject) < 300
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(("media_type", "pack"), [(GZIP, gzip.compress), (ZSTD, squeeze)])
def test_more_than_can_honestly_come_out_of_so_few_bytes_is_refused(
    media_type: str, pack: Callable[[bytes], bytes]
) -> None:
    tar = archive(member("zeros", bytes(4 << 20)))
    packed = pack(tar)
    check(packed, media_type, tar=tar)
    ratio = (len(tar) - 1000) // len(packed)
    check(packed, media_type, tar=tar, bounds=Bounds(ratio=ratio + 1, allowance=1000))
    for bounds in (Bounds(ratio=ratio - 1, allowance=1000), Bounds(most=len(tar) - 1)):
        with pytest.raises(SourceError) as caught:
            check(packed, media_type, tar=tar, bounds=bounds)
        assert caught.value.code is Code.SOURCE_LAYER_BOMB
        assert f"has {len(packed)} bytes and unpacks to more than {bounds.limit(len(packed))}" in str(caught.value)


def test_a_layer_that_is_not_compressed_is_no_bomb_however_large() -> None:
    check(TAR, OCI, bounds=Bounds(ratio=0, allowance=0, most=0))


def test_a_bomb_is_noticed_before_much_of_it_was_made() -> None:
    bounds = Bounds(ratio=1, allowance=1 << 20)
    bomb = gzip.compress(bytes(64 << 20), mtime=0)
    diff_id = Digest.of(b"")
    layer = LayerCheck(Layer(Descriptor(GZIP, diff_id, len(bomb)), Compression.GZIP, diff_id), diff_id, bounds)
    with pytest.raises(SourceError):
        layer.feed(bomb)
    assert layer.size <= bounds.limit(len(bomb)) + (1 << 20)


@pytest.mark.parametrize(("unpacking", "pack", "most"), [(Gzip, gzip.compress, 1 << 20), (Zstd, squeeze, 8 << 20)])
def test_what_comes_out_comes_in_bounded_pieces(
    unpacking: type[Gzip | Zstd], pack: Callable[[bytes], bytes], most: int
) -> None:
    pieces = [len(piece) for piece in unpacking().feed(pack(bytes(80 << 20)))]
    assert sum(pieces) == 80 << 20
    assert max(pieces) <= most


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(PACKED)),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8),
    st.integers(0, 40),
    st.binary(max_size=40),
    st.integers(1, 4000),
)
def test_no_damage_does_anything_but_be_told(
    media_type: str, damage: list[tuple[int, int]], cut: int, more: bytes, size: int
) -> None:
    content = bytearray(PACKED[media_type](TAR))
    for place, value in damage:
        content[place % len(content)] = value
    whole = bytes(content[: len(content) - cut]) + more
    told: set[Code | None] = set()
    for step in (size, 1 << 18):
        try:
            check(whole, media_type, size=step)
        except SourceError as error:
            told.add(error.code)
        else:
            told.add(None)
    assert len(told) == 1
