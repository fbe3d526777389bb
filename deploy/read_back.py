# ruff: noqa: INP001, T201 (a script to be run and read, not a package; what it prints is its result)
"""Read an image back from a registry and compare every digest with the layout it was pushed from.

    python read_back.py LAYOUT NAME HOST:PORT/REPOSITORY:TAG

It shares no code with pushd, on purpose: who made a mistake in pushing should not repeat it in checking. Standard
library only; no credentials: for registries that let anyone read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 60
"""Seconds without a byte after which the registry is given up."""

PIECE = 1 << 20


def scheme_of(host: str) -> str:
    """Give `http` for loopback and `https` for every other `host[:port]`."""
    name = urlsplit(f"//{host}").hostname or ""
    parts = name.split(".")
    loopback = name in ("localhost", "::1") or (len(parts) == 4 and parts[0] == "127" and "".join(parts).isdigit())  # noqa: PLR2004 (an IPv4 address)
    return "http" if loopback else "https"


def digest_at(url: str, accept: str) -> str:
    """Fetch `url` and give the digest of the bytes that came.

    Raises:
        urllib.error.URLError: the registry answered with an error, or not at all.
    """
    handlers = [urllib.request.ProxyHandler({})] if url.startswith("http:") else []  # no proxy leads to loopback
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 (http or https, by scheme_of)
    sha256 = hashlib.sha256()
    with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT) as reply:
        while piece := reply.read(PIECE):
            sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"


def root_of(layout: Path, name: str) -> dict[str, Any]:
    """Give the descriptor of the image called `name` in the layout.

    Raises:
        LookupError: there is none.
    """
    for descriptor in json.loads((layout / "index.json").read_bytes())["manifests"]:
        if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == name:
            found: dict[str, Any] = descriptor
            return found
    raise LookupError(f"{layout}: holds no image called {name}")


def compare(what: str, descriptor: dict[str, Any], url: str) -> bool:
    """Fetch what `descriptor` names, print one line about it, and say whether it is the same."""
    expected = descriptor["digest"]
    try:
        found = digest_at(url, descriptor["mediaType"])
        verdict = "same" if found == expected else f"DIFFERS from {found}, which the registry gave for it"
    except urllib.error.HTTPError as error:
        error.close()
        found, verdict = "", f"NOT READ, {url} answered {error.code} {error.reason}"
    except OSError as error:
        found, verdict = "", f"NOT READ, {url}: {getattr(error, 'reason', error)}"
    same = bool(found == expected)
    shown = expected[: len("sha256:") + 12] if same else expected
    print(f"{what:8}  {shown}  {descriptor['size'] / 1e6:5.1f} MB  {verdict}")
    return same


def main() -> int:
    """Compare what the command line names; exit 0 when every digest agrees."""
    parser = argparse.ArgumentParser(description="Compare an image in a registry with the layout it came from.")
    parser.add_argument("layout", type=Path, help="the directory of the image layout")
    parser.add_argument("name", help="what the image is called inside the layout")
    parser.add_argument("reference", help="HOST:PORT/REPOSITORY:TAG")
    asked = parser.parse_args()
    host, _, path = asked.reference.partition("/")
    repository, _, tag = path.rpartition(":")
    base = f"{scheme_of(host)}://{host}/v2/{repository}"

    root = root_of(asked.layout, asked.name)
    algorithm, _, encoded = root["digest"].partition(":")
    manifest = json.loads((asked.layout / "blobs" / algorithm / encoded).read_bytes())
    wanted = [("manifest", root, f"{base}/manifests/{tag}")]
    wanted += [
        (what, descriptor, f"{base}/blobs/{descriptor['digest']}")
        for what, descriptor in [("config", manifest["config"]), *(("layer", layer) for layer in manifest["layers"])]
    ]
    agree = sum(compare(*each) for each in wanted)
    print(f"{agree} of {len(wanted)} digests agree with the layout")
    return 0 if agree == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
