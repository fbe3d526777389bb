"""The lock files promise: what was tested is what is installed, to the byte."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
RUN = ROOT / "requirements.lock"
TEST = ROOT / "tests" / "requirements.lock"
BUILD = ROOT / "deploy" / "build.lock"


def entries(lock: Path) -> list[str]:
    text = re.sub(r"\\\n", " ", lock.read_text())
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pins(lock: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries(lock):
        requirement = Requirement(entry.partition("--hash")[0].strip())
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def project() -> dict[str, list[str]]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {
        "run": document["project"]["dependencies"],
        "test": document["dependency-groups"]["test"],
        "build": document["build-system"]["requires"],
    }


@pytest.mark.parametrize("lock", [RUN, TEST, BUILD], ids=["run", "test", "build"])
def test_every_entry_is_pinned_and_hashed(lock: Path) -> None:
    assert entries(lock)
    for entry in entries(lock):
        assert "==" in entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry)


@pytest.mark.parametrize(
    ("lock", "groups"),
    [(RUN, ["run"]), (TEST, ["run", "test", "build"]), (BUILD, ["build"])],
    ids=["run", "test", "build"],
)
def test_everything_the_project_asks_for_is_locked_at_a_version_it_accepts(lock: Path, groups: list[str]) -> None:
    locked = pins(lock)
    for group in groups:
        for text in project()[group]:
            requirement = Requirement(text)
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])


def test_what_is_tested_is_what_runs() -> None:
    tested = pins(TEST)
    assert {name: tested.get(name) for name in pins(RUN)} == pins(RUN)


def test_what_is_tested_is_what_builds_to_the_byte() -> None:
    assert set(entries(BUILD)) <= {re.sub(r"\s+# via.*", "", entry) for entry in entries(TEST)}


def test_what_builds_lacks_nothing() -> None:
    """Installed without dependencies, whatever is missing would be found only when a release is built."""
    wanted = [Requirement(text) for name in pins(BUILD) for text in metadata.requires(name) or ()]
    assert {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate()} <= {
        *pins(BUILD)
    }


@pytest.mark.parametrize("lock", [RUN, TEST, BUILD], ids=["run", "test", "build"])
def test_no_machine_and_no_index_is_named(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)", text)
