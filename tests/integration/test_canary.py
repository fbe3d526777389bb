"""No secret leaks: everything fails in turn, at the most talkative, and nothing anywhere says what it must not.

Passwords, tokens and signed addresses are marked, and looked for in the log, in every answer of the API and of pushctl,
in the database and all other files of the daemon, and in what `ps` shows.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.credential_helper import CredentialHelper
from tests.fakes.gossip import FAULTS, STAGES, Gossip
from tests.fakes.images import ImageSpec, build_layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Answer, Daemon

CANARY = "c4n4ry"
CONFIG = """
[daemon]
log_level = "debug"

[limits]
attempts = 2

[timeouts]
connect = 2
stall = 2
commit = 2
request = 2

[proxy]
https = "http://proxy:{proxy}@127.0.0.1:9"
"""


@dataclass
class Said:
    """All that was said to anybody.

    Attributes:
        texts: by where.
    """

    texts: dict[str, str] = field(default_factory=dict)

    def __call__(self, where: str, text: str) -> None:
        """Write something down."""
        self.texts[f"{where} #{len(self.texts)}"] = text

    def answer(self, where: str, answer: Answer) -> Any:
        """Write down an answer of the API, with its headers; give its body."""
        self(where, f"{answer.status} {answer.headers} {answer.body}")
        return answer.body


@contextmanager
def watching_processes(said: Said) -> Iterator[None]:
    """Read the command lines of all processes, again and again: what `ps` shows anybody."""
    done = threading.Event()
    seen: set[str] = set()

    def watch() -> None:
        while not done.wait(0.01):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(entry.read_bytes().decode(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        said("ps", "\n".join(seen))


@pytest.fixture
def gossip() -> Iterator[Gossip]:
    with Gossip(CANARY) as registry:
        yield registry


@dataclass(frozen=True)
class Scene:
    """A daemon, a person with a home, and what was said to anybody."""

    daemon: Daemon
    gossip: Gossip
    source: str
    home: Path
    said: Said = field(default_factory=Said)
    jobs: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the API; give what it answered."""
        return self.said.answer(f"{method} {path}", self.daemon.request(method, path, body, timeout=60))

    def submit(self, destination: str, **more: object) -> None:
        """Hand in a job."""
        body = {"source": self.source, "destinations": [destination], "deadline": 4, **more}
        self.jobs.append(self.ask("POST", "/v1/jobs", body)["id"])

    def pushctl(self, *arguments: str, stdin: str = "") -> None:
        """Run a command as the person."""
        environment = {
            **self.daemon.environment,
            "HOME": str(self.home),
            "DOCKER_CONFIG": str(self.home / ".docker"),
            "PATH": f"{self.home / 'bin'}:{self.daemon.environment['PATH']}",
        }
        done = subprocess.run(
            [sys.executable, "-m", "pushd.ctl", *arguments],
            check=False, capture_output=True, encoding="utf-8", input=stdin, timeout=60, env=environment,
        )  # fmt: skip
        self.said(f"pushctl {' '.join(arguments)}", done.stdout + done.stderr)


@dataclass(frozen=True)
class Secrets:
    """What is ours to keep."""

    handed: str = f"{CANARY}Handed"
    identity: str = f"{CANARY}Identity"
    registry_token: str = f"{CANARY}RegistryToken"
    own: str = f"{CANARY}Own"
    helped: str = f"{CANARY}Helped"
    login: str = f"{CANARY}Login"
    proxy: str = f"{CANARY}Proxy"
    malformed: str = f"{CANARY}Malformed"


SECRETS = Secrets()
USERS = {SECRETS.handed: "alice", SECRETS.own: "daemon", SECRETS.helped: "helped", SECRETS.login: "carol"}


def encoded(secret: str) -> str:
    """Give a password as it travels, with its user."""
    return base64.b64encode(f"{USERS[secret]}:{secret}".encode()).decode()


@pytest.fixture
def scene(start_daemon: StartDaemon, gossip: Gossip, tmp_path: Path) -> Scene:
    source = f"oci:{build_layout(tmp_path / 'image', [ImageSpec(layers=[1000, 200_000])]).path}"
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    CredentialHelper(home / "bin", "gossip", username="helped", secret=SECRETS.helped)
    (home / ".docker" / "config.json").write_text(json.dumps({"credHelpers": {gossip.address: "gossip"}}))
    daemon = start_daemon(CONFIG.format(proxy=SECRETS.proxy))
    docker = Path(daemon.environment["DOCKER_CONFIG"])
    docker.mkdir()
    entry = {"auth": encoded(SECRETS.own)}
    (docker / "config.json").write_text(json.dumps({"auths": {gossip.address: entry}}))
    return Scene(daemon, gossip, source, home)


