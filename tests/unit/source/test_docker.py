"""What `docker save` and its like write, read by its path."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import os
import random
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.source import open_source
from tests.fakes.archives import (
    LAYER,
    Link,
    SavedImage,
    docker_archive,
    docker_members,
    manifest_of,
    of_kind,
    tar,
)
from tests.fakes.images import ImageSpec, build_layout, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.push.ports.source import OpenSource, Source
    from tests.fakes.archives import Member


def opened(file: Path, reference: str = "") -> Source:
    opener: OpenSource = open_source  # what the engine asks for is what is given
    name = f"docker-archive:{file}:{reference}" if reference else f"docker-archive:{file}"
    return opener(name, uid=0, gids=frozenset())


def read(file: Path, reference: str = "") -> Image:
    source = opened(file, reference)
    try:
        return source.image()
    finally:
        source.close()


def refusal(file: Path, reference: str = "") -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(file, reference)
    return caught.value


def blobs_of(source: Source, image: Image) -> list[bytes]:
    contents = []
    for blob in image.blobs:
        reader = source.open(blob)
        contents.append(reader.read(0, blob.size))
        reader.close()
    return contents


def assert_holds(file: Path, image: Image) -> None:
    """Read all blobs by a source that was opened anew, as a delivery does, and compare them with their digests."""
    source = opened(file)
    try:
        for blob, content in zip(image.blobs, blobs_of(source, image), strict=True):
            assert blob.digest.matches(content)
    finally:
        source.close()


def made(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.tar"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the lengths of all reads of a disk, as they happen."""
    lengths: list[int] = []
    whole = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        lengths.append(length)
        return whole(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    return lengths


# ------------------------------------------------------------------------------------------------- without a layout


@pytest.mark.parametrize("flat", [False, True])
def test_an_image_is_put_together_from_its_config_and_layers(file: Path, flat: bool) -> None:
    saved = SavedImage([made(100_000), made(2_000, 2)])
    file.write_bytes(docker_archive([saved], flat=flat))

    image = read(file)
    assert image.root.content == manifest_of(saved)
    source = opened(file)
    assert blobs_of(source, image) == [saved.config, *saved.layers]
    source.close()


def test_no_plain_layer_is_read_to_know_its_digest(file: Path, reads: list[int]) -> None:
    file.write_bytes(docker_archive([SavedImage([made(3_000_000), made(2_000_000, 2)])]))

    read(file)
    assert sum(reads) < 100_000


@pytest.mark.parametrize(("pack_", "suffix"), [(gzip.compress, "+gzip"), (lambda _: b"\x28\xb5\x2f\xfdzstd", "+zstd")])
def test_a_compressed_layer_is_read_and_called_what_it_is(
    file: Path, pack_: Callable[[bytes], bytes], suffix: str
) -> None:
    plain = made(100_000)
    saved = SavedImage([pack_(plain)], plain=[plain])
    file.write_bytes(docker_archive([saved]))

    image = read(file)
    assert image.root.content == manifest_of(saved, [suffix])
    assert_holds(file, image)


def test_a_compressed_layer_is_read_in_pieces(file: Path, reads: list[int]) -> None:
    layer = gzip.compress(made(3_000_000), 1)
    file.write_bytes(docker_archive([SavedImage([layer, layer], plain=[b"a", b"b"])], links=True))

    image = read(file)
    assert Digest.of(layer) in {blob.digest for blob in image.blobs}
    assert max(reads) <= 1 << 20
    assert sum(reads) < len(layer) + 100_000, "once, though it is listed twice"


def test_to_open_a_compressed_layer_again_does_not_take_reading_it(file: Path, reads: list[int]) -> None:
    layers = [gzip.compress(made(2_000_000 + number, number), 1) for number in range(2)]
    file.write_bytes(docker_archive([SavedImage(layers, plain=[b"a", b"b"])]))
    image = read(file)
    reads.clear()

    source = opened(file)
    for blob in image.blobs:
        source.open(blob).close()
    source.close()
    assert sum(reads) < 100_000


def test_compressed_layers_of_one_size_are_told_apart(file: Path) -> None:
    layers = [gzip.compress(made(5_000, number), 0) for number in range(3)]
    assert len(set(map(len, layers))) == 1
    file.write_bytes(docker_archive([SavedImage(layers, plain=[b"a", b"b", b"c"])]))

    assert_holds(file, read(file))


def test_a_plain_layer_and_a_compressed_one_may_stand_in_one_image(file: Path) -> None:
    plain = [made(5_000), made(6_000, 2)]
    saved = SavedImage([plain[0], gzip.compress(plain[1])], plain=plain)
    file.write_bytes(docker_archive([saved]))

    image = read(file)
    assert image.root.content == manifest_of(saved, ["", "+gzip"])
    assert_holds(file, image)


@pytest.mark.parametrize("size", [100_000, 10, 0])
@pytest.mark.parametrize("links", [False, True])
def test_one_layer_may_be_there_twice_by_a_link_or_in_two_places(file: Path, size: int, links: bool) -> None:
    layer = made(size)
    saved = SavedImage([layer, made(1024, 2), layer])
    file.write_bytes(docker_archive([saved], links=links))

    image = read(file)
    assert image.root.content == manifest_of(saved)
    assert_holds(file, image)


def test_a_hard_link_is_named_from_the_top_of_the_archive(file: Path) -> None:
    layer = made(10_000)
    saved = SavedImage([layer, layer])
    members = docker_members([saved], links=True)
    (name,) = (name for name, content in members.items() if isinstance(content, Link))
    members[name] = Link(next(other for other, content in members.items() if content == layer), hard=True)
    file.write_bytes(tar(members))

    assert read(file).root.content == manifest_of(saved)


def test_an_image_without_layers_is_one(file: Path) -> None:
    saved = SavedImage([])
    file.write_bytes(docker_archive([saved]))

    assert read(file).root.content == manifest_of(saved)


def test_a_config_without_layers_need_not_say_so(file: Path) -> None:
    file.write_bytes(one({}, []))

    assert [blob.size for blob in read(file).blobs] == [2]


def test_a_layer_below_blobs_with_another_name_is_one_by_its_config(file: Path) -> None:
    content = b"x" * 2000
    file.write_bytes(one(diff_ids(str(Digest.of(content))), ["blobs/sha256/app"], **{"blobs/sha256/app": content}))

    assert_holds(file, read(file))


IMAGES = [
    SavedImage([b"1" * 2000], names=["app:1"]),
    SavedImage([b"2" * 2000], names=["app:2", "app:latest", "example.com:5000/app:2"]),
]


@pytest.mark.parametrize(
    "reference",
    [
        "app:2",
        "docker.io/library/app:2",
        "index.docker.io/library/app:2",
        "library/app:2",
        "app",
        "@1",
        "example.com:5000/app:2",
    ],
)
def test_one_of_several_images_is_chosen_by_any_of_its_names_or_its_place(file: Path, reference: str) -> None:
    file.write_bytes(docker_archive(IMAGES))

    assert read(file, reference).root.content == manifest_of(IMAGES[1])


def test_of_several_images_one_must_be_named(file: Path) -> None:
    file.write_bytes(docker_archive(IMAGES))

    error = refusal(file)
    assert error.code is Code.SOURCE_AMBIGUOUS
    assert "app:1, app:2" in str(error)
    assert "after a colon" in error.hint


@pytest.mark.parametrize("reference", ["app:3", "@2", "@x", "example.com/app:2", "@"])
def test_a_name_that_is_not_there_is_told_with_those_that_are(file: Path, reference: str) -> None:
    file.write_bytes(docker_archive(IMAGES))

    error = refusal(file, reference)
    assert error.code is Code.SOURCE_REFERENCE_UNKNOWN
    assert "app:1" in str(error)


def test_an_image_listed_under_several_entries_is_one(file: Path) -> None:
    members = docker_members([IMAGES[0]])
    (listed,) = listing(members)
    members["manifest.json"] = json.dumps([listed, {**listed, "RepoTags": ["other:1"]}]).encode()
    file.write_bytes(tar(members))

    assert read(file).root.content == manifest_of(IMAGES[0])


# ---------------------------------------------------------------------------------------------------- with a layout


@pytest.mark.parametrize("reference", ["", "app:1", "1", "docker.io/library/app:1", "@0"])
def test_what_docker_25_saves_is_the_oci_image_that_it_is(file: Path, reference: str) -> None:
    saved = SavedImage([made(100_000)])
    file.write_bytes(docker_archive([saved], oci=True))

    image = read(file, reference)
    assert image.root.content == manifest_of(saved) + b"\n"
    assert_holds(file, image)


def test_a_place_counts_images_as_in_the_list_and_not_names_as_in_the_index(file: Path) -> None:
    images = [SavedImage([b"1" * 2000], names=["app:1", "app:one"]), SavedImage([b"2" * 2000], names=["app:2"])]
    file.write_bytes(docker_archive(images, oci=True))

    assert read(file, "@1").root.content == manifest_of(images[1]) + b"\n"
    assert refusal(file, "@2").code is Code.SOURCE_REFERENCE_UNKNOWN


def test_an_image_without_a_name_is_put_together_from_the_list_when_it_is_chosen_by_its_place(file: Path) -> None:
    images = [SavedImage([b"1" * 2000]), SavedImage([b"2" * 2000], names=[])]
    file.write_bytes(docker_archive(images, oci=True))

    assert read(file, "@1").root.content == manifest_of(images[1])


@pytest.mark.parametrize("packed", [False, True])
def test_what_its_index_leaves_out_is_found_in_its_list(file: Path, packed: bool, reads: list[int]) -> None:
    plain = made(1_000_000)
    saved = SavedImage([gzip.compress(plain, 1) if packed else plain], names=[], plain=[plain])
    members = docker_members([saved], oci=True)
    members["index.json"] = b'{"schemaVersion":2,"manifests":null}'
    file.write_bytes(tar(members))

    image = read(file)
    assert image.root.content == manifest_of(saved, ["+gzip" if packed else ""])
    assert sum(reads) < 100_000, "a blob is called by its digest already"
    assert_holds(file, image)


def test_a_platform_that_was_not_saved_is_told_with_what_to_do(file: Path, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "m", images=[ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    layout.blob_path(layout.image.manifests[0].digest).unlink()
    (layout.path / "manifest.json").write_bytes(b"[]")
    pack(layout.path, file)

    error = refusal(file)
    assert error.code is Code.SOURCE_BLOB_MISSING
    assert "--platform" in error.hint


def test_an_archive_of_a_layout_alone_is_pointed_to_its_own_kind(file: Path, tmp_path: Path) -> None:
    pack(build_layout(tmp_path / "app", [ImageSpec()]).path, file)

    error = refusal(file)
    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert "no manifest.json" in error.detail
    assert "oci-archive:FILE[:REF]" in error.hint


@pytest.mark.parametrize("kind", ["oci-archive", "dir", "oci"])
def test_the_other_kinds_point_to_this_one(file: Path, tmp_path: Path, kind: str) -> None:
    file.write_bytes(docker_archive([SavedImage([b"x"])]))
    unpacked = tmp_path / "unpacked"
    with tarfile.open(file) as archive:
        archive.extractall(unpacked, filter="data")

    for path in (file,) if kind == "oci-archive" else (file, unpacked):
        with pytest.raises(SourceError) as caught:
            open_source(f"{kind}:{path}", uid=0, gids=frozenset()).image()
        assert ("docker-archive:FILE[:REF]" in caught.value.hint) == (path == file or kind == "dir")


# ------------------------------------------------------------------------------------------------------- bad archives


def listing(members: Mapping[str, Member]) -> Any:
    content = members["manifest.json"]
    assert isinstance(content, bytes)
    return json.loads(content)


def valid() -> dict[str, Member]:
    return docker_members([SavedImage([made(10_000)])])


def without(part: str) -> bytes:
    members = valid()
    (listed,) = listing(members)
    del members[listed[part] if part == "Config" else listed[part][0]]
    return tar(members)


def one(config: Any, layers: Sequence[str] = ("l",), **more: Member) -> bytes:
    """Give an archive of an image with this config, and these members beside it."""
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    listed = json.dumps([{"Config": "c", "Layers": list(layers)}]).encode()
    return tar({"manifest.json": listed, "c": content, **more})


def diff_ids(*digests: Any) -> dict[str, Any]:
    return {"rootfs": {"type": "layers", "diff_ids": list(digests)}}


ANY = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            gzip.compress(tar(valid())), "gunzip on it first, or push it with pushctl push - <FILE", id="gzip"
        ),
        pytest.param(b"\x28\xb5\x2f\xfd" + made(600), "run unzstd on it first", id="zstd"),
        pytest.param(lzma.compress(tar(valid())), "run unxz on it first", id="xz"),
        pytest.param(bz2.compress(tar(valid())), "run bunzip2 on it first", id="bzip2"),
        pytest.param(b"", "is truncated", id="empty"),
        pytest.param(tar(valid())[:9_000], "is truncated", id="truncated in a layer"),
        pytest.param(tar(valid())[:-10240], "is truncated", id="truncated before its end"),
        pytest.param(b"no tar at all" * 1000, "is no tar", id="no tar"),
        pytest.param(tar({"../x": b"", **valid()}), "leads out of it", id="name upwards"),
        pytest.param(tar({"/etc/x": b"", **valid()}), "leads out of it", id="absolute name"),
        pytest.param(tar([*valid().items(), ("./manifest.json", b"[]")]), "more than once", id="list twice"),
        pytest.param(
            tar([*valid().items(), ("x", b""), ("x", Link("y"))]), "more than once", id="name of a link twice"
        ),
        pytest.param(tar({**valid(), "x": of_kind(tarfile.GNUTYPE_SPARSE)}), "a sparse file", id="sparse"),
        pytest.param(tar({**valid(), "blobs/x": Link("y")}), "a symbolic link", id="link below blobs"),
        pytest.param(
            tar([("etc/hosts", b""), ("dev/x", of_kind(tarfile.CHRTYPE))]), "docker export", id="docker export"
        ),
        pytest.param(tar({"repositories": b"{}", "0/layer.tar": b""}), "before 1.10", id="before docker 1.10"),
        pytest.param(tar({"manifest.json": b"{}"}), "no list of images", id="list that is an object"),
        pytest.param(tar({"manifest.json": b"[]"}), "has no image in it", id="empty list"),
        pytest.param(tar({"manifest.json": b"[1]"}), "no object", id="list of numbers"),
        pytest.param(tar({"manifest.json": b"[" * 100_000}), "not JSON", id="list nested too deeply"),
        pytest.param(tar({"manifest.json": b"\xff"}), "not JSON", id="list in no UTF-8"),
        pytest.param(tar({"manifest.json": b"[" + b" " * (4 << 20) + b"]"}), "4194306 bytes", id="list too large"),
        pytest.param(tar({"manifest.json": b'[{"Config":1}]'}), "no Config", id="config of another type"),
        pytest.param(tar({"manifest.json": b'[{"Config":"c","Layers":"l"}]'}), "no list of names", id="layers a text"),
        pytest.param(
            tar({"manifest.json": b'[{"Config":"c","RepoTags":[1]}]'}), "RepoTags that are no list", id="name a number"
        ),
        pytest.param(
            tar({"manifest.json": b'[{"Config":"/etc/passwd"}]'}), "leads out of it", id="config outside the archive"
        ),
        pytest.param(tar({"manifest.json": b'[{"Config":"../c"}]'}), "leads out of it", id="config above the archive"),
        pytest.param(without("Config"), "is not there", id="no config"),
        pytest.param(without("Layers"), "layer.tar in app.tar: is not there", id="no layer"),
        pytest.param(one(b"hello"), "c in app.tar: is not JSON", id="config that is no JSON"),
        pytest.param(one(b"[]"), "not a JSON object", id="config that is a list"),
        pytest.param(one(b"[" * 100_000), "nested too deeply", id="config nested too deeply"),
        pytest.param(one(b"{" + b" " * (4 << 20)), "c in app.tar: is 4194305 bytes", id="config too large"),
        pytest.param(one({}), "does not name its layers", id="config without layers"),
        pytest.param(one(diff_ids(1)), "does not name its layers", id="diff_ids that are numbers"),
        pytest.param(one(diff_ids()), "lists 1 layers of an image whose config names 0", id="other count of layers"),
        pytest.param(one(diff_ids("x"), l=b""), "names a layer 'x'", id="diff_id that is no digest"),
        pytest.param(one(diff_ids("sha512:" + "0" * 128), l=b""), "no sha256", id="diff_id of another algorithm"),
        pytest.param(one(diff_ids(ANY), l=Link("/etc/passwd")), "leads out of it", id="absolute link"),
        pytest.param(one(diff_ids(ANY), l=Link("../etc/passwd")), "leads out of it", id="link upwards"),
        pytest.param(one(diff_ids(ANY), l=Link("m"), m=Link("l")), "in a circle", id="links in a circle"),
        pytest.param(one(diff_ids(ANY), l=Link("l", hard=True)), "in a circle", id="hard link to itself"),
        pytest.param(one(diff_ids(ANY), l=Link("nothing")), "l in app.tar: is not there", id="link to nothing"),
        pytest.param(one(diff_ids(ANY), l=of_kind(tarfile.FIFOTYPE)), "which is a FIFO", id="FIFO for a layer"),
        pytest.param(one(diff_ids(ANY), l=Link("d"), d=of_kind(tarfile.BLKTYPE)), "a device", id="link to a device"),
        pytest.param(one(diff_ids(ANY), l=of_kind(tarfile.DIRTYPE)), "is not there", id="directory for a layer"),
        pytest.param(
            one(diff_ids(*[ANY] * 40_000), ["l"] * 40_000, l=b"x" * 9),
            "registries take at most",
            id="layers without end",
        ),
    ],
)
def test_a_bad_archive_ends_in_a_clear_error(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "app.tar").write_bytes(content)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)

    error = refusal(tmp_path / "app.tar")
    assert said in str(error).replace(str(tmp_path / "app.tar"), "app.tar")
    assert error.hint or error.code in (Code.SOURCE_MANIFEST_INVALID, Code.SOURCE_MANIFEST_TOO_LARGE)
    assert str(error).isprintable()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (names are enough)


