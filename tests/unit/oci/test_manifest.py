"""Manifests and indexes: read as they are, or refused by the name of the field that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, PushdError, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.manifest import MAX_SIZE, Manifest
from pushd.oci.media_types import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    DOCKER_SCHEMA_1,
    DOCKER_SCHEMA_1_SIGNED,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)

OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"


def _entry(content: bytes, media_type: str = OCI_LAYER, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def _descriptor(content: bytes, media_type: str = OCI_LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(content), len(content))


def _image(**more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _entry(b"{...}", OCI_CONFIG),
        "layers": [_entry(b"one"), _entry(b"two!")],
        **more,
    }


def _index(**more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_entry(b"child", OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"})],
        **more,
    }


def _without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def _parse(document: object, media_type: str | None = None) -> Manifest:
    return Manifest.parse(json.dumps(document).encode(), media_type)


def _refusal(content: bytes, media_type: str | None = None) -> SourceError:
    with pytest.raises(SourceError) as caught:
        Manifest.parse(content, media_type)
    return caught.value


def _refused(document: object, media_type: str | None = None) -> SourceError:
    return _refusal(json.dumps(document).encode(), media_type)


# ------------------------------------------------------------------------------------------ what is read


def test_an_image_manifest_gives_its_config_first_and_then_its_layers() -> None:
    assert _parse(_image()) == Manifest(
        OCI_MANIFEST, (_descriptor(b"{...}", OCI_CONFIG), _descriptor(b"one"), _descriptor(b"two!")), (), None
    )


def test_an_index_gives_its_children() -> None:
    assert _parse(_index()) == Manifest(OCI_INDEX, (), (_descriptor(b"child", OCI_MANIFEST),), None)


def test_an_empty_index_is_an_index() -> None:
    assert _parse(_index(manifests=[])) == Manifest(OCI_INDEX, (), (), None)


def test_docker_schema_2_is_read() -> None:
    document = _image(
        mediaType=DOCKER_MANIFEST, config=_entry(b"c", DOCKER_CONFIG), layers=[_entry(b"l", DOCKER_LAYER)]
    )
    assert _parse(document) == Manifest(
        DOCKER_MANIFEST, (_descriptor(b"c", DOCKER_CONFIG), _descriptor(b"l", DOCKER_LAYER)), (), None
    )


def test_a_docker_manifest_list_is_read() -> None:
    document = _index(mediaType=DOCKER_MANIFEST_LIST, manifests=[_entry(b"child", DOCKER_MANIFEST)])
    assert _parse(document) == Manifest(DOCKER_MANIFEST_LIST, (), (_descriptor(b"child", DOCKER_MANIFEST),), None)


def test_an_artifact_with_an_empty_config_and_a_subject_is_read() -> None:
    """OCI image spec 1.1, manifest.md, "Guidelines for Artifact Usage"."""
    manifest = _parse(
        _image(
            artifactType="application/vnd.example.sbom",
            config=_entry(b"{}", OCI_EMPTY, data="e30="),
            layers=[_entry(b"{}", OCI_EMPTY)],
            subject=_entry(b"subject", OCI_MANIFEST),
        )
    )
    assert manifest.blobs == (_descriptor(b"{}", OCI_EMPTY), _descriptor(b"{}", OCI_EMPTY))
    assert manifest.subject == _descriptor(b"subject", OCI_MANIFEST)


def test_an_index_may_have_a_subject_too() -> None:
    assert _parse(_index(subject=_entry(b"s", OCI_INDEX))).subject == _descriptor(b"s", OCI_INDEX)


def test_docker_documents_have_no_subject() -> None:
    """A registry indexes referrers by the subject of OCI documents alone; for Docker's it is an unknown field."""
    assert _parse(_image(mediaType=DOCKER_MANIFEST, subject=_entry(b"s", OCI_MANIFEST))).subject is None


def test_unknown_fields_are_ignored() -> None:
    document = _image(annotations={"a": "b"}, future=[1, {"deep": None}])
    document["layers"][0] |= {"annotations": {"x": "y"}, "data": 7, "artifactType": "x/y", "future": True}
    assert _parse(document) == _parse(_image())


