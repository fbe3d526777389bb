"""Every registry lets the daemon in; with one thing wrong none does, and the daemon says which."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code
from tests.fakes.authority import Authority
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.signer import Signer
from tests.fakes.token_server import ENDLESS, TokenServer
from tests.integration.conftest import NAMES
from tests.integration.daemon import Daemon
from tests.integration.doors import PASSWORD, USER, Door, Tokens
from tests.integration.parts import RealRegistry, assert_identical, read_back, wait_until
from tests.integration.town import BODY_LIMIT, Town, basic
from tests.integration.ways import MISTAKES, WAYS, repository
from tests.torture.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.images import Layout
    from tests.integration.conftest import StartDaemon
    from tests.integration.parts import Tool
    from tests.integration.town import Place

pytestmark = pytest.mark.timeout(180)


class Visit:
    """A town, a daemon in it, and images to push to its places."""

    def __init__(self, town: Town, daemon: Daemon) -> None:
        self.town = town
        self.daemon = daemon
        self.ways = {name: make(town) for name, make in WAYS.items()}
        self.mistakes = {name: make(town) for name, make in MISTAKES.items()}
        self.reading = town.reading()
        self._layouts: dict[str, Layout] = {}

    def start(self) -> None:
        """Start the daemon."""
        podman = Path(self.daemon.environment["XDG_RUNTIME_DIR"], "containers", "auth.json")
        podman.parent.mkdir()
        podman.write_text(json.dumps({"auths": self.town.podman_auths}))
        podman.chmod(0o600)
        self.daemon.start(self.town.configuration(self.town.proxy.url))

    def layout(self, name: str) -> Layout:
        """Give the image of a case; no other has a blob in common with it, so none is there already."""
        if name not in self._layouts:
            spec = ImageSpec(tag="1.4", layers=[4 * BODY_LIMIT, 1024], seed=name)
            self._layouts[name] = build_layout(self.town.directory / "images" / repository(name), [spec])
        return self._layouts[name]

    def push(self, place: Place, name: str, *, tag: str = "1.4") -> str:
        """Push to a repository named after the case; give the job's id."""
        return self.daemon.submit(f"oci:{self.layout(name).path}:1.4", f"{place.address}/{repository(name)}:{tag}")

    def settled(self, job_id: str) -> Any:
        """Give a job's only delivery, ended or held."""

        def delivery() -> Any:
            return self.daemon.job(job_id)["deliveries"][0]

        wait_until(lambda: delivery()["state"] not in ("queued", "running"), f"{job_id} ended, or is held")
        return delivery()

    def arrives(self, place: Place, name: str) -> None:
        """Push, and see it succeed."""
        delivery = self.settled(self.push(place, name))
        assert delivery["state"] == "succeeded", delivery["failure"]