def test_two_layers_that_lie_about_one_digest_are_refused(file: Path) -> None:
    file.write_bytes(one(diff_ids(ANY, ANY), ["l", "m"], l=b"x" * 9, m=b"y" * 10))

    error = refusal(file)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert "9 bytes in one place and 10 bytes in another" in str(error)


NAMES = st.sampled_from(["c", "l", "m", "../c", "/c", "", ".", "blobs/sha256/" + "0" * 64, "manifest.json", "\ud800"])
VALUES = st.recursive(
    NAMES | st.none() | st.booleans() | st.integers() | st.just(ANY), lambda inner: st.lists(inner, max_size=3)
)
MEMBERS = st.one_of(
    st.binary(max_size=20),
    st.builds(Link, NAMES.filter(str.isascii), st.booleans()),
    st.builds(lambda value: json.dumps(diff_ids(*value) if isinstance(value, list) else value).encode(), VALUES),
    st.just(of_kind(tarfile.FIFOTYPE)),
)


@given(
    listed=st.fixed_dictionaries({}, optional={"Config": VALUES, "Layers": VALUES, "RepoTags": VALUES}),
    members=st.dictionaries(st.sampled_from(["c", "l", "m", "oci-layout", "index.json", "repositories"]), MEMBERS),
)
def test_whatever_it_lists_it_is_an_image_or_an_error_of_the_source(
    tmp_path_factory: pytest.TempPathFactory, listed: dict[str, Any], members: dict[str, Member]
) -> None:
    file = tmp_path_factory.mktemp("drawn") / "app.tar"
    file.write_bytes(tar({**members, "manifest.json": json.dumps([listed]).encode()}))
    try:
        assert read(file).blobs
    except SourceError as error:
        assert str(error).isprintable()  # noqa: PT017 (whether it is refused is the drawer's luck)