@pytest.mark.parametrize("media_type", [FOREIGN, NONDISTRIBUTABLE])
def test_foreign_layers_that_say_where_they_are_had_are_left_out(media_type: str) -> None:
    layers = [_entry(b"windows", media_type, urls=["https://elsewhere.example/layer"]), _entry(b"one")]
    assert _parse(_image(layers=layers)).blobs[1:] == (_descriptor(b"one"),)


@pytest.mark.parametrize("more", [{}, {"urls": []}, {"urls": None}])
def test_foreign_layers_without_another_home_are_pushed(more: dict[str, object]) -> None:
    assert _descriptor(b"w", FOREIGN) in _parse(_image(layers=[_entry(b"w", FOREIGN, **more)])).blobs


def test_an_ordinary_layer_with_urls_is_pushed() -> None:
    layer = _entry(b"one", urls=["https://elsewhere.example/layer"])
    assert _parse(_image(layers=[layer])).blobs[1:] == (_descriptor(b"one"),)


def test_null_is_what_go_programs_write_for_nothing() -> None:
    assert _parse(_image(layers=None, subject=None)).blobs == (_descriptor(b"{...}", OCI_CONFIG),)
    assert _parse(_index(manifests=None)).children == ()


# ------------------------------------------------------------------------------------------ its media type


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_without_a_media_type_of_its_own_an_image_has_the_descriptors(media_type: str) -> None:
    assert _parse(_without(_image(), "mediaType"), media_type).media_type == media_type


def test_with_neither_the_media_type_is_told_by_the_structure() -> None:
    assert _parse(_without(_image(), "mediaType")).media_type == OCI_MANIFEST
    assert _parse(_without(_index(), "mediaType")).media_type == OCI_INDEX
    assert _parse(_image(mediaType=None)).media_type == OCI_MANIFEST


def test_a_document_that_contradicts_its_descriptor_is_refused() -> None:
    error = _refused(_image(), DOCKER_MANIFEST)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert error.subject == "mediaType"
    assert OCI_MANIFEST in error.detail
    assert DOCKER_MANIFEST in error.detail


def test_a_document_that_is_image_and_index_at_once_is_refused() -> None:
    """CVE-2021-41190: two readers must not see two images in one digest."""
    error = _refused(_image() | {"manifests": []})
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert error.subject == "manifests"


@pytest.mark.parametrize("key", ["config", "layers"])
def test_an_index_with_the_fields_of_an_image_is_refused(key: str) -> None:
    error = _refused(_index() | {key: _image()[key]})
    assert (error.code, error.subject) == (Code.SOURCE_MANIFEST_INVALID, key)


@pytest.mark.parametrize("named", [OCI_INDEX, DOCKER_MANIFEST_LIST])
def test_an_image_that_calls_itself_an_index_is_refused(named: str) -> None:
    error = _refused(_image(mediaType=named))
    assert (error.code, error.subject) == (Code.SOURCE_MANIFEST_INVALID, "config")


def test_an_index_that_calls_itself_an_image_is_refused() -> None:
    error = _refused(_index(mediaType=OCI_MANIFEST))
    assert (error.code, error.subject) == (Code.SOURCE_MANIFEST_INVALID, "manifests")


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ({"schemaVersion": 1, "name": "app", "fsLayers": [], "history": []}, None),
        ({"schemaVersion": 1, "mediaType": DOCKER_SCHEMA_1}, None),
        ({"schemaVersion": 1, "mediaType": DOCKER_SCHEMA_1_SIGNED}, None),
        ({"schemaVersion": 2, "mediaType": DOCKER_SCHEMA_1}, None),
        ({"schemaVersion": 1}, DOCKER_SCHEMA_1_SIGNED),
        ({}, DOCKER_SCHEMA_1),
        (_without(_image(fsLayers=[]), "mediaType"), None),
    ],
)
def test_dockers_first_schema_is_refused_by_name_with_the_way_out(document: object, media_type: str | None) -> None:
    error = _refused(document, media_type)
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert "schema 1" in error.detail
    assert "skopeo copy" in error.hint


