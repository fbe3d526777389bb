"""Images built by buildah and umoci, saved in every format, pushed, and read back by them, skopeo, crane and oras."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pushd.oci.digest import Digest
from tests.fakes.engine import FakeEngine
from tests.fakes.images import pack
from tests.integration.buildah import STORED, TAG, Buildah, build, tree, unpack
from tests.integration.conftest import NAMES
from tests.integration.daemon import Daemon
from tests.integration.parts import CRANE, DISTRIBUTION_2, ORAS, SKOPEO, RealRegistry, read_back, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Built:
    """What all of these tests are about.

    Attributes:
        buildah: whose store has the image.
        layout: an image layout that has it, with compressed layers.
        tree: what its files are.
        registry: has it as `reference`.
    """

    buildah: Buildah
    layout: Path
    tree: dict[str, tuple[object, ...]]
    registry: RealRegistry

    @property
    def image(self) -> str:
        """The image in the layout, as skopeo names it."""
        return f"oci:{self.layout}:{TAG}"

    @property
    def reference(self) -> str:
        """The image in the registry."""
        return f"{self.registry.address}/base/app:{TAG}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Build the image once for all tests; none of them changes it."""
    directory = tmp_path_factory.mktemp("built")
    buildah = Buildah(directory / "store")
    layout = build(buildah, directory / "layout")
    registry = RealRegistry(NAMES[DISTRIBUTION_2], DISTRIBUTION_2.find(), directory)
    try:
        registry.start()
        image = Built(buildah, layout, tree(unpack(layout, directory / "bundle")), registry)
        copy(image.image, f"docker://{image.reference}")
        yield image
    finally:
        registry.stop()