def test_a_name_in_the_list_reaches_no_terminal_with_control_characters(file: Path) -> None:
    file.write_bytes(tar({"manifest.json": json.dumps([{"Config": "\x1b[2J\u202e\ud800"}]).encode()}))

    assert str(refusal(file)).isprintable()


def test_a_directory_is_pointed_to_its_own_kinds(tmp_path: Path) -> None:
    error = refusal(tmp_path)

    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert "oci:DIR[:REF]" in error.hint
    assert "dir:DIR" in error.hint


@pytest.mark.timeout(5)
def test_a_fifo_in_place_of_the_file_does_not_hang(file: Path) -> None:
    os.mkfifo(file)

    assert "not a regular file" in str(refusal(file))


def test_a_path_to_nothing_is_not_found(file: Path) -> None:
    assert refusal(file).code is Code.SOURCE_NOT_FOUND


def test_a_system_with_too_many_files_open_is_told_as_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = SavedImage([made(10_000)])
    file.write_bytes(docker_archive([saved]))
    source = opened(file)
    dup, left = os.dup, 2  # the list and the config

    def fail(fd: int) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return dup(fd)

    monkeypatch.setattr(os, "dup", fail)
    with pytest.raises(SourceError, match="too many files open") as caught:
        source.image()
    source.close()
    assert caught.value.code is Code.SOURCE_UNREADABLE