@pytest.fixture(scope="module", params=NAMES, ids=NAMES.get)
def visit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Give a town of each of the real registries, with a daemon in it that all these tests share."""
    directory = tmp_path_factory.mktemp("town")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        town = Town(request.param, directory, stack)
        patch.setenv("PATH", f"{directory / 'helpers'}", prepend=os.pathsep)
        patch.setenv("CREDENTIALS_DIRECTORY", str(town.credentials))
        daemon = Daemon(directory)
        stack.callback(daemon.discard)
        there = Visit(town, daemon)
        there.start()
        yield there
        daemon.close()


@pytest.mark.parametrize("name", WAYS)
def test_an_image_arrives(visit: Visit, name: str, tmp_path: Path) -> None:
    place = visit.ways[name]
    visit.arrives(place, name)
    reference = f"{place.end.address}/{repository(name)}:1.4"
    layout = visit.layout(name)
    assert_identical(layout, layout.image, read_back(reference, tmp_path / "back", *visit.reading))


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_has_a_name_and_tags_nothing(visit: Visit, name: str) -> None:
    wrong = visit.mistakes[name]
    job = visit.push(wrong.place, name)
    delivery = visit.settled(job)
    failure = delivery["failure"]
    assert failure["code"] == wrong.code, failure
    assert (wrong.names or wrong.place.address) in failure["message"]
    assert delivery["state"] == ("held" if wrong.code.retryable else "failed")
    assert not wrong.place.end.tags(repository(name))
    assert PASSWORD not in failure["message"]
    if wrong.code.retryable:
        assert visit.daemon.request("POST", f"/v1/jobs/{job}/cancel").status == 200


# ------------------------------------------------------------------------------------------ what is seen on the way


@pytest.mark.parametrize("name", ["a storage elsewhere", "a storage elsewhere by redirects"])
def test_a_storage_elsewhere_never_sees_our_authorisation(visit: Visit, name: str) -> None:
    place = visit.ways[name]
    front = visit.town.redirecting[place.address]
    visit.arrives(place, f"stored {name}")
    assert any("Authorization" in sent for sent in front.requests)
    stored = [sent for sent in front.stored if repository(f"stored {name}") in sent.path]
    assert {"PATCH", "PUT"} & {sent.method for sent in stored}
    assert not [sent for sent in stored if "Authorization" in sent or "Cookie" in sent]


def test_a_proxy_passes_what_is_not_of_this_machine_and_is_not_told_our_authorisation(visit: Visit) -> None:
    for name in ("a proxy", "a proxy for plain HTTP", "as nobody", "with a password"):
        visit.arrives(visit.ways[name], f"passed {name}")
    passed = visit.town.proxy.passed
    assert {(one.method == "CONNECT", one.target) for one in passed} == {
        (True, "registry.test:5000"),
        (False, "plain.test:5000"),
    }
    assert not [one for one in passed if "authorization" in one.headers]


def test_a_proxy_with_a_wrong_password_is_named_and_its_password_is_not(
    visit: Visit, start_daemon: StartDaemon
) -> None:
    town, layout = visit.town, visit.layout("refused")
    daemon = start_daemon(town.configuration(town.proxy.url_for(("me", "wrong-word"))))
    for name in ("a proxy", "a proxy for plain HTTP"):
        place = visit.ways[name]
        job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", f"{place.address}/team/refused:1.4"))
        failure = job["deliveries"][0]["failure"]
        assert failure["code"] == Code.REGISTRY_PROXY, failure
        assert town.proxy.address in failure["message"]
        assert "wrong-word" not in failure["message"]
    assert "wrong-word" not in daemon.log.read_text()
    assert not visit.ways["a proxy"].end.tags("team/refused")


def test_a_file_that_is_no_json_is_named(start_daemon: StartDaemon, visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text('{"auths": {"registry.test": {"auth": "c2VjcmV0')
    file.chmod(0o600)
    daemon = start_daemon(f'[credentials]\ndocker_config = "{file}"\n')
    place = visit.ways["with a password"]
    job = daemon.wait(daemon.submit(f"oci:{visit.layout('unread').path}:1.4", f"{place.address}/team/unread:1.4"))
    failure = job["deliveries"][0]["failure"]
    assert failure["code"] == Code.REGISTRY_CREDENTIALS_MALFORMED, failure
    assert str(file) in failure["message"]
    assert "c2VjcmV0" not in failure["message"]


def test_an_endless_answer_is_not_read_to_its_end(visit: Visit) -> None:
    name = "a token service endless"
    visit.settled(visit.push(visit.mistakes[name].place, name))
    asked = visit.town.tokens.asked
    wait_until(
        lambda: bool(seen := asked(repository(name))) and all(one.ended for one in seen),
        "the service has seen the end of it",
    )
    assert max(one.sent for one in asked(repository(name))) < ENDLESS


def test_a_certificate_that_is_not_looked_at_is_warned_of(visit: Visit) -> None:
    (warned,) = visit.daemon.events("registry.insecure")
    assert (warned["level"], warned["registry"]) == ("warning", visit.ways["any authority"].address)


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_many_jobs_ask_a_helper_and_a_token_service_once(visit: Visit, count: int) -> None:
    place = visit.ways["with an identity token a helper keeps"]
    jobs = [visit.push(place, "many", tag=str(number)) for number in range(count)]
    ended = [visit.daemon.wait(job) for job in jobs]
    failed = [one["failure"] for job in ended for one in job["deliveries"] if one["state"] != "succeeded"]
    assert not failed, failed[0]
    assert visit.town.tokens.issued[f"repository:{repository('many')}:pull,push"] == 1
    assert len(visit.town.helpers["identifies"].calls) == 1


# ------------------------------------------------------------------------------------------- tokens that live shortly

LIFE = 5
"""Seconds."""
CHUNK = 48 << 10
"""Bytes: little beside what goes over the wire in a lifetime, for each end of one costs a chunk."""


@pytest.mark.parametrize("seconds", [12, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.parametrize("version", NAMES, ids=NAMES.get)
def test_a_push_outlives_its_tokens(start_daemon: StartDaemon, tmp_path: Path, version: Tool, seconds: int) -> None:
    """The tokens of one service live as long as it says, those of another end long before."""
    authority = Authority(tmp_path / "authority")
    signer = Signer(authority.server("tokens"))
    layer = seconds << 16
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[layer, layer])])
    settings = f'upload = "chunked"\nchunk_size = "{CHUNK}"\n'
    auths: dict[str, object] = {}
    ends: list[tuple[TokenServer, RealRegistry]] = []
    with ExitStack() as stack:
        for says in (None, 300):
            service = TokenServer(signer, accounts={USER: PASSWORD}, life=LIFE, says=says)
            told = Tokens(
                realm=stack.enter_context(service).realm,
                service=service.service,
                issuer=service.issuer,
                bundle=authority.ca,
            )
            directory = tmp_path / f"says-{says}"
            directory.mkdir()
            end = RealRegistry(NAMES[version], version.find(), directory, Door(tokens=told))
            stack.callback(end.stop)
            end.start()
            ends.append((service, end))
            auths[stack.enter_context(Proxy(end.address, rate=2 * layer / seconds)).address] = basic()
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"auths": auths}))
        config.chmod(0o600)
        daemon = start_daemon(
            f'[credentials]\ndocker_config = "{config}"\n'
            + "".join(f'[registries."{address}"]\n{settings}' for address in auths)
        )
        destinations = [f"{address}/team/app:1.4" for address in auths]
        job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", *destinations), seconds=seconds + 45)
        assert job["state"] == "succeeded", job
        for (service, end), delivery in zip(ends, job["deliveries"], strict=True):
            copied = tmp_path / f"back-{service.says}"
            copy = read_back(f"{end.address}/team/app:1.4", copied, "--src-creds", f"{USER}:{PASSWORD}")
            assert_identical(layout, layout.image, copy)
            # One for each lifetime, and not one for each request.
            issued = service.issued["repository:team/app:pull,push"]
            assert seconds // LIFE <= issued <= seconds // 3 + 2
            # A chunk of each layer that was refused for its token's age is sent again, and no more than that.
            assert sum(transfer["sent"] for transfer in delivery["transfers"]) <= job["size"] + issued * 2 * CHUNK