@contextmanager
def running(directory: Path) -> Iterator[Daemon]:
    """Run a daemon that has seen nothing yet."""
    one = Daemon(directory)
    try:
        one.start()
        yield one
        one.close()
    finally:
        one.discard()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give one daemon for all tests: each has a registry of its own."""
    with running(tmp_path_factory.mktemp("daemon")) as one:
        yield one


def copy(source: str, destination: str, *options: str) -> None:
    """Let skopeo copy all of an image."""
    done = run(
        SKOPEO.find(), "--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
        *options, source, destination,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def crane(*arguments: str | Path) -> None:
    done = run(CRANE.find(), *arguments)
    assert done.returncode == 0, done.stderr


def oras(verb: str, *arguments: str | Path) -> None:
    done = run(ORAS.find(), verb, "--no-tty", *arguments)
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------------- pushed as it is


def layout(built: Built, _: Path) -> str:
    return built.image


def layout_of_plain_layers(built: Built, directory: Path) -> str:
    copy(built.image, f"dir:{directory / 'plain'}", "--dest-decompress")
    copy(f"dir:{directory / 'plain'}", f"oci:{directory / 'app'}:{TAG}", "--dest-oci-accept-uncompressed-layers")
    return f"oci:{directory / 'app'}:{TAG}"


def layout_of_cranes(built: Built, directory: Path) -> str:
    crane("pull", "--insecure", "--format=oci", built.reference, directory / "app")
    return f"oci:{directory / 'app'}"


def layout_of_oras(built: Built, directory: Path) -> str:
    oras("copy", "--from-plain-http", built.reference, "--to-oci-layout", f"{directory / 'app'}:{TAG}")
    return f"oci:{directory / 'app'}:{TAG}"


def index(built: Built, directory: Path) -> str:
    """Let buildah make an index over two platforms."""
    buildah, name = built.buildah, f"localhost/{directory.name}"
    buildah("manifest", "create", name)
    for architecture in ("amd64", "arm64"):
        container, _ = buildah.mounted(STORED)
        buildah("config", "--arch", architecture, container)
        one = buildah.copy("commit", "--rm", container)
        buildah("manifest", "add", name, one)
    buildah.copy("manifest push", "--all", name, f"oci:{directory / 'app'}:{TAG}")
    return f"oci:{directory / 'app'}:{TAG}"


def archive_of_skopeos(built: Built, directory: Path) -> str:
    copy(built.image, f"oci-archive:{directory / 'app.tar'}:{TAG}")
    return f"oci-archive:{directory / 'app.tar'}"


def archive_of_buildahs(built: Built, directory: Path) -> str:
    built.buildah.copy("push", STORED, f"oci-archive:{directory / 'app.tar'}:{TAG}")
    return f"oci-archive:{directory / 'app.tar'}:{TAG}"


def directory_of_skopeos(built: Built, directory: Path) -> str:
    copy(built.image, f"dir:{directory / 'app'}")
    return f"dir:{directory / 'app'}"


def directory_with_dockers_manifest(built: Built, directory: Path) -> str:
    built.buildah.copy("push", "--format", "v2s2", STORED, f"dir:{directory / 'app'}")
    return f"dir:{directory / 'app'}"


def directory_whose_plain_layers_are_called_compressed(built: Built, directory: Path) -> str:
    """Let skopeo copy what Docker saved: skopeo 1.9 leaves the layers plain, and says of their media type gzip."""
    copy(f"docker-archive:{saved_by_skopeo(built, directory)}", f"dir:{directory / 'app'}")
    return f"dir:{directory / 'app'}"


def registry(built: Built, _: Path) -> str:
    return f"docker://{built.reference}"


@pytest.mark.parametrize(
    "save",
    [
        layout,
        layout_of_plain_layers,
        layout_of_cranes,
        layout_of_oras,
        index,
        archive_of_skopeos,
        archive_of_buildahs,
        directory_of_skopeos,
        directory_with_dockers_manifest,
        directory_whose_plain_layers_are_called_compressed,
        registry,
    ],
    ids=lambda save: save.__name__,
)
def test_what_is_pushed_as_it_is_is_what_was_saved_byte_for_byte(
    daemon: Daemon, built: Built, real_registry: RealRegistry, tmp_path: Path, save: Callable[[Built, Path], str]
) -> None:
    source = save(built, tmp_path)
    destination = f"{real_registry.address}/team/app:{TAG}"

    job = daemon.wait(daemon.submit(source, destination))

    assert job["state"] == "succeeded", job
    there, back = tmp_path / "there", tmp_path / "back"
    copy(source, f"dir:{there}")
    copy(f"docker://{destination}", f"dir:{back}", "--preserve-digests")
    contents = {path.name: path.read_bytes() for path in back.iterdir()}
    assert contents == {path.name: path.read_bytes() for path in there.iterdir()}
    assert job["digest"] == str(Digest.of(contents["manifest.json"]))


# ------------------------------------------------------------------------------- put together and compressed


def saved_by_skopeo(built: Built, directory: Path) -> Path:
    """Let skopeo write what `docker save` did before 25: a directory for each layer, links, and `repositories`."""
    copy(built.image, f"docker-archive:{directory / 'app.tar'}:app:{TAG}")
    return directory / "app.tar"


def saved_by_buildah(built: Built, directory: Path) -> Path:
    built.buildah.copy("push", STORED, f"docker-archive:{directory / 'app.tar'}:app:{TAG}")
    return directory / "app.tar"


def saved_since_25(built: Built, directory: Path) -> Path:
    """Write what `docker save` does since 25: a layout of plain layers, and the list that was there before."""
    layout_of_plain_layers(built, directory)
    path = directory / "app"
    config, *layers = (f"blobs/{digest.replace(':', '/')}" for digest in parts(path))
    (path / "manifest.json").write_text(json.dumps([{"Config": config, "RepoTags": [f"app:{TAG}"], "Layers": layers}]))
    return pack(path, directory / "app.tar")


def parts(layout: Path) -> list[str]:
    """Give the digests of the config and of the layers of the only image of a layout."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, entry["digest"]))
    return [one["digest"] for one in (manifest["config"], *manifest["layers"])]


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


