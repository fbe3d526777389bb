"""Three real users at one daemon: root, two in the group that may submit, and one who is not in it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pushd.oci.digest import Digest
from tests.fakes.archives import SavedImage, docker_archive, manifest_of
from tests.fakes.behaviour import Basic
from tests.fakes.dirs import flatten
from tests.fakes.engine import FakeEngine
from tests.fakes.faults import Answer
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.people import Person
from tests.fakes.traffic import Kind
from tests.integration.daemon import Daemon
from tests.integration.parts import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from subprocess import CompletedProcess

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

GROUP, ADMINISTRATORS = 64_000, 64_100
ROOT = Person(uid=0)
ALICE, BOB, STRANGER = Person(uid=64_001, groups=(GROUP,)), Person(uid=64_002, groups=(GROUP,)), Person(uid=64_003)
KEEPER = Person(uid=64_004, groups=(ADMINISTRATORS,))
"""Is in the group of administrators."""
DAEMON = Person(uid=64_010)
CONFIG = f"""
[access]
submitters = ["{GROUP}"]
administrators = ["{ADMINISTRATORS}"]
"""


class Service(Daemon):
    """The daemon as a user of its own, as its unit runs it."""

    def _started(self, arguments: Sequence[str | Path]) -> Sequence[str | Path]:
        return DAEMON.command("pushd.service.command", *arguments)

    def ctl_as(self, person: Person, *arguments: str | Path, **more: Any) -> CompletedProcess[str]:
        """Run pushctl as somebody."""
        return person.pushctl(*arguments, environment=self.environment, **more)

    def push_as(self, person: Person, source: str, destination: str, *options: str, **more: Any) -> Any:
        """Push as somebody and give the job as it ended."""
        done = self.ctl_as(person, "push", source, destination, "--wait", "--json", *options, **more)
        assert done.stdout, (done.returncode, done.stderr, tail(self.log))
        return json.loads(done.stdout)


@pytest.fixture
def commons() -> Iterator[Path]:
    """Give a directory that everybody may search."""
    directory = Path(tempfile.mkdtemp(prefix="pushd-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@contextmanager
def running(directory: Path, config: str = CONFIG) -> Iterator[Service]:
    place = directory / "daemon"
    place.mkdir()
    daemon = Service(place)
    # As /run/pushd is: the daemon's own, in a directory that nobody but root writes to.
    runtime = daemon.socket.parent / "run"
    runtime.mkdir()
    for path in (place, runtime, runtime.parent):
        path.chmod(0o755)
    for path in (place, place / "home", runtime):
        os.chown(path, DAEMON.uid, DAEMON.uid)
    daemon.socket = runtime / "pushd.sock"
    try:
        daemon.start(config)
        daemon.socket.chmod(0o666)  # who is served is decided by who they are, not by the file
        yield daemon
        daemon.close()
    finally:
        daemon.discard()
        print(tail(daemon.log))  # noqa: T201 (pytest shows it with a failure)


@pytest.fixture
def service(commons: Path) -> Iterator[Service]:
    with running(commons) as daemon:
        yield daemon


def owned(layout: Layout, person: Person, mode: int = 0o700) -> Layout:
    """Let a layout be somebody's, for nobody else to look into."""
    give(layout.path, person, mode)
    return layout


def give(path: Path, person: Person, mode: int = 0o700) -> None:
    """Let a directory be somebody's, for nobody else to look into."""
    for directory, _, names in os.walk(path):
        for name in names:
            os.chown(Path(directory) / name, person.uid, person.uid)
        os.chown(directory, person.uid, person.uid)
    path.chmod(mode)


def test_who_is_in_neither_group_is_refused_and_told_which_to_join(service: Service) -> None:
    for command in (["jobs"], ["status"], ["push", "oci:/x", "registry.example.com/app:1"], ["events"]):
        refused = service.ctl_as(STRANGER, *command)
        assert refused.returncode == 6, refused
        assert "uid 64003" in refused.stderr
        assert "64000" in refused.stderr
    assert service.events("daemon.fault") == []


