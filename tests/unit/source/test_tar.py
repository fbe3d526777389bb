from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.tar import MAX_EXTENSION, MalformedTarError, Member
from pushd.source import tar
from pushd.source.tar import read_members

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Form: TypeAlias = Literal[0, 1, 2]

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
LONG = "d" * 90 + "/" + "e" * 60 + "/" + "n" * 120


def members(content: bytes) -> list[Member]:
    return list(read_members(lambda length, offset: content[offset : offset + length], len(content)))


def refusal(content: bytes) -> str:
    with pytest.raises(MalformedTarError) as caught:
        members(content)
    return str(caught.value)


def info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **more: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.type = kind
    member.pax_headers = more
    return member


def packed(*given: tuple[str, bytes], form: Form = tarfile.GNU_FORMAT) -> bytes:
    """Give a tar, with its end but without the filling up to a record."""
    return b"".join(block(info(name, len(content)), content, form) for name, content in given) + bytes(1024)


def block(member: tarfile.TarInfo, content: bytes = b"", form: Form = tarfile.GNU_FORMAT) -> bytes:
    return member.tobuf(form) + content + bytes(-len(content) % 512)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Give a pax header of exactly these records."""
    return block(info("pax", len(records), kind), records)


@pytest.mark.parametrize("form", FORMATS[1:])
@pytest.mark.parametrize("target", ["../a/layer.tar", LONG])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_says_where_it_leads_however_far_that_is(form: Form, target: str, kind: bytes) -> None:
    link = info("link", kind=kind)
    link.linkname = target
    after = info("after")
    content = block(link, form=form) + block(after, form=form) + bytes(1024)
    assert [(member.name, member.target) for member in members(content)] == [("link", target), ("after", "")]


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_found_where_tarfile_finds_them(form: Form) -> None:
    content = packed(("a", b""), ("./b/c", b"x" * 511), ("d", b"y" * 512), ("e", b"z" * 513), form=form)

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        expected = [(member.name, member.offset_data, member.size) for member in archive]
    assert [(member.name, member.offset, member.size) for member in members(content)] == expected


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", [LONG, "größe/" + "ü" * 60, "n" * 100, "n" * 101])
def test_long_names_and_names_beyond_ascii_are_read_whole(form: Form, name: str) -> None:
    assert [member.name for member in members(packed((name, b"x"), ("short", b"y"), form=form))] == [name, "short"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_may_be_larger_than_the_8_gib_of_an_octal_field(form: Form) -> None:
    size = 9 << 30
    header = info("big", size).tobuf(form)
    after = len(header) + size

    def pread(length: int, offset: int) -> bytes:
        return header[offset : offset + length] if offset < after else bytes(min(length, after + 1024 - offset))

    assert list(read_members(pread, after + 1024)) == [Member("big", tarfile.REGTYPE, len(header), size)]


def test_a_link_and_a_directory_have_no_data_whatever_their_size_says() -> None:
    linked = block(info("l", 5000, tarfile.SYMTYPE)) + block(info("d", 5000, tarfile.DIRTYPE)) + packed(("f", b"x"))

    assert [(member.name, member.size) for member in members(linked)] == [("l", 0), ("d", 0), ("f", 1)]


def test_a_long_link_name_does_not_become_the_members_name() -> None:
    link = info("short", kind=tarfile.SYMTYPE)
    link.linkname = LONG

    assert [member.name for member in members(link.tobuf(tarfile.GNU_FORMAT) + bytes(1024))] == ["short"]


def test_a_comment_for_the_whole_archive_is_passed_over() -> None:
    assert len(members(pax(b"13 comment=x\n", tarfile.XGLTYPE) + packed(("f", b"")))) == 1


@pytest.mark.parametrize("record", [b"10 path=x\n", b"10 size=1\n"])
def test_a_global_header_that_names_or_measures_all_members_is_refused(record: bytes) -> None:
    assert "names or measures all members" in refusal(pax(record, tarfile.XGLTYPE) + packed(("f", b"x")))


def test_sparse_files_of_either_format_are_told_apart() -> None:
    sparse = pax(b"22 GNU.sparse.major=1\n") + packed(("s", b"x"))

    assert [(member.kind, member.sparse) for member in members(sparse)] == [(tarfile.REGTYPE, True)]
    assert members(block(info("s", kind=tarfile.GNUTYPE_SPARSE)) + bytes(1024))[0].kind == tarfile.GNUTYPE_SPARSE


def test_an_empty_pax_value_leaves_the_header_as_it_is() -> None:
    assert members(pax(b"8 path=\n") + packed(("f", b"x")))[0].name == "f"


@pytest.mark.parametrize(
    "records",
    [
        b"x",
        b"10 path=x",
        b"11 path=x\n",
        b"0 path=x\n",
        b"-1 path=x\n",
        b"5 =x\n",
        b"9 pathx\n\n",
        b"99999999 a=b\n",
        b"\0" * 9,
    ],
)
def test_a_pax_header_that_cannot_be_read_is_refused(records: bytes) -> None:
    assert "pax header at byte 512 cannot be read" in refusal(pax(records) + packed(("f", b"x")))


@pytest.mark.parametrize("size", [b"-1", b"1.5", b"0x1", b"1_0", b"9" * 30, "٣".encode()])
def test_a_pax_size_that_is_no_number_is_refused(size: bytes) -> None:
    record = b"size=" + size + b"\n"
    record = b"%d %s" % (len(record) + 3, record)

    assert "gives a size of" in refusal(pax(record) + packed(("f", b"x")))


def test_a_negative_size_is_refused() -> None:
    header = bytearray(info("f").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b"%06o\0 " % _sum(bytes(header))

    assert "'f' has a negative size" in refusal(bytes(header) + bytes(1024))


def test_an_extension_without_bounds_is_refused_before_it_is_read() -> None:
    size = MAX_EXTENSION + 1
    content = info("x", size, tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)

    def pread(length: int, offset: int) -> bytes:
        assert length == 512
        return content[offset : offset + length]

    with pytest.raises(MalformedTarError, match=f"extension header of {size} bytes"):
        list(read_members(pread, 1 << 40))


def test_members_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_HEADERS", 3)

    assert len(members(packed(("a", b""), ("b", b"")))) == 2
    assert refusal(packed(("a", b""), ("b", b""), ("c", b""))) == "has more than 3 headers"


def test_a_member_that_goes_past_the_end_of_the_file_is_named() -> None:
    content = packed(("small", b"x"), ("large", b"y" * 5000))

    assert refusal(content[:4000]) == "is truncated: 'large' ends at byte 6536, the file at 4000"


def test_an_archive_cut_anywhere_before_its_end_is_refused() -> None:
    content = packed(("a", b"x" * 700), (LONG, b"y" * 100), ("c", b""))
    end = len(content) - 1024

    assert len(members(content[: end + 512])) == 3
    for length in range(end + 512):
        assert "is truncated" in refusal(content[:length])


def test_one_block_of_zeros_ends_only_a_file() -> None:
    content = packed(("a", b"x"))[:-512]

    assert len(members(content)) == 1
    assert "one block of zeros" in refusal(content + packed(("b", b"y")))


def test_names_that_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_NAMES", 300)

    assert len(members(packed(("a" * 150, b""), ("b" * 150, b"")))) == 2
    assert refusal(packed(("a" * 150, b""), ("b" * 151, b""))) == "has names of more than 300 characters"


def test_what_follows_the_end_is_passed_over() -> None:
    assert len(members(packed(("a", b"x")) + b"anything")) == 1


def test_a_damaged_header_is_refused_and_not_taken_for_the_end() -> None:
    content = bytearray(packed(("a", b"x"), ("b", b"y")))
    content[1024 + 10] ^= 1

    assert refusal(bytes(content)) == "is no tar, or damaged: there is no valid header at byte 1024"


@given(st.data())
def test_no_damage_whatsoever_raises_anything_else(data: st.DataObject) -> None:
    content = bytearray(pax(b"10 path=x\n") + packed(("a", b"x" * 700), (LONG, b"y")))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for at in data.draw(st.lists(st.sampled_from([0, 1024]), max_size=2)):
        content[at + 148 : at + 156] = b"%06o\0 " % _sum(bytes(content[at : at + 512]))
    total = len(content)
    try:
        found = members(bytes(content))
    except MalformedTarError:
        return
    assert all(0 <= member.offset <= member.offset + member.size <= total for member in found)


def _sum(header: bytes) -> int:
    """Give a header's checksum, its own field taken as spaces."""
    return sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
