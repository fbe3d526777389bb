"""A caller's own credential, found as they left it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.credentials.credential import Credential
from pushd.credentials.lookup import CallersCredentials
from pushd.errors import Code, RegistryError
from tests.unit.credentials.samples import ALICE, BOB, REGISTRY, SECRET, shown, write

if TYPE_CHECKING:
    from tests.unit.credentials.conftest import Bin

ANSWERS = f"""echo '{{"Username":"alice","Secret":"{SECRET}"}}'"""
FOUND = Credential("caller", "alice", SECRET)


def docker(programs: Bin) -> Path:
    return Path(programs.environ["HOME"]) / ".docker/config.json"


def podman(programs: Bin) -> Path:
    return Path(programs.environ["HOME"]) / ".config/containers/auth.json"


def find(programs: Bin, repository: str = "team/app") -> tuple[Credential, datetime | None] | None:
    return CallersCredentials(programs.environ).find(REGISTRY, repository)


def test_who_never_logged_in_has_none(programs: Bin) -> None:
    assert find(programs) is None


def test_a_login_with_docker_is_found_with_the_file_it_is_in(programs: Bin) -> None:
    path = write(docker(programs), {"auths": {REGISTRY: ALICE}})
    found = find(programs)
    assert found == (FOUND, None)
    assert found[0].where == str(path)


def test_the_first_place_that_has_one_wins(programs: Bin) -> None:
    write(docker(programs), {"auths": {REGISTRY: BOB}})
    write(podman(programs), {"auths": {"other.example": BOB}})
    programs.environ["REGISTRY_AUTH_FILE"] = str(docker(programs).with_name("mine.json"))
    found = find(programs)
    assert found is not None, "a file that is named and not there is none"
    assert found[0].username == "bob"
    write(podman(programs), {"auths": {REGISTRY: ALICE}})
    assert find(programs) == (FOUND, None)
    write(docker(programs).with_name("mine.json"), {"auths": {REGISTRY: {"username": "carol"}}})
    assert find(programs) == (Credential("caller", "carol"), None)


def test_a_part_of_a_registry_may_have_its_own(programs: Bin) -> None:
    write(podman(programs), {"auths": {REGISTRY: BOB, f"{REGISTRY}/team": ALICE}})
    assert find(programs) == (FOUND, None)
    for repository in ("other/app", ""):
        found = find(programs, repository)
        assert found is not None
        assert found[0].username == "bob"


def test_a_helper_is_asked_and_named(programs: Bin) -> None:
    path = write(docker(programs), {"credsStore": "test"})
    programs.helper("test", f'read -r server; [ "$server" = {REGISTRY} ] && {ANSWERS}')
    found = find(programs)
    assert found == (FOUND, None)
    assert found[0].where == f"{path} by docker-credential-test"


def test_a_helper_is_asked_once_for_all_that_goes_to_one_registry(programs: Bin) -> None:
    write(docker(programs), {"credHelpers": {REGISTRY: "test"}})
    asked = programs.directory / "asked"
    programs.helper("test", f"echo >>'{asked}'; {ANSWERS}")
    theirs = CallersCredentials(programs.environ)
    found = [theirs.find(REGISTRY, repository) for repository in ("a", "b", "c")]
    assert found[0] is not None
    assert found == [found[0]] * 3
    assert len(asked.read_text().splitlines()) == 1


def test_when_a_helpers_answer_expires_is_told(programs: Bin) -> None:
    write(docker(programs), {"credHelpers": {REGISTRY: "test"}})
    programs.helper("test", """echo '{"Username":"<token>","Secret":"t","ExpiresIn":3600}'""")
    before = datetime.now(UTC)
    found = find(programs)
    assert found is not None
    credential, expires_at = found
    assert credential == Credential("caller", identity_token="t")
    assert expires_at is not None
    assert before <= expires_at - timedelta(hours=1) <= datetime.now(UTC)


def test_a_helper_that_has_none_leaves_it_to_the_next_place(programs: Bin) -> None:
    write(podman(programs), {"credHelpers": {REGISTRY: "test"}})
    write(docker(programs), {"auths": {REGISTRY: ALICE}})
    programs.helper("test", "echo credentials not found in native keychain; exit 1")
    assert find(programs) == (FOUND, None)


def test_a_store_that_is_not_here_was_copied_from_a_desktop(programs: Bin) -> None:
    write(docker(programs), {"credsStore": "desktop", "auths": {"other.example": {}}})
    assert find(programs) is None


@pytest.mark.parametrize(
    "document",
    [
        {"credsStore": "desktop", "auths": {REGISTRY: {}}},
        {"credsStore": "desktop", "credHelpers": {REGISTRY: "desktop"}},
    ],
)
def test_a_helper_that_is_not_here_and_should_have_it_is_told(programs: Bin, document: object) -> None:
    write(docker(programs), document)
    with pytest.raises(RegistryError) as caught:
        find(programs)
    assert (caught.value.code, caught.value.subject) == (Code.REGISTRY_HELPER_MISSING, "docker-credential-desktop")


def test_a_store_that_is_here_and_fails_is_told(programs: Bin) -> None:
    write(docker(programs), {"credsStore": "test"})
    programs.helper("test", f"echo {SECRET}; exit 1")
    with pytest.raises(RegistryError) as caught:
        find(programs)
    assert caught.value.code is Code.REGISTRY_HELPER_FAILED
    assert SECRET not in shown(caught.value)


def test_a_file_that_cannot_be_used_is_told_and_not_passed_over(programs: Bin) -> None:
    path = write(podman(programs), "{")
    write(docker(programs), {"auths": {REGISTRY: ALICE}})
    with pytest.raises(RegistryError) as caught:
        find(programs)
    assert caught.value.subject == str(path)


def test_looking_needs_nothing_that_is_to_be_installed_and_starts_no_machinery_for_programs() -> None:
    script = """
import sys
import pushd.credentials.lookup
print(*{name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
print("subprocess" in sys.modules)
"""
    # -S: nothing that is installed is found, and nothing of it loads itself with the interpreter.
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    names, running = done.stdout.splitlines()
    assert set(names.split()) - {"__main__"} == {"pushd"}
    assert running == "False"