@pytest.mark.parametrize("given_as", ["document", "descriptor"])
def test_a_document_of_another_kind_is_refused_by_its_media_type(given_as: str) -> None:
    other = "application/vnd.oci.artifact.manifest.v1+json"
    error = (
        _refused(_image(mediaType=other))
        if given_as == "document"
        else _refused(_without(_image(), "mediaType"), other)
    )
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert other in error.detail


def test_a_document_that_is_neither_image_nor_index_is_refused() -> None:
    error = _refused({"schemaVersion": 2})
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert "neither" in error.detail


# ------------------------------------------------------------------------------------------ what is wrong, and where

DIGEST = str(Digest.of(b"one"))


@pytest.mark.parametrize(
    ("document", "field", "detail"),
    [
        (_without(_image(), "schemaVersion"), "schemaVersion", "missing"),
        (_image(schemaVersion=3), "schemaVersion", "2"),
        (_image(schemaVersion="2"), "schemaVersion", "2"),
        (_image(schemaVersion=2.0), "schemaVersion", "2"),
        (_image(schemaVersion=True), "schemaVersion", "2"),
        (_image(mediaType=7), "mediaType", "string"),
        (_without(_image(), "config"), "config", "missing"),
        (_without(_image(), "layers"), "layers", "missing"),
        (_without(_index(), "manifests"), "manifests", "missing"),
        (_image(config=None), "config", "object"),
        (_image(config=[]), "config", "object"),
        (_image(config={}), "config.mediaType", "missing"),
        (_image(layers={}), "layers", "array"),
        (_image(layers="x"), "layers", "array"),
        (_index(manifests=7), "manifests", "array"),
        (_image(layers=[_entry(b"one"), None]), "layers[1]", "object"),
        (_image(subject="x"), "subject", "object"),
        (_image(subject={"mediaType": OCI_MANIFEST, "size": 1}), "subject.digest", "missing"),
        (_index(manifests=[{"mediaType": OCI_MANIFEST, "digest": DIGEST}]), "manifests[0].size", "missing"),
        (_image(layers=[_entry(b"one") | {"mediaType": None}]), "layers[0].mediaType", "string"),
        (_image(layers=[_entry(b"one") | {"mediaType": ""}]), "layers[0].mediaType", "media type"),
        (_image(layers=[_entry(b"one") | {"mediaType": "plain"}]), "layers[0].mediaType", "media type"),
        (_image(layers=[_entry(b"one") | {"mediaType": "a/b\r\nX: y"}]), "layers[0].mediaType", "media type"),
        (_image(layers=[_entry(b"one") | {"mediaType": "a/" + "b" * 300}]), "layers[0].mediaType", "media type"),
        (_image(layers=[_entry(b"one") | {"digest": 7}]), "layers[0].digest", "string"),
        (_image(layers=[_entry(b"one") | {"digest": "sha256:abc"}]), "layers[0].digest", "'sha256:abc'"),
        (_image(layers=[_entry(b"one") | {"digest": "md5:" + "0" * 32}]), "layers[0].digest", "md5"),
        (_image(layers=[_entry(b"one") | {"size": -1}]), "layers[0].size", "negative"),
        (_image(layers=[_entry(b"one") | {"size": True}]), "layers[0].size", "whole number"),
        (_image(layers=[_entry(b"one") | {"size": 3.0}]), "layers[0].size", "whole number"),
        (_image(layers=[_entry(b"one") | {"size": "3"}]), "layers[0].size", "whole number"),
        (_image(layers=[_entry(b"one") | {"size": None}]), "layers[0].size", "whole number"),
        (_image(layers=[_entry(b"one") | {"size": 1 << 63}]), "layers[0].size", "64 bits"),
        (_image(layers=[_entry(b"one", FOREIGN, urls="x")]), "layers[0].urls", "array"),
        (_image(layers=[_entry(b"one", FOREIGN, urls=[7])]), "layers[0].urls[0]", "string"),
    ],
)
def test_a_wrong_field_is_refused_by_name(document: object, field: str, detail: str) -> None:
    error = _refused(document)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert error.subject == field
    assert detail in error.detail


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"not json",
        b"\x1f\x8b\x08",
        b'\xef\xbb\xbf{"schemaVersion":2}',
        '{"schemaVersion":2}'.encode("utf-16"),
        b'{"schemaVersion":2} trailing',
        b'{"schemaVersion":2,}',
        b'{"a":"\xff"}',
        b'{"schemaVersion":NaN}',
        b'{"schemaVersion":-Infinity}',
        b'{"schemaVersion":' + b"9" * 5000 + b"}",
    ],
    ids=repr,
)
def test_what_is_not_json_is_refused(content: bytes) -> None:
    error = _refusal(content)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert "JSON" in error.detail