def test_each_sees_their_own_jobs_and_administrators_see_all(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    jobs = {
        person: service.push_as(person, f"oci:{image.path}", f"{served.address}/u{person.uid}/app:1")["id"]
        for person in (ALICE, BOB)
    }

    def listed(person: Person) -> set[str]:
        return {json.loads(line)["id"] for line in service.ctl_as(person, "jobs", "--json").stdout.splitlines()}

    def told(person: Person) -> set[str]:
        lines = service.ctl_as(person, "events", "--json").stdout.splitlines()
        return {event["job"] for event in map(json.loads, lines) if event["job"]}

    for person, other in ((ALICE, BOB), (BOB, ALICE)):
        assert listed(person) == told(person) == {jobs[person]}
        for verb in ("show", "cancel", "pause", "resume", "retry", "wait", "watch"):
            refused = service.ctl_as(person, verb, jobs[other])
            assert refused.returncode == 6, (verb, refused)
            assert "no such job" in refused.stderr
    for person in (ROOT, KEEPER, DAEMON):
        assert listed(person) == told(person) == set(jobs.values())
    assert json.loads(service.ctl_as(ALICE, "status", "--json").stdout)["role"] == "submitter"
    assert json.loads(service.ctl_as(KEEPER, "status", "--json").stdout)["role"] == "administrator"


def test_a_file_in_a_home_directory_is_pushed_though_the_daemon_cannot_read_it(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    home = commons / "home"
    home.mkdir(mode=0o700)
    os.chown(home, ALICE.uid, ALICE.uid)
    image = owned(build_layout(home / "image", [ImageSpec(layers=[3_000_000, 1000])]), ALICE)

    job = service.push_as(ALICE, f"oci:{image.path}", f"{served.address}/team/app:1")

    assert job["state"] == "succeeded"
    assert job["source"] == f"oci:{image.path}"
    assert job["digest"] == str(image.image.root.digest)
    wait_until(lambda: entries(service) == [], "the spool is empty again")


def test_a_plain_directory_is_pushed_by_whoever_may_read_it_and_by_nobody_else(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    layout = build_layout(commons / "layout", [ImageSpec(layers=[3_000_000, 1000])])
    flat = flatten(layout, commons / "flat")
    give(flat, ALICE)

    refused = service.ctl_as(BOB, "push", f"dir:{flat}", f"{served.address}/team/app:1")
    assert refused.returncode == 6, refused
    assert {answer["code"] for answer in post_as(service, BOB, f"dir:{flat}", f"{served.address}/team/app:1")} == {
        "source.forbidden"
    }
    assert served.requests == []

    job = service.push_as(ALICE, f"dir:{flat}", f"{served.address}/team/app:1")  # brought: the daemon may not either
    assert (job["state"], job["digest"]) == ("succeeded", str(layout.image.digest))
    wait_until(lambda: entries(service) == [], "the spool is empty again")


def test_what_docker_saved_is_pushed_by_whoever_may_read_it_and_by_nobody_else(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    saved = SavedImage([b"1" * 3_000_000, b"2" * 1000])
    (commons / "saved").mkdir()
    (commons / "saved" / "app.tar").write_bytes(docker_archive([saved]))
    give(commons / "saved", ALICE)
    source, destination = f"docker-archive:{commons}/saved/app.tar", f"{served.address}/team/app:1"

    refused = service.ctl_as(BOB, "push", source, destination)
    assert refused.returncode == 6, refused
    assert {answer["code"] for answer in post_as(service, BOB, source, destination)} == {"source.forbidden"}
    assert served.requests == []

    job = service.push_as(ALICE, source, destination, "--compress", "none")  # brought: the daemon may not either
    assert (job["state"], job["digest"]) == ("succeeded", str(Digest.of(manifest_of(saved))))
    wait_until(lambda: entries(service) == [], "the spool is empty again")


def entries(service: Service) -> list[str]:
    return [path.name for path in (service.state / "spool").iterdir() if path.is_dir()]


def test_nobody_pushes_what_only_somebody_else_may_read(service: Service, served: FakeRegistry, commons: Path) -> None:
    image = owned(build_layout(commons / "image", [ImageSpec(layers=[1000])]), ALICE)

    refused = service.ctl_as(BOB, "push", f"oci:{image.path}", f"{served.address}/team/app:1")

    assert refused.returncode == 6
    assert served.requests == []


def test_a_layer_that_only_another_user_pushed_is_not_to_be_had(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    service.push_as(ALICE, f"oci:{image.path}", f"{served.address}/alice/app:1")

    job = service.push_as(BOB, f"oci:{image.path}", f"{served.address}/bob/app:1")

    assert {transfer["state"] for transfer in job["deliveries"][0]["transfers"]} == {"uploaded"}
    assert served.count(Kind.MOUNT) == 0
    mine = service.push_as(ALICE, f"oci:{image.path}", f"{served.address}/alice/other:1")
    assert {transfer["state"] for transfer in mine["deliveries"][0]["transfers"]} == {"mounted"}


def test_a_link_that_is_swapped_all_the_time_never_leads_to_what_is_not_ones_own(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    """The daemon may read both; the submitter may read one of them."""
    mine = build_layout(commons / "mine", [ImageSpec(layers=[1000], seed="mine")])
    secret = owned(build_layout(commons / "secret", [ImageSpec(layers=[1000], seed="secret")]), DAEMON)
    link = commons / "link"
    swapping = threading.Event()

    def swap() -> None:
        while not swapping.is_set():
            for target in (mine.path, secret.path):
                draft = commons / "draft"
                draft.symlink_to(target)
                draft.rename(link)

    link.symlink_to(mine.path)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        answers = [post_as(service, BOB, f"oci:{link}", f"{served.address}/team/app:{number}") for number in range(4)]
    finally:
        swapping.set()
        thread.join()

    found = [answer["digest"] for many in answers for answer in many if "digest" in answer]
    refused = {answer["code"] for many in answers for answer in many if "code" in answer}
    assert set(found) <= {str(mine.image.root.digest)}
    assert found, "now and then it leads to one's own"
    assert refused <= {"source.forbidden", "source.not_found", "source.changed", "source.layout_invalid"}
    assert "source.forbidden" in refused


_POSTS = """
import http.client, json, os, socket, sys
who = json.loads(sys.argv[1])
"pushd".encode("idna")
os.setgroups(who["groups"]); os.setgid(who["uid"]); os.setuid(who["uid"])
connection = socket.socket(socket.AF_UNIX)
connection.connect(who["socket"])
http = http.client.HTTPConnection("pushd")
http.sock = connection
for _ in range(50):
    http.request("POST", "/v1/jobs", json.dumps(who["body"]), {"Content-Type": "application/json"})
    print(http.getresponse().read().decode(), flush=True)
"""


def post_as(service: Service, person: Person, source: str, destination: str) -> list[Any]:
    """Submit the same fifty times over one connection, as somebody, by path and nothing but path."""
    body = {"source": source, "destinations": [destination]}
    who = {"uid": person.uid, "groups": person.groups, "socket": str(service.socket), "body": body}
    done = subprocess.run(
        [sys.executable, "-c", _POSTS, json.dumps(who)], check=True, capture_output=True, timeout=60, encoding="utf-8"
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_fifo_is_refused_and_holds_nobody_up(service: Service, commons: Path) -> None:
    fifo = commons / "app.tar"
    os.mkfifo(fifo, 0o666)
    fifo.chmod(0o666)
    layout = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    blob = layout.blob_path(layout.image.layers[0].digest)
    blob.unlink()
    os.mkfifo(blob, 0o666)
    assert stat.S_ISFIFO(blob.stat().st_mode)

    for source in (f"oci-archive:{fifo}", f"docker-archive:{fifo}", f"oci:{layout.path}"):
        answers = post_as(service, BOB, source, "registry.example.com/app:1")
        assert {answer["status"] for answer in answers} == {422}, answers
        refused = service.ctl_as(BOB, "push", source, "registry.example.com/app:1")
        assert refused.returncode == 6, refused


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare makes the namespace")
def test_a_peer_in_another_mount_namespace_has_its_bytes_brought_and_its_paths_refused(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    """As a container with the socket in it: what it calls /srv/app is nothing the daemon should look for."""
    image = build_layout(commons / "image", [ImageSpec(layers=[100_000])])
    within = ("unshare", "--mount", "--propagation", "private")

    status = json.loads(service.ctl_as(ALICE, "status", "--json", within=within).stdout)
    job = service.push_as(ALICE, f"oci:{image.path}", f"{served.address}/team/app:1", within=within)

    assert status["paths"] is False
    assert json.loads(service.ctl_as(ALICE, "status", "--json").stdout)["paths"] is True
    assert job["state"] == "succeeded"
    assert len(service.events("job.submitted")) == 1


def test_a_socket_for_containers_grants_no_more_than_it_says(commons: Path, served: FakeRegistry) -> None:
    other = commons / "ci.sock"
    with running(commons, CONFIG) as daemon:
        other = daemon.socket.with_name("ci.sock")
        daemon.terminate()
        daemon.start(f'{CONFIG}\n[sockets.ci]\npath = "{other}"\n')
        daemon.socket.chmod(0o666)
        image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
        environment = {**daemon.environment, "PUSHD_SOCKET": str(other)}

        status = json.loads(ROOT.pushctl("status", "--json", environment=environment).stdout)
        paused = ROOT.pushctl("pause", "--registry", served.address, environment=environment)
        job = ROOT.pushctl(
            "push", f"oci:{image.path}", f"{served.address}/team/app:1", "--wait", "--json", environment=environment
        )

        assert (status["role"], status["paths"]) == ("submitter", False)
        assert "state_dir" not in status
        assert paused.returncode == 6
        assert json.loads(job.stdout)["state"] == "succeeded"


def test_an_engine_is_asked_for_administrators_by_the_daemon_and_for_others_by_themselves(
    commons: Path, served: FakeRegistry
) -> None:
    saved = docker_archive([SavedImage([b"layer" * 1000], names=["app:1"])])
    source, destination = "docker-daemon:app:1", f"{served.address}/team/app:1"
    with FakeEngine(commons / "docker.sock", {"app:1": saved}) as docker:
        docker.path.chmod(0o666)
        with running(commons, f'{CONFIG}\n[engine]\nsocket = "{docker.path}"\n') as daemon:
            for person, code in ((ROOT, None), (KEEPER, None), (ALICE, "request.forbidden")):
                answers = post_as(daemon, person, source, destination)
                assert {answer.get("code") for answer in answers} == {code}, answers[0]
            assert len(docker.asked) == 100

            docker.path.chmod(0o600)
            os.chown(docker.path, ALICE.uid, ALICE.uid)
            refused = daemon.request("POST", "/v1/jobs", {"source": source, "destinations": [destination]})
            assert refused.body["code"] == "source.unreadable"
            assert f"may not be opened by the daemon, uid {DAEMON.uid}" in refused.body["detail"]
            environment = {**daemon.environment, "DOCKER_HOST": docker.host}
            pushed = ALICE.pushctl("push", source, destination, "--wait", "--json", environment=environment)
            assert json.loads(pushed.stdout)["state"] == "succeeded", pushed
            assert len(docker.asked) == 101


def test_an_archive_on_standard_input_is_pushed(service: Service, served: FakeRegistry, commons: Path) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[2_000_000])])
    archive = commons / "app.tar"
    subprocess.run(["tar", "-cf", archive, "-C", image.path, "."], check=True)
    archive.chmod(0o600)

    job = service.push_as(ALICE, "-", f"{served.address}/team/app:1", stdin=archive)

    assert job["state"] == "succeeded"
    assert job["digest"] == str(image.image.root.digest)


def test_no_escape_out_of_a_label_or_a_registrys_error_reaches_a_terminal(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    body = json.dumps({"errors": [{"code": "DENIED", "message": f"no {evil} way"}]}).encode()
    served.misbehave(Answer(status=403, body=body), kind=Kind.OPEN, times=None)

    failed = service.ctl_as(
        ALICE, "push", f"oci:{image.path}", f"{served.address}/team/app:1", "--label", f"note={evil}", "--wait"
    )
    job = service.ctl_as(ALICE, "jobs", "--json").stdout
    shown = [
        service.ctl_as(person, *command)
        for person in (ALICE, ROOT)
        for command in (["jobs"], ["show", json.loads(job)["id"]], ["events"], ["status"], ["top", "--once"])
    ]

    assert failed.returncode == 1
    for output in (failed.stdout, failed.stderr, *(one.stdout + one.stderr for one in shown)):
        assert not {character for character in output if character in "\x1b\x07\u202e"}, repr(output)
    assert "owned" in "".join(one.stdout for one in shown)


def test_what_others_see_of_the_daemon_is_what_concerns_their_own_jobs(
    service: Service, served: FakeRegistry, commons: Path
) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    service.ctl_as(ROOT, "pause", "--registry", served.address)
    service.ctl_as(ALICE, "push", f"oci:{image.path}", f"{served.address}/team/app:1")

    seen = {person.uid: json.loads(service.ctl_as(person, "status", "--json").stdout) for person in (ALICE, BOB, ROOT)}

    assert [one["queue"]["queued"] for one in seen.values()] == [1, 0, 1]
    assert list(seen[ALICE.uid]["registries"]) == [served.address]
    assert seen[BOB.uid]["registries"] == {}
    assert seen[ALICE.uid]["registries"][served.address]["paused_since"] is not None
    for secret in ("state_dir", "pid", "limits", "disk"):
        assert secret in seen[ROOT.uid]
        assert secret not in seen[ALICE.uid]


def test_a_quota_and_a_number_of_jobs_are_each_users_own(commons: Path, served: FakeRegistry) -> None:
    limits = f'{CONFIG}\n[limits]\njobs_per_user = 2\n[spool]\nper_user = "1MiB"\n'
    image = build_layout(commons / "image", [ImageSpec(layers=[2_000_000])])
    private = owned(image, ALICE)
    small = build_layout(commons / "small", [ImageSpec(layers=[1000])])
    with running(commons, limits) as daemon:
        daemon.ctl_as(ROOT, "pause", "--registry", served.address)
        quota = daemon.ctl_as(ALICE, "push", f"oci:{private.path}", f"{served.address}/team/app:1")
        taken = [
            daemon.ctl_as(person, "push", f"oci:{small.path}", f"{served.address}/u{person.uid}/app:{number}")
            for person in (ALICE, BOB)
            for number in range(3)
        ]
    assert quota.returncode == 6
    assert "quota" in quota.stderr or "bytes" in quota.stderr
    assert [one.returncode for one in taken] == [0, 0, 6, 0, 0, 6]


def test_destinations_are_those_that_are_configured(commons: Path, served: FakeRegistry) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    config = f'{CONFIG}\n[destinations]\nallow = ["{served.address}/team/*"]\ndeny = ["*/team/secret"]\n'
    with running(commons, config) as daemon:
        codes = [
            daemon.ctl_as(ALICE, "push", f"oci:{image.path}", destination, "--wait").returncode
            for destination in (
                f"{served.address}/team/app:1",
                f"{served.address}/team/secret:1",
                f"{served.address}/other/app:1",
                "registry.example.com/team/app:1",
                "169.254.169.254/team/app:1",
            )
        ]
    assert codes == [0, 6, 6, 6, 6]


def test_a_credential_is_used_for_those_it_is_granted_to(commons: Path, served: FakeRegistry) -> None:
    served.behaviour = replace(served.behaviour, auth=Basic())
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    account = Basic()
    docker = commons / "docker.json"
    auth = base64.b64encode(f"{account.username}:{account.password}".encode()).decode()
    docker.write_text(json.dumps({"auths": {served.address: {"auth": auth}}}))
    docker.chmod(0o644)
    config = f"""{CONFIG}
[credentials]
docker_config = "{docker}"
[[credentials.grants]]
registry = "{served.address}"
users = ["{ALICE.uid}"]
repositories = ["team/*"]
"""
    with running(commons, config) as daemon:
        codes = [
            daemon.ctl_as(person, "push", f"oci:{image.path}", f"{served.address}/{name}:1", "--wait").returncode
            for person, name in ((ALICE, "team/app"), (ALICE, "other/app"), (BOB, "team/app"), (ROOT, "other/app"))
        ]
    assert codes == [0, 6, 6, 0]


def test_a_credential_handed_over_is_used_for_its_owner_and_seen_by_nobody(commons: Path, served: FakeRegistry) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    served.behaviour = replace(served.behaviour, auth=Basic("alice", "s3cr3t"))
    home = commons / "alice"
    (home / ".docker").mkdir(parents=True)
    auth = base64.b64encode(b"alice:s3cr3t").decode()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {served.address: {"auth": auth}}}))
    for path in (home, home / ".docker", home / ".docker" / "config.json"):
        os.chown(path, ALICE.uid, ALICE.uid)
        path.chmod(0o700 if path.is_dir() else 0o600)
    with running(commons) as daemon:
        hers = {**daemon.environment, "HOME": str(home), "DOCKER_CONFIG": str(home / ".docker")}
        source, destination = f"oci:{image.path}", f"{served.address}/team/app:1"
        done = ALICE.pushctl("push", source, destination, "--wait", "--json", environment=hers)
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert BOB.pushctl("push", source, destination, "--wait", environment=hers).returncode != 0, "not his to read"
        assert daemon.ctl_as(BOB, "push", source, destination, "--wait").returncode == 1
        job = json.loads(done.stdout)["id"]
        assert daemon.ctl_as(BOB, "show", job).returncode == 6
        seen = [
            daemon.ctl_as(person, *arguments).stdout
            for person in (ALICE, ROOT)
            for arguments in (("show", job, "--json"), ("events", "--json"), ("jobs", "--json"), ("logins", "--json"))
        ]
    assert all(seen[:3])
    assert not [text for text in seen if "s3cr3t" in text or auth in text]
    for path in (commons / "daemon").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"s3cr3t" not in content, path
            assert auth.encode() not in content, path


def test_a_login_is_its_owners_alone(commons: Path, served: FakeRegistry) -> None:
    image = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    served.behaviour = replace(served.behaviour, auth=Basic("alice", "s3cr3t"))
    secret = commons / "secret"
    secret.write_text("s3cr3t\n")
    with running(commons) as daemon:
        told = ("login", served.address, "--username", "alice", "--password-stdin", "--name", "work")
        done = ALICE.pushctl(*told, environment=daemon.environment, stdin=secret)
        assert done.returncode == 0, done.stderr
        source, destination = f"oci:{image.path}", f"{served.address}/team/app:1"
        codes = [
            daemon.ctl_as(person, "push", source, destination, "--wait", *options).returncode
            for person in (ALICE, BOB, ROOT)
            for options in ((), ("--credential", "work"))
        ]
        assert codes == [0, 0, 1, 6, 1, 6]
        assert daemon.ctl_as(BOB, "logout", "work").returncode == 6
        assert [json.loads(daemon.ctl_as(ALICE, "logins", "--json").stdout)["name"]] == ["work"]
