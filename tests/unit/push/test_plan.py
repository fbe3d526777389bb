from __future__ import annotations

import json

from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.document import Document
from pushd.oci.image import Image
from pushd.oci.manifest import Manifest
from pushd.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pushd.push.plan import make_plan

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def blob(content: str, media_type: str = LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(content.encode()), len(content))


def document(media_type: str, **parts: object) -> Document:
    content = json.dumps({"schemaVersion": 2, "mediaType": media_type, **parts}).encode()
    return Document(
        Descriptor(media_type, Digest.of(content), len(content)), content, Manifest.parse(content, media_type)
    )


def entry(it: Descriptor) -> dict[str, object]:
    return {"mediaType": it.media_type, "digest": str(it.digest), "size": it.size}


def manifest(config: str, *layers: str) -> Document:
    return document(
        OCI_MANIFEST, config=entry(blob(config, OCI_CONFIG)), layers=[entry(blob(layer)) for layer in layers]
    )


AMD64 = manifest("amd64", "shared", "only amd64")
ARM64 = manifest("arm64", "shared", "only arm64")
INDEX = document(OCI_INDEX, manifests=[entry(AMD64.descriptor), entry(ARM64.descriptor)])
IMAGE = Image((AMD64, ARM64, INDEX))


def digests(*contents: str) -> set[Digest]:
    return {Digest.of(content.encode()) for content in contents}


def test_where_nothing_is_everything_is_needed_once_children_first() -> None:
    plan = make_plan(IMAGE, frozenset())
    assert plan.documents == (AMD64, ARM64, INDEX)
    assert [it.digest for it in plan.blobs] == [
        Digest.of(content.encode()) for content in ("amd64", "shared", "only amd64", "arm64", "only arm64")
    ]


def test_where_everything_is_nothing_is_needed() -> None:
    plan = make_plan(IMAGE, frozenset(it.descriptor.digest for it in IMAGE.documents))
    assert (plan.documents, plan.blobs) == ((), ())


def test_a_manifest_that_is_there_vouches_for_its_blobs() -> None:
    plan = make_plan(IMAGE, frozenset({INDEX.descriptor.digest, AMD64.descriptor.digest}))
    assert plan.documents == (ARM64, INDEX), "the root is put again: it moves the tag"
    assert {it.digest for it in plan.blobs} == digests("arm64", "only arm64")


def test_an_index_vouches_for_none_of_its_children() -> None:
    plan = make_plan(IMAGE, frozenset({INDEX.descriptor.digest}))
    assert plan.documents == (AMD64, ARM64, INDEX)
    assert {it.digest for it in plan.blobs} == digests("amd64", "shared", "only amd64", "arm64", "only arm64")