@pytest.mark.parametrize("content", [b"[]", b"null", b"7", b'"x"'])
def test_a_document_that_is_no_object_is_refused(content: bytes) -> None:
    error = _refusal(content)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert "object" in error.detail


@pytest.mark.parametrize(
    "content",
    [
        b'{"schemaVersion":2,"schemaVersion":2}',
        b'{"schemaVersion":2,"config":{"size":1,"size":2}}',
        b'{"schemaVersion":2,"future":{"a":1,"\\u0061":2}}',
    ],
)
def test_a_field_given_twice_is_refused(content: bytes) -> None:
    """Readers differ in which of the two they take, so one digest would mean two things (RFC 8259, 4)."""
    error = _refusal(content)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert "twice" in error.detail


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    error = _refusal(b'{"future":' + opening * 500_000)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert "nested" in error.detail


def test_a_manifest_of_four_mebibytes_is_read_and_a_larger_one_is_refused() -> None:
    content = json.dumps(_image()).encode()
    assert MAX_SIZE == 4 * 1024 * 1024
    assert Manifest.parse(content.ljust(MAX_SIZE)) == _parse(_image())
    error = _refusal(content.ljust(MAX_SIZE + 1))
    assert error.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert "4194305 bytes" in error.detail


def test_control_characters_of_a_document_are_not_echoed() -> None:
    for document in (_image(mediaType="\x1b[2J"), {"\x1b": 1}, _image(config=_entry(b"") | {"digest": "\x1b\ud800"})):
        assert str(_refused(document)).isprintable()
    assert str(_refusal(b'{"\\u001b":1,"\\u001b":2}')).isprintable()


_KEYS = st.sampled_from(["mediaType", "digest", "size", "config", "layers", "manifests", "subject", "urls"]) | st.text()
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(DIGEST) | st.just(OCI_MANIFEST),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=12,
)
_MEDIA_TYPES = st.none() | st.sampled_from([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST]) | st.text()


@given(st.binary() | st.text().map(str.encode), _MEDIA_TYPES)
def test_arbitrary_bytes_raise_nothing_but_our_errors(content: bytes, media_type: str | None) -> None:
    with pytest.raises(PushdError) as caught:
        Manifest.parse(content, media_type)
    assert str(caught.value).isprintable()


@given(st.sampled_from([_image(), _index()]), st.dictionaries(_KEYS, _JSON, max_size=4), _MEDIA_TYPES)
def test_a_document_with_arbitrary_fields_is_read_or_refused_by_our_errors(
    document: dict[str, Any], more: dict[str, Any], media_type: str | None
) -> None:
    read = _read(document | more, media_type)
    if isinstance(read, SourceError):
        assert read.code.name.startswith("SOURCE_MANIFEST_")
        assert str(read).isprintable()
    else:
        assert not (read.blobs and read.children)


def _read(document: object, media_type: str | None) -> Manifest | SourceError:
    try:
        return _parse(document, media_type)
    except SourceError as error:
        return error


@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(min_value=0, max_value=(1 << 63) - 1))))
def test_every_layer_reads_back_in_order(layers: list[tuple[bytes, int]]) -> None:
    document = _image(layers=[_entry(content) | {"size": size} for content, size in layers])
    assert _parse(document).blobs[1:] == tuple(Descriptor(OCI_LAYER, Digest.of(c), size) for c, size in layers)
