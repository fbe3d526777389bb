"""The manifest of an artifact, as the guidelines for artifacts have it."""

from __future__ import annotations

import json

import pytest

from pushd.oci.artifact import EMPTY, Layer, build_artifact
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.manifest import Manifest
from pushd.oci.media_types import is_media_type

TYPE = "application/vnd.example.report.v1"
EMPTY_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
ONE = Layer(Descriptor("text/plain", Digest.of(b"one"), 3), {"org.opencontainers.image.title": "one.txt"})


def test_files_are_layers_with_the_empty_config() -> None:
    document = json.loads(build_artifact(TYPE, [ONE], {}))
    assert document == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": TYPE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_DIGEST, "size": 2},
        "layers": [
            {
                "mediaType": "text/plain",
                "digest": str(Digest.of(b"one")),
                "size": 3,
                "annotations": {"org.opencontainers.image.title": "one.txt"},
            }
        ],
    }


def test_without_files_the_only_layer_is_the_empty_one() -> None:
    document = json.loads(build_artifact(TYPE, [], {"k": "v"}))
    assert document["layers"] == [document["config"]]
    assert document["annotations"] == {"k": "v"}


def test_the_same_in_another_order_is_the_same_document_but_layers_keep_theirs() -> None:
    two = Layer(Descriptor("text/plain", Digest.of(b"two"), 3), {"a": "1", "b": "2"})
    other = Layer(two.descriptor, {"b": "2", "a": "1"})
    assert build_artifact(TYPE, [ONE, two], {"k": "v", "l": "w"}) == build_artifact(
        TYPE, [ONE, other], {"l": "w", "k": "v"}
    )
    assert build_artifact(TYPE, [ONE, two], {}) != build_artifact(TYPE, [two, ONE], {})


def test_what_is_built_is_a_manifest_that_can_be_pushed() -> None:
    manifest = Manifest.parse(build_artifact(TYPE, [ONE], {}))
    assert manifest.blobs == (EMPTY, ONE.descriptor)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("text/plain", True),
        ("application/vnd.example+type", True),
        ("a/b", True),
        ("text", False),
        ("text/", False),
        ("/plain", False),
        ("text/pl ain", False),
        ("text/plain/x", False),
        ("text/plain; charset=utf-8", False),
        (".text/plain", False),
        ("text/" + "a" * 127, True),
        ("text/" + "a" * 128, False),
        ("text/plain\n", False),
    ],
)
def test_names_of_media_types_are_told_from_others(text: str, is_one: bool) -> None:
    assert is_media_type(text) is is_one
