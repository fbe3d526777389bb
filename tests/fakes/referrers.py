"""What refers to an image, as tools make it: signatures, SBOMs, and cosign's own, in a layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushd.oci.referrers import referrers_tag
from tests.fakes.images import CONFIG, INDEX, MANIFEST, REF_NAME, ImageSpec, build_layout, entry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from tests.fakes.images import BuiltImage, Layout

SIGNATURE = "application/vnd.example.signature.v1"
SBOM = "application/spdx+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNED_WITH = "dev.cosignproject.cosign/signature"


def refer(layout: Layout, subject: Descriptor, *, artifact_type: str = SIGNATURE, said: str = "yes") -> Descriptor:
    """Put a manifest into a layout that refers to another one (OCI image spec 1.1, `subject`)."""
    return layout.put_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": entry(layout.put(b"{}", EMPTY)),
            "layers": [entry(layout.put(f"{said} of {subject.digest}".encode(), artifact_type))],
            "subject": entry(subject),
            "annotations": {"org.example.said": said},
        },
        MANIFEST,
    )


def cosign(layout: Layout, subject: Digest, *keys: str) -> Descriptor:
    """Put a manifest into a layout as cosign signs: a layer for each key, and the same bytes signed by each."""
    payload = entry(layout.put(json.dumps({"critical": {"image": str(subject)}}).encode(), SIMPLE_SIGNING))
    config = {"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [payload["digest"] for _ in keys]}}
    return layout.put_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": entry(layout.put_json(config, CONFIG)),
            "layers": [{**payload, "annotations": {_SIGNED_WITH: key}} for key in keys],
        },
        MANIFEST,
    )


def keys_of(manifest: bytes) -> list[str]:
    """Give by which keys a manifest of cosign's is signed."""
    return [layer["annotations"][_SIGNED_WITH] for layer in json.loads(manifest)["layers"]]


def tag_of(subject: Digest, ending: str = ".sig") -> str:
    """Give a tag of cosign's."""
    return f"{subject.algorithm}-{subject.encoded}{ending}"


def listing(layout: Layout, referrers: Iterable[Descriptor]) -> Descriptor:
    """Put an index into a layout that lists referrers."""
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(one) for one in referrers]}
    return layout.put_json(index, INDEX)


def listed_as(subject: Digest, index: Descriptor) -> dict[str, Any]:
    """Give how `index.json` lists an index under the referrers tag."""
    return tagged(referrers_tag(subject), index)


def tagged(tag: str, descriptor: Descriptor) -> dict[str, Any]:
    """Give how `index.json` lists a manifest under a tag."""
    return entry(descriptor, annotations={REF_NAME: tag})


@dataclass(frozen=True, slots=True)
class Signed:
    """An index of two platforms with an attestation for each, and all that refers to it.

    Attributes:
        signature: of the index.
        sbom: of the first image.
        countersigned: a signature of the SBOM.
        sig: cosign's of the index, under its tag.
    """

    layout: Layout
    signature: Descriptor
    sbom: Descriptor
    countersigned: Descriptor
    sig: Descriptor

    @property
    def image(self) -> BuiltImage:
        return self.layout.image

    @property
    def source(self) -> str:
        return f"oci:{self.layout.path}:1.4"

    @property
    def referring(self) -> tuple[tuple[Descriptor, Digest], ...]:
        """What has a subject, and which."""
        child = self.image.manifests[0]
        return (self.signature, self.image.digest), (self.sbom, child.digest), (self.countersigned, self.sbom.digest)

    @property
    def manifests(self) -> tuple[Descriptor, ...]:
        return (*self.image.manifests, self.signature, self.sbom, self.countersigned, self.sig)


def build_signed(path: Path) -> Signed:
    """Build a layout of it in the directory `path`."""
    spec = ImageSpec(tag="1.4", layers=[1000, 300_000], platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(path, [spec])
    image = layout.image
    signature = refer(layout, image.root)
    sbom = refer(layout, image.manifests[0], artifact_type=SBOM)
    countersigned = refer(layout, sbom)
    sig = cosign(layout, image.digest, "alice")
    layout.write_index(
        tagged("1.4", image.root),
        *map(entry, (signature, sbom, countersigned)),
        tagged(tag_of(image.digest), sig),
    )
    return Signed(layout, signature, sbom, countersigned, sig)
