from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import zstandard

from pushd.oci.magic import HEAD, Format, format_of

if TYPE_CHECKING:
    from collections.abc import Callable

SKIPPABLE = b"\x5e\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"1234"


@pytest.mark.parametrize(
    ("compress", "expected"),
    [
        (lambda content: gzip.compress(content, mtime=0), Format.GZIP),
        (zstandard.compress, Format.ZSTD),
        (lambda content: SKIPPABLE + zstandard.compress(content), Format.ZSTD),
        (lzma.compress, Format.XZ),
        (bz2.compress, Format.BZIP2),
    ],
    ids=["gzip", "zstd", "zstd-skippable", "xz", "bzip2"],
)
@pytest.mark.parametrize("content", [b"", b"x" * 1000], ids=["empty", "some"])
def test_a_compressed_file_is_told_by_its_first_bytes(
    compress: Callable[[bytes], bytes], expected: Format, content: bytes
) -> None:
    assert format_of(compress(content)[:HEAD]) is expected


@pytest.mark.parametrize("head", [b"", b"\x1f", b"\x28\xb5\x2f", b"etc/pa", bytes(6), b"\x4f\x2a\x4d\x18", b"\x5e"])
def test_whatever_begins_otherwise_is_not_compressed(head: bytes) -> None:
    assert format_of(head) is None


@pytest.mark.parametrize("format_", [Format.GZIP, Format.XZ, Format.BZIP2])
def test_the_command_that_is_named_undoes_it(format_: Format) -> None:
    module = {Format.GZIP: gzip, Format.XZ: lzma, Format.BZIP2: bz2}[format_]
    content = os.urandom(100)
    done = subprocess.run([format_.undo, "-c"], input=module.compress(content), capture_output=True, check=True)
    assert done.stdout == content