@pytest.mark.parametrize("save", [saved_by_skopeo, saved_by_buildah, saved_since_25], ids=lambda save: save.__name__)
def test_what_docker_saves_plain_is_the_same_image_compressed_and_the_same_bytes_each_time(
    daemon: Daemon, built: Built, real_registry: RealRegistry, tmp_path: Path, save: Callable[[Built, Path], Path]
) -> None:
    path = save(built, tmp_path)
    destination = f"{real_registry.address}/team/app:{TAG}"
    jobs = [daemon.wait(daemon.submit(f"docker-archive:{path}", destination))]
    (tmp_path / "another").mkdir()
    with (
        running(tmp_path / "another") as another,  # who has not compressed it before
        FakeEngine(another.socket.with_name("docker.sock"), {f"app:{TAG}": path.read_bytes()}) as engine,
    ):
        jobs.append(pushed(another, engine, f"docker-daemon:app:{TAG}", f"{real_registry.address}/engine/app:1"))
        jobs.append(pushed(another, engine, "-", f"{real_registry.address}/pipe/app:1", given=path))

    assert [job["state"] for job in jobs] == ["succeeded"] * 3
    assert len({job["digest"] for job in jobs}) == 1
    back = read_back(destination, tmp_path / "back")
    config, *layers = parts(back)
    assert config == parts(built.layout)[0]
    plain = [str(Digest.of(gzip.decompress(blob(back, layer)))) for layer in layers]
    assert plain == json.loads(blob(back, config))["rootfs"]["diff_ids"]
    assert tree(unpack(back, tmp_path / "bundle", "back")) == built.tree


def pushed(daemon: Daemon, engine: FakeEngine, source: str, destination: str, given: Path | None = None) -> Any:
    """`pushctl push SOURCE DESTINATION < GIVEN`; gives the job as it ended."""
    done = subprocess.run(
        [sys.executable, "-m", "pushd.ctl", "push", source, destination, "--wait", "--json"],
        input=b"" if given is None else given.read_bytes(),
        capture_output=True, timeout=60, check=False, env={**daemon.environment, "DOCKER_HOST": engine.host},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_layers_that_crane_left_compressed_in_an_archive_of_dockers_are_the_same_ones(
    daemon: Daemon, built: Built, real_registry: RealRegistry, tmp_path: Path
) -> None:
    crane("pull", "--insecure", built.reference, tmp_path / "app.tar")
    destination = f"{real_registry.address}/team/app:{TAG}"

    job = daemon.wait(daemon.submit(f"docker-archive:{tmp_path / 'app.tar'}", destination, validate="full"))

    assert job["state"] == "succeeded", job
    assert parts(read_back(destination, tmp_path / "back")) == parts(built.layout)


# ---------------------------------------------------------------------------------------------- read by others


def by_buildah(built: Built, reference: str, _: Path) -> Path:
    return built.buildah.mounted(f"docker://{reference}", "--tls-verify=false")[1]


def by_crane(_: Built, reference: str, directory: Path) -> Path:
    crane("validate", "--insecure", "--remote", reference)
    crane("pull", "--insecure", "--format=oci", reference, directory / "app")
    return unpack(named(directory / "app"), directory / "bundle")


def by_oras(_: Built, reference: str, directory: Path) -> Path:
    oras("copy", "--from-plain-http", reference, "--to-oci-layout", f"{directory / 'app'}:{TAG}")
    return unpack(directory / "app", directory / "bundle")


def named(layout: Path) -> Path:
    """Give a layout's only image the name umoci asks for."""
    content = json.loads((layout / "index.json").read_text())
    (entry,) = content["manifests"]
    entry["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    (layout / "index.json").write_text(json.dumps(content))
    return layout


@pytest.mark.parametrize("read", [by_buildah, by_crane, by_oras], ids=lambda read: read.__name__)
def test_what_was_pushed_has_the_same_files_for_whoever_reads_it(
    daemon: Daemon,
    built: Built,
    real_registry: RealRegistry,
    tmp_path: Path,
    read: Callable[[Built, str, Path], Path],
) -> None:
    saved = f"docker-archive:{saved_by_skopeo(built, tmp_path)}"
    for name, source in (("as-it-is", built.image), ("compressed", saved)):
        destination = f"{real_registry.address}/{name}/app:{TAG}"
        job = daemon.wait(daemon.submit(source, destination, validate="full"))
        assert job["state"] == "succeeded", job
        (tmp_path / name).mkdir()
        assert tree(read(built, destination, tmp_path / name)) == built.tree