# ----------------------------------------------------------------------------------------------------------- changes


def test_a_file_that_changes_while_it_is_pushed_is_noticed_at_the_next_read(file: Path) -> None:
    file.write_bytes(docker_archive([SavedImage([made(10_000)])]))
    source = opened(file)
    layer = source.image().blobs[1]
    reader = source.open(layer)
    with file.open("r+b") as archive:
        archive.seek(0, os.SEEK_END)
        archive.write(b"more")

    for use in (lambda: reader.read(0, 10), lambda: source.open(layer)):
        with pytest.raises(SourceError) as caught:
            use()
        assert caught.value.code is Code.SOURCE_CHANGED
    reader.close()
    source.close()


def test_a_blob_that_another_archive_in_its_place_does_not_have_is_missing(file: Path) -> None:
    file.write_bytes(docker_archive([SavedImage([gzip.compress(made(5_000))], plain=[b"a"])]))
    image = read(file)
    file.write_bytes(docker_archive([SavedImage([gzip.compress(made(7_000, 2))], plain=[b"b"])]))

    source = opened(file)
    for blob in image.blobs:
        with pytest.raises(SourceError) as caught:
            source.open(blob)
        assert caught.value.code is Code.SOURCE_BLOB_MISSING
        assert str(blob.digest) in str(caught.value)
    source.close()


def test_a_reader_outlives_its_source(file: Path) -> None:
    saved = SavedImage([made(10_000)])
    file.write_bytes(docker_archive([saved]))
    source = opened(file)
    reader = source.open(Descriptor(LAYER, Digest.of(saved.layers[0]), 10_000))
    source.close()

    assert reader.read(0, 10_000) == saved.layers[0]
    reader.close()