def test_nothing_that_is_marked_is_found_anywhere(scene: Scene) -> None:
    said, gossip = scene.said, scene.gossip
    with watching_processes(said):
        fail_everywhere(scene)
        come_otherwise(scene)
        ask_for_nonsense(scene)
        act_as_a_person(scene)
        read_everything(scene)
    failures = [
        delivery["failure"]["code"]
        for job in scene.jobs
        for delivery in scene.ask("GET", f"/v1/jobs/{job}")["deliveries"]
        if delivery["failure"]
    ]
    scene.daemon.kill()
    said("log", scene.daemon.log.read_text())
    for path in sorted(path for path in scene.daemon.state.rglob("*") if path.is_file()):
        said(f"file {path.name}", path.read_bytes().decode("latin-1"))

    sent = [*map(encoded, USERS), SECRETS.identity, SECRETS.registry_token, *gossip.secrets]
    assert [secret for secret in sent if not gossip.heard(secret)] == [], "what was never sent cannot have leaked"
    marks = {CANARY, CANARY.upper(), base64.b64encode(CANARY.encode()).decode()[:8], *map(encoded, USERS)}
    found = {
        where: text[max(0, text.find(mark) - 200) : text.find(mark) + 60]
        for where, text in said.texts.items()
        for mark in marks
        if mark in text
    }
    assert found == {}
    assert len(said.texts) > 200
    assert len(set(failures)) > 5, "there were many ways to fail"


def fail_everywhere(scene: Scene) -> None:
    """Push once into each failure there is."""
    credentials = [{"registry": scene.gossip.address, "username": "alice", "password": SECRETS.handed}]
    stages = [(stage, fault) for stage in STAGES for fault in FAULTS]
    for stage, fault in [*stages, ("never", "none")]:
        scene.submit(f"{scene.gossip.address}/{stage}-{fault}:1", credentials=credentials)


def come_otherwise(scene: Scene) -> None:
    """Come with tokens, with the daemon's own, and through a proxy that is not there."""
    address = scene.gossip.address
    for name, token in (("identity_token", SECRETS.identity), ("registry_token", SECRETS.registry_token)):
        for repository in ("never-none", "token-refused", "token-page", "patch-denied"):
            scene.submit(f"{address}/{repository}:{name}", credentials=[{"registry": address, name: token}])
    for repository in ("never-none", "put-page", "open-unauthorized"):
        scene.submit(f"{address}/{repository}:own", credential="daemon")
    scene.submit("registry.invalid/app:proxied")


def ask_for_nonsense(scene: Scene) -> None:
    """Ask for what makes no sense, with a secret in it."""
    secret, address = SECRETS.malformed, scene.gossip.address
    good = {"registry": address, "username": "alice", "password": secret}
    for credentials in (
        secret,
        [secret],
        {"password": secret},
        [{**good, "password": [secret]}],
        [{**good, "registry": f"alice:{secret}@{address}"}],
        [{**good, "identity_token": secret}],
        [{**good, "password": f"{secret}\n"}],
        [{**good, "username": f"{secret}:"}],
        [{**good, "registry": "elsewhere.example"}],
        [good, good],
    ):
        body = {"source": scene.source, "destinations": [f"{address}/x:1"], "credentials": credentials}
        for path in ("/v1/jobs", "/v1/plan"):
            assert scene.ask("POST", path, body)["status"] < 500
    scene.ask("PUT", "/v1/logins/gossip", {**good, "registry": f"{secret}@{address}"})


def act_as_a_person(scene: Scene) -> None:
    """Log in, push in three ways, look what is wrong, and log out."""
    address = scene.gossip.address
    told = ("--username", "carol", "--password-stdin", "--name", "gossip")
    scene.pushctl("login", address, *told, stdin=f"{SECRETS.login}\n")
    scene.pushctl("logins")
    scene.pushctl("push", scene.source, f"{address}/open-denied:2", "--credential", "gossip", "--wait")
    scene.pushctl("push", scene.source, f"{address}/head-page:2", "--deadline", "2s", "--wait")
    scene.pushctl("push", scene.source, f"{address}/patch-denied:2", "--wait", "--json")
    scene.pushctl("push", scene.source, f"{address}/token-denied:2", "--dry-run")
    scene.pushctl("doctor", f"{address}/patch-page")
    scene.pushctl("login", f"{address}/token-unauthorized", *told, stdin=f"{SECRETS.login}\n")
    scene.pushctl("logout", "gossip")


def read_everything(scene: Scene) -> None:
    """Wait for the end of all jobs, and read whatever can be read."""
    for job in scene.jobs:
        assert scene.ask("GET", f"/v1/jobs/{job}/wait?timeout=30")["finished_at"], job
        scene.ask("GET", f"/v1/jobs/{job}")
    for path in ("/v1/jobs?limit=200", "/v1/status", "/v1/metrics", "/v1/logins", "/v1/events?after=0&follow=false"):
        scene.ask("GET", path)
    for job in scene.jobs[::8]:
        scene.pushctl("show", job)
    scene.pushctl("jobs", "--json")
    scene.pushctl("events", "--json")
    scene.pushctl("status")
