"""deploy/install.sh, for real, below a directory: installed, brought up to date, taken back, removed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from tests.fakes.images import build_layout
from tests.integration.daemon import REPOSITORY
from tests.integration.deployed import Installed, contents, environment, install, tree
from tests.integration.parts import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.registry import FakeRegistry
    from tests.integration.deployed import Said

# Wheels are fetched once, as quickstart does, and virtual environments are made of them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RELEASES = Path("opt/pushd/releases")
CURRENT, PREVIOUS = Path("opt/pushd/current"), Path("opt/pushd/previous")
UNITS = Path("usr/local/lib/systemd/system")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source trees of two releases; the later one has a step more in its schema."""
    directory = tmp_path_factory.mktemp("trees")
    return {
        "0.1.0": tree(directory / "first", "0.1.0"),
        "0.2.0": tree(directory / "second", "0.2.0", migration=True),
    }


@pytest.fixture(scope="module")
def wheels(trees: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is fetched from the network."""
    directory = tmp_path_factory.mktemp("wheels")
    said = install(trees["0.1.0"], "--fetch", directory, python=sys.executable)
    assert said.code == 0, said.text
    return directory


@pytest.fixture(scope="module")
def first(trees: dict[str, Path], wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A root with the first release, and what was said; not to be changed."""
    root = tmp_path_factory.mktemp("first") / "root"
    said = install(trees["0.1.0"], "--root", root, "--wheels", wheels, python=sys.executable)
    assert said.code == 0, said.text
    return root, said


@pytest.fixture(scope="module")
def second(
    first: tuple[Path, Said], trees: dict[str, Path], wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Said]:
    """A root that was brought to the second release, and what was said; not to be changed."""
    root = tmp_path_factory.mktemp("second") / "root"
    shutil.copytree(first[0], root, symlinks=True)
    said = install(trees["0.2.0"], "--upgrade", "--root", root, "--wheels", wheels, python=sys.executable)
    assert said.code == 0, said.text
    return root, said


@pytest.fixture
def root(first: tuple[Path, Said], tmp_path: Path) -> Path:
    """A root with the first release, to do with as one likes."""
    return Path(shutil.copytree(first[0], tmp_path / "root", symlinks=True))


@pytest.fixture
def upgraded(second: tuple[Path, Said], tmp_path: Path) -> Path:
    """A root with the second release and the first behind it, to do with as one likes."""
    return Path(shutil.copytree(second[0], tmp_path / "root", symlinks=True))


@pytest.fixture
def script(trees: dict[str, Path], wheels: Path, tmp_path: Path) -> Callable[..., Said]:
    """Run the script of a version's tree on the root of the test."""

    def execute(version: str, *arguments: str | Path, offline: Path = wheels) -> Said:
        where = ("--root", tmp_path / "root", "--wheels", offline)
        return install(trees[version], *arguments, *where, python=sys.executable)

    return execute


@pytest.fixture
def installed(root: Path, tmp_path: Path) -> Iterator[Installed]:
    daemon = Installed(tmp_path, root)
    yield daemon
    daemon.discard()


def in_use(root: Path) -> str:
    return (root / CURRENT).readlink().name


# ---------------------------------------------------------------------------------------------------------- installing


def test_everything_a_service_needs_is_where_systemd_and_shells_look_for_it(first: tuple[Path, Said]) -> None:
    root, _ = first
    for name in ("pushd.service", "pushd.socket", "pushd@.service", "pushd@.socket"):
        assert (root / UNITS / name).read_text() == (REPOSITORY / "systemd" / name).read_text()
    for name in ("sysusers.d/pushd.conf", "tmpfiles.d/pushd.conf", "systemd/user/pushd.service"):
        assert (root / "usr/local/lib" / name).is_file()
    assert "complete -F" in (root / "usr/local/share/bash-completion/completions/pushctl").read_text()
    assert (root / "usr/local/share/zsh/site-functions/_pushctl").read_text().startswith("#compdef pushctl")
    assert "complete -c pushctl" in (root / "usr/local/share/fish/vendor_completions.d/pushctl.fish").read_text()
    assert (root / "usr/local/bin/pushctl").readlink() == Path("/opt/pushd/current/bin/pushctl")


def test_what_the_unit_starts_is_there_and_stays_with_its_release(first: tuple[Path, Said]) -> None:
    """Python imports late: through a link that moves, a daemon would mix two releases."""
    root, _ = first
    starts = re.search(r"^ExecStart=(\S+)", (root / UNITS / "pushd.service").read_text(), re.MULTILINE)
    assert starts is not None
    asked = "import sys, pushd; print(sys.prefix, pushd.__file__)"
    said = run(f"{root}{starts[1]}", "-P", "-c", asked, environment=environment())
    assert said.stdout.split()[0] == str(root / RELEASES / "0.1.0"), said
    assert said.stdout.split()[1].startswith(str(root / RELEASES / "0.1.0" / "lib"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
def test_users_are_made_and_the_service_is_enabled_without_starting_anything(first: tuple[Path, Said]) -> None:
    root, _ = first
    assert re.search(r"^pushd:x:\d+:\d+:", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert re.search(r"^pushd-admin:x:", (root / "etc/group").read_text(), re.MULTILINE)
    if shutil.which("systemctl"):
        assert (root / "etc/systemd/system/multi-user.target.wants/pushd.service").is_symlink()
        assert (root / "etc/systemd/system/sockets.target.wants/pushd.socket").is_symlink()


def test_a_release_holds_what_the_lock_file_lists_and_pushd_and_nothing_else(first: tuple[Path, Said]) -> None:
    root, _ = first
    asked = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    said = run(root / RELEASES / "0.1.0/bin/python", "-I", "-c", asked, environment=environment())
    lock = re.sub(r"\\\n", " ", (REPOSITORY / "requirements.lock").read_text())
    entries = [Requirement(line.partition("--hash")[0]) for line in lock.splitlines() if line and line[0] not in "# "]
    wanted = {one.name: str(one.specifier)[2:] for one in entries if one.marker is None or one.marker.evaluate()}
    found = {name.lower().replace("_", "-"): version for name, version in json.loads(said.stdout).items()}
    assert found == wanted | {"pushd": "0.1.0"}


def test_scripts_name_the_interpreter_as_it_is_called_in_the_image(first: tuple[Path, Said]) -> None:
    root, _ = first
    assert (root / RELEASES / "0.1.0/bin/pushctl").read_text().splitlines()[
        0
    ] == "#!/opt/pushd/releases/0.1.0/bin/python"
    for path in (root / RELEASES / "0.1.0/bin").iterdir():
        assert path.is_symlink() or str(root) not in path.read_text()


def test_run_again_it_finds_nothing_to_do(root: Path, script: Callable[..., Said]) -> None:
    before = contents(root)
    said = script("0.1.0")
    assert said.code == 0, said.text
    assert "wrote" not in said.text
    assert "making" not in said.text
    assert contents(root) == before


def test_run_again_it_puts_right_what_was_spoilt(root: Path, script: Callable[..., Said]) -> None:
    (root / UNITS / "pushd.service").write_text("[Service]\n")
    (root / "usr/local/bin/pushctl").unlink()
    assert script("0.1.0").code == 0
    assert (root / UNITS / "pushd.service").read_text() == (REPOSITORY / "systemd/pushd.service").read_text()
    assert (root / "usr/local/bin/pushctl").is_symlink()


def test_a_release_whose_making_was_interrupted_is_made_anew(root: Path, script: Callable[..., Said]) -> None:
    (root / CURRENT).unlink()
    release = root / RELEASES / "0.1.0"
    (release / "complete").unlink()
    shutil.rmtree(release / "lib")
    said = script("0.1.0")
    assert said.code == 0, said.text
    assert in_use(root) == "0.1.0"
    assert run(root / CURRENT / "bin/python", "-I", "-m", "pushd", "--version").stdout == "pushd 0.1.0\n"


def test_what_does_not_have_the_hash_it_should_have_is_not_installed(
    wheels: Path, tmp_path: Path, script: Callable[..., Said]
) -> None:
    tampered = Path(shutil.copytree(wheels, tmp_path / "tampered"))
    (wheel,) = tampered.glob("structlog-*.whl")
    with wheel.open("ab") as file:
        file.write(b"\0")
    said = script("0.1.0", offline=tampered)
    assert said.code == 1
    assert "structlog" in said.text
    assert not (tmp_path / "root" / CURRENT).exists()


def test_a_dry_run_tells_and_changes_nothing(tmp_path: Path, script: Callable[..., Said]) -> None:
    said = script("0.1.0", "--dry-run")
    assert said.code == 0, said.text
    assert f"would make {tmp_path}/root/opt/pushd/releases/0.1.0" in said.text
    assert f"would write {tmp_path}/root/usr/local/lib/systemd/system/pushd.service" in said.text
    assert not (tmp_path / "root").exists()


def test_units_an_administrator_has_of_old_are_spoken_of(root: Path, script: Callable[..., Said]) -> None:
    (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    (root / "etc/systemd/system/pushd.service").write_text("[Service]\n")
    assert "etc/systemd/system/pushd.service goes before" in script("0.1.0").text
    assert (root / "etc/systemd/system/pushd.service").read_text() == "[Service]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--upgrade"], 1, "nothing is installed"),
        (["--rollback"], 1, "there is no release to go back to"),
        (["--backup"], 1, "nothing is installed"),
        (["--upgrade", "--rollback"], 2, "two things"),
        (["--purge"], 2, "goes with --uninstall"),
        (["--restore"], 2, "goes with --rollback"),
        (["--upgrad"], 2, "--upgrad is not known"),
        (["--wheels", "nowhere"], 2, "nowhere"),
        (["--root"], 2, "wants a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], code: int, told: str, trees: dict[str, Path], tmp_path: Path
) -> None:
    said = install(trees["0.1.0"], "--root", tmp_path / "root", *arguments, python=sys.executable)
    assert said.code == code
    assert told in said.text
    assert not (tmp_path / "root" / "opt/pushd/current").exists()


def test_another_version_is_not_installed_over_what_is_there_without_being_told_to(
    root: Path, script: Callable[..., Said]
) -> None:
    said = script("0.2.0")
    assert said.code == 1
    assert "0.1.0 is installed: install.sh --upgrade brings it to 0.2.0" in said.text
    assert in_use(root) == "0.1.0"


# ------------------------------------------------------------------------------------------ the daemon that comes of it


def test_the_installed_daemon_pushes_and_so_does_the_installed_pushctl(
    installed: Installed, served: FakeRegistry, root: Path, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app")
    installed.start()
    command: list[str | Path] = [root / "opt/pushd/bin/python", "-P", "-m", "pushd.ctl", "push", f"oci:{layout.path}"]
    said = run(*command, f"{served.address}/team/app:1", "--wait", environment=installed.environment)
    assert said.returncode == 0, said
    assert installed.version == "0.1.0"
    installed.close()


def test_an_upgrade_copies_the_database_under_a_daemon_that_goes_on_and_that_is_the_new_one_after_a_restart(
    installed: Installed, served: FakeRegistry, root: Path, script: Callable[..., Said], tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app")
    installed.start()
    job = installed.submit(f"oci:{layout.path}", f"{served.address}/team/app:1")
    installed.wait(job)
    said = script("0.2.0", "--upgrade")
    assert said.code == 0, said.text
    assert (in_use(root), (root / PREVIOUS).readlink().name) == ("0.2.0", "0.1.0")
    assert installed.version == "0.1.0"
    # What it has not imported until now comes from its own release.
    assert installed.request("GET", "/v1/openapi.yaml").status == 200
    (copy,) = (root / "var/lib/pushd/backups").iterdir()
    assert re.fullmatch(r"before-0\.2\.0-\d{8}T\d{6}Z\.db", copy.name)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    installed.close()
    installed.start()
    assert installed.version == "0.2.0"
    assert installed.job(job)["state"] == "succeeded"
    installed.close()


def test_back_again_the_copy_takes_the_place_of_a_database_that_became_too_new(
    installed: Installed, served: FakeRegistry, root: Path, script: Callable[..., Said], tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app")
    installed.start()
    job = installed.submit(f"oci:{layout.path}", f"{served.address}/team/app:1")
    installed.wait(job)
    installed.close()
    assert script("0.2.0", "--upgrade").code == 0
    installed.start()
    later = installed.submit(f"oci:{layout.path}", f"{served.address}/team/app:2")
    installed.close()

    refused = script("0.2.0", "--rollback")
    assert refused.code == 1
    assert "the database is too new for pushd 0.1.0" in refused.text
    assert "--rollback --restore" in refused.text
    assert in_use(root) == "0.2.0"

    said = script("0.2.0", "--rollback", "--restore")
    assert said.code == 0, said.text
    assert in_use(root) == "0.1.0"
    installed.start()
    assert installed.version == "0.1.0"
    assert installed.job(job)["state"] == "succeeded"
    assert installed.request("GET", f"/v1/jobs/{later}").status == 404
    assert len(list((root / "var/lib/pushd").glob("pushd.db.aside-*"))) == 1
    installed.close()


def test_nothing_is_restored_under_a_daemon_that_works(
    installed: Installed, root: Path, script: Callable[..., Said]
) -> None:
    installed.start()
    installed.close()
    assert script("0.2.0", "--upgrade").code == 0
    installed.start()
    said = script("0.2.0", "--rollback", "--restore")
    assert said.code == 1
    assert "stop it first" in said.text
    assert in_use(root) == "0.2.0"
    assert installed.version == "0.2.0"
    installed.close()


# ------------------------------------------------------------------------------------------------------ back, and away


def test_back_and_forth_needs_no_tree_where_the_database_has_not_moved(upgraded: Path) -> None:
    for wanted in ("0.1.0", "0.2.0"):
        scripts = upgraded / CURRENT / "share/pushd"
        said = install(scripts, "--rollback", "--root", upgraded, python=sys.executable)
        assert said.code == 0, said.text
        assert in_use(upgraded) == wanted


def test_only_the_way_back_is_kept(upgraded: Path, trees: dict[str, Path], wheels: Path, tmp_path: Path) -> None:
    third = tree(tmp_path / "third", "0.3.0", migration=True)
    said = install(third, "--upgrade", "--root", upgraded, "--wheels", wheels, python=sys.executable)
    assert said.code == 0, said.text
    assert {path.name for path in (upgraded / RELEASES).iterdir()} == {"0.2.0", "0.3.0"}


def test_the_same_version_made_from_something_else_is_another_release(
    root: Path, trees: dict[str, Path], wheels: Path, tmp_path: Path
) -> None:
    patched = tree(tmp_path / "patched", "0.1.0")
    (patched / "pushd" / "patched.py").write_text('"""Somebody\'s own."""\n')
    said = install(patched, "--upgrade", "--root", root, "--wheels", wheels, python=sys.executable)
    assert said.code == 0, said.text
    assert re.fullmatch(r"0\.1\.0\+[0-9a-f]{8}", in_use(root))
    assert (root / PREVIOUS).readlink().name == "0.1.0"


def test_an_older_release_does_not_come_by_an_upgrade_where_the_database_is_too_new_for_it(
    upgraded: Path, script: Callable[..., Said], tmp_path: Path
) -> None:
    daemon = Installed(tmp_path, upgraded)
    daemon.start()
    daemon.close()
    daemon.discard()
    said = script("0.1.0", "--upgrade")
    assert said.code == 1
    assert "written by a newer pushd than 0.1.0, and nothing was changed" in said.text
    assert in_use(upgraded) == "0.2.0"


@pytest.mark.parametrize("more", [[], ["--restore"]], ids=["as it is", "with the copy"])
def test_without_a_copy_there_is_no_way_back_from_a_database_that_is_too_new_and_that_is_said(
    more: list[str], upgraded: Path, script: Callable[..., Said], tmp_path: Path
) -> None:
    daemon = Installed(tmp_path, upgraded)
    daemon.start()
    daemon.close()
    daemon.discard()
    said = script("0.2.0", "--rollback", *more)
    assert said.code == 1
    assert ("holds no copy that pushd 0.1.0 can read" if more else "there is none") in said.text
    assert in_use(upgraded) == "0.2.0"


def test_a_backup_can_be_had_at_any_time(installed: Installed, root: Path, script: Callable[..., Said]) -> None:
    installed.start()
    said = script("0.1.0", "--backup")
    assert said.code == 0, said.text
    (copy,) = (root / "var/lib/pushd/backups").iterdir()
    assert str(copy) in said.text
    assert copy.stat().st_mode & 0o777 == 0o600
    installed.close()


def test_of_the_copies_upgrades_make_the_last_three_are_kept(
    installed: Installed, root: Path, script: Callable[..., Said]
) -> None:
    installed.start()
    installed.close()
    backups = root / "var/lib/pushd/backups"
    backups.mkdir()
    for number in range(4):
        (backups / f"before-0.0.{number}-x.db").write_bytes(b"")
        os.utime(backups / f"before-0.0.{number}-x.db", (number, number))
    (backups / "mine.db").write_bytes(b"")
    assert script("0.2.0", "--upgrade").code == 0
    names = sorted(re.sub(r"-\d{8}T.*", "-now.db", path.name) for path in backups.iterdir())
    assert names == ["before-0.0.2-x.db", "before-0.0.3-x.db", "before-0.2.0-now.db", "mine.db"]


def test_uninstalled_it_leaves_the_queue_the_keys_and_the_configuration(
    upgraded: Path, script: Callable[..., Said]
) -> None:
    state = upgraded / "var/lib/pushd"
    state.mkdir(parents=True)
    (state / "sealing.key").write_bytes(bytes(32))
    (upgraded / "etc/pushd").mkdir(parents=True, exist_ok=True)
    (upgraded / "etc/pushd/pushd.toml").write_text("")
    said = script("0.2.0", "--uninstall")
    assert said.code == 0, said.text
    left = {name for name in contents(upgraded) if not re.match(r"etc/(passwd|shadow|group|gshadow|\.pwd)", name)}
    assert left == {"var/lib/pushd/sealing.key", "etc/pushd/pushd.toml"}
    assert not (upgraded / UNITS / "pushd.service.d").exists()


def test_purged_nothing_is_left_but_the_users(upgraded: Path, script: Callable[..., Said]) -> None:
    state = upgraded / "var/lib/pushd-ci"
    state.mkdir(parents=True)
    (state / "sealing.key").write_bytes(bytes(32))
    said = script("0.2.0", "--uninstall", "--purge")
    assert said.code == 0, said.text
    assert [name for name in contents(upgraded) if not re.match(r"etc/(passwd|shadow|group|gshadow|\.pwd)", name)] == []
    assert not state.exists()
    assert "stay, so that nobody else is given their numbers" in said.text


def test_nothing_is_purged_under_a_daemon_that_works(
    installed: Installed, root: Path, script: Callable[..., Said]
) -> None:
    installed.start()
    said = script("0.1.0", "--uninstall", "--purge")
    assert said.code == 1
    assert "a daemon works on" in said.text
    assert (root / "var/lib/pushd/pushd.db").exists()
    installed.close()


def test_the_trees_version_is_said_once_for_python_and_once_for_packaging() -> None:
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert f'__version__ = "{document["project"]["version"]}"' in (REPOSITORY / "pushd/__init__.py").read_text()


def test_without_a_release_the_interpreter_says_what_to_do(root: Path) -> None:
    (root / CURRENT).unlink()
    said = subprocess.run([root / "opt/pushd/bin/python"], check=False, capture_output=True, text=True)
    assert said.returncode == 1
    assert "run install.sh" in said.stderr
