"""A layer's tar, checked as it passes: what unpackers take is taken, what they refuse is refused, however it is cut."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.inspection import tar_check
from pushd.inspection.member import RefusedError
from pushd.inspection.tar_check import TarCheck
from pushd.oci.tar import MAX_EXTENSION, MalformedTarError
from tests.fakes.tars import END, archive, header, member, written

if TYPE_CHECKING:
    from tests.fakes.tars import Form

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda part: part not in (".", "..") and not part.startswith(".wh.")
)
NAME = st.lists(PART, min_size=1, max_size=8).map("/".join).filter(lambda name: len(name.encode()) < 4000)
FILE = st.tuples(st.just(tarfile.REGTYPE), NAME, st.just(""), st.binary(max_size=1500))
OTHER = st.tuples(
    st.sampled_from([tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]),
    NAME, st.just(""), st.just(b""),
)  # fmt: skip
LINK = st.tuples(st.sampled_from([tarfile.LNKTYPE, tarfile.SYMTYPE]), NAME, NAME, st.just(b""))


def check(content: bytes, size: int = 1 << 20) -> None:
    tar = TarCheck()
    for start in range(0, len(content), size):
        tar.feed(content[start : start + size])
    tar.finish()


def refusal(content: bytes) -> str:
    with pytest.raises((MalformedTarError, RefusedError)) as caught:
        check(content)
    for size in (1, 511, 513):
        with pytest.raises(type(caught.value)) as again:
            check(content, size)
        assert str(again.value) == str(caught.value)
    error = caught.value
    return error.detail if isinstance(error, RefusedError) else str(error)


@given(
    st.lists(st.one_of(FILE, OTHER, LINK), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 3000),
)
def test_whatever_tarfile_makes_of_sane_names_passes_however_it_is_cut(
    things: list[tuple[bytes, str, str, bytes]], form: Form, size: int
) -> None:
    infos = []
    for kind, name, target, content in things:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        infos.append((info, content))
    check(written(*infos, form=form), size)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        END,
        END + bytes(9000),
        END + bytes(7),
        bytes(512),
        member("without-an-end", b"x"),
        member("nor-filled-up-to-a-block", b"x")[:513],
        member("nor-quite", b"x")[:1023],
        member("one-block-of-zeros") + bytes(512),
        archive(member("/ko-app/server", b"x")),
        archive(member("./", kind=tarfile.DIRTYPE), member("./a", b"1"), member("a", b"2")),
        archive(member("dev/null", kind=tarfile.CHRTYPE), member("run/fifo", kind=tarfile.FIFOTYPE)),
        archive(member("usr/.wh.bin"), member("etc/.wh..wh..opq"), member(".wh..wh.plnk/1", b"x")),
        archive(member("bin/sh", kind=tarfile.SYMTYPE, target="../usr/bin/dash")),
        archive(member("bin/sh", kind=tarfile.SYMTYPE, target="/usr/bin/dash")),
        archive(member("copy", kind=tarfile.LNKTYPE, target="/in/a/layer/below")),
        archive(member("x", pax={"SCHILY.xattr.security.capability": "\x01\x02", "mtime": "1.5"})),
        archive(member("x", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"})),
        archive(member("pax_global_header", b"", kind=tarfile.XGLTYPE), member("a")),
        archive(member("\udcff-latin-1", b"x", form=tarfile.GNU_FORMAT)),
    ],
)
def test_what_unpackers_take_is_taken(content: bytes) -> None:
    for size in (1, 512, 1 << 20):
        check(content, size)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive(member("../etc/passwd", b"x")), "a name with .. in it"),
        (archive(member("a/../../etc/passwd", b"x")), "a name with .. in it"),
        (archive(member("/..", kind=tarfile.DIRTYPE)), "a name with .. in it"),
        (archive(member("x", pax={"path": "a\0b"})), "a name with a NUL in it"),
        (archive(member("x", pax={"path": "n" * 256})), "a part has more than 255 bytes"),
        (archive(member("x", pax={"path": "d/" * 2048})), "a name of more than 4095 bytes"),
        (archive(member("/", b"x")), "stands for the root, and is no directory"),
        (archive(header(b"")), "stands for the root, and is no directory"),
        (archive(member("x", kind=tarfile.LNKTYPE, target="../../etc/shadow")), "a hard link to a name with .. in it"),
        (archive(member("x", kind=tarfile.LNKTYPE, target="/")), "a hard link to nothing, or to the root"),
        (archive(member("x", kind=tarfile.LNKTYPE)), "a hard link to nothing, or to the root"),
        (archive(member("a/x", kind=tarfile.SYMTYPE, target="../../etc")), "leads out of the image"),
        (archive(member("x", kind=tarfile.SYMTYPE, target="/../etc")), "leads out of the image"),
        (archive(member("x", kind=tarfile.SYMTYPE)), "a symbolic link to nothing"),
        (archive(member("x", kind=tarfile.SYMTYPE, target="y", pax={"linkpath": "a\0b"})), "a symbolic link to"),
        (archive(member("a/.wh.")), "a whiteout of nothing that can be hidden"),
        (archive(member("a/.wh..")), "a whiteout of nothing that can be hidden"),
        (archive(member("a/.wh...")), "a whiteout of nothing that can be hidden"),
        (archive(member("x", kind=tarfile.CONTTYPE)), "of the type '7', which is not unpacked"),
        (archive(member("x", kind=tarfile.GNUTYPE_SPARSE)), "of the type 'S', which is not unpacked"),
        (archive(member("x", kind=b"V")), "of the type 'V', which is not unpacked"),
        (member("x", b"content")[:518], "is truncated: it stops at byte 518, within a member"),
        (member("x", b"content")[:512], "is truncated: it stops at byte 512"),
        (member("x", pax={"mtime": "1.5"})[:1023], "is truncated: it stops at byte 1023"),
        (member("x")[:300], "is truncated: it stops at byte 300"),
        (member("x") + bytes(512) + member("y"), "one block of zeros at byte 512"),
        (archive(member("x")) + b"hidden", "something behind its end"),
        (END + member("x"), "something behind its end"),
        (b"no tar at all" * 100, "there is no valid header at byte 0"),
        (archive(header(b"x", size=b"\xff" * 12)), "has a negative size"),
        (archive(header(b"x", size=b"\x80" + bytes(3) + b"\xff" * 8)), "is truncated"),
        (archive(header(b"x", kind=b"x", size=b"%011o" % (MAX_EXTENSION + 1))), "has an extension header of"),
        (archive(member("x", pax={"size": "-1"})), "a pax header gives a size of '-1'"),
        (header(b"x", kind=b"x", size=b"%011o" % 10) + b"999 path=a".ljust(512, b"\0"), "cannot be read"),
    ],
)
def test_what_unpackers_refuse_is_refused_by_name(content: bytes, says: str) -> None:
    assert says in refusal(content)


def test_the_members_of_one_layer_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_check, "MAX_HEADERS", 3)
    check(archive(*[member("x", form=tarfile.USTAR_FORMAT)] * 3))
    assert "has more than 3 headers" in refusal(archive(*[member("x", form=tarfile.USTAR_FORMAT)] * 4))


def test_what_an_extension_says_holds_for_the_next_member_alone() -> None:
    check(archive(member("x", pax={"path": "y" * 200}), member("z", kind=tarfile.DIRTYPE)))
    assert "a name with .. in it" in refusal(archive(member("x", pax={"path": "y" * 200}), member("../z")))


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=20), st.integers(1, 2000))
def test_damage_anywhere_is_told_or_taken_and_nothing_else(damage: list[tuple[int, int]], size: int) -> None:
    content = bytearray(archive(member("a" * 150, b"x" * 700), member("b", kind=tarfile.SYMTYPE, target="c" * 150)))
    for place, value in damage:
        content[place % len(content)] = value
    told = []
    for step in (size, 1 << 20):
        try:
            check(bytes(content), step)
        except (MalformedTarError, RefusedError) as error:
            told.append(str(error))
        else:
            told.append("")
    assert told[0] == told[1]
