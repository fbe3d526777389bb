"""Many large uploads under way at once, to a registry that takes them slowly: what the daemon holds in memory."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.oci.digest import Digest
from tests.benchmarks.serving import serving
from tests.fakes.images import CONFIG, LAYER, MANIFEST, REF_NAME, Layout, entry
from tests.integration.daemon import Daemon
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.scale import Scale

_LAYERS = 8
"""Of an image."""
_MEMORY = 64 << 20
"""The daemon's default for all its buffers, in bytes: enough for 64 uploads at once."""
_EACH = 1000 << 10
"""What more of them need, each: two thirds of the memory go to uploads with whole pieces, the rest to more of them."""
_PAUSE = 0.2
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What was seen.

    Attributes:
        uploads: under way at once, at the most.
        layer: bytes of each.
        memory: bytes resident at the most.
        body: bytes that had arrived when it was ended.
        seconds: for which it was looked at, once all were under way.
    """

    uploads: int
    layer: int
    memory: int
    body: int
    seconds: float


def measure(directory: Path, scale: Scale) -> Flight:
    """Have so many uploads under way, look on for a while, and kill the daemon amid it."""
    directory.mkdir()
    uploads = scale.flight
    jobs = -(-uploads // _LAYERS)
    sources = [_sparse(directory / f"image-{number}", number, scale.flight_layer) for number in range(jobs)]
    daemon = Daemon(directory)
    with serving("sink", "--rate", str(scale.flight_rate)) as sink:
        try:
            daemon.start(
                f"[limits]\ndeliveries = {jobs}\nuploads_per_registry = {uploads}\n"
                f"small_uploads_per_registry = {uploads}\nmemory = {max(_MEMORY, uploads * _EACH)}\n"
            )
            for number, source in enumerate(sources):
                daemon.submit(source, f"{sink.addresses[0]}/bench/large-{number}:1")
            wait_until(lambda: sink.counts().uploading >= uploads, f"{uploads} uploads are under way", seconds=120)
            end = time.monotonic() + scale.flight_time
            while time.monotonic() < end:
                time.sleep(_PAUSE)
            counts, memory = sink.counts(), daemon.memory().peak
        finally:
            daemon.discard()  # kills it
    return Flight(
        uploads=counts.uploading_peak,
        layer=scale.flight_layer,
        memory=memory,
        body=counts.body,
        seconds=scale.flight_time,
    )


def _sparse(directory: Path, number: int, size: int) -> str:
    """Write an image whose layers are holes; give its source.

    Its digests are made up: nobody gets as far as to see that.
    """
    (directory / "blobs" / "sha256").mkdir(parents=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    layout = Layout(directory)
    layers = []
    for layer in range(_LAYERS):
        digest = Digest.of(f"{number} {layer}".encode())
        with layout.blob_path(digest).open("wb") as file:
            file.truncate(size)
        layers.append({"mediaType": LAYER, "digest": str(digest), "size": size})
    config = layout.put(json.dumps({"number": number}).encode(), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": entry(config), "layers": layers}
    layout.write_index(entry(layout.put_json(manifest, MANIFEST), annotations={REF_NAME: "latest"}))
    return f"oci:{directory}:latest"
