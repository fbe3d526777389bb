"""The parts that let people in, or do not: each by itself, asked with curl and skopeo."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.authority import Authority
from tests.fakes.credential_helper import CredentialHelper
from tests.fakes.credential_helper import Mood as HelperMood
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.redirecting import SIGNATURE, Redirecting
from tests.fakes.signer import Signer
from tests.fakes.token_server import ENDLESS, Mood, TokenServer
from tests.integration.conftest import NAMES
from tests.integration.doors import HTPASSWD, PASSWORD, USER, Door, Tokens
from tests.integration.nginx import Nginx
from tests.integration.parts import (
    SKOPEO,
    RealRegistry,
    assert_identical,
    read_back,
    run,
    tail,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.parts import Tool

    Opened = Callable[[Door], RealRegistry]

LOGIN = f"{USER}:{PASSWORD}"
SCOPE = "repository:team/app:pull,push"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    file = tmp_path / "htpasswd"
    file.write_text(HTPASSWD)
    return file


@pytest.fixture(params=NAMES, ids=NAMES.get)
def version(request: pytest.FixtureRequest) -> Tool:
    tool: Tool = request.param
    return tool


@pytest.fixture
def registry(version: Tool, tmp_path: Path) -> Iterator[Opened]:
    """Give what starts a registry behind a door."""
    with ExitStack() as stack:

        def opened(door: Door) -> RealRegistry:
            directory = tmp_path / "registry"
            directory.mkdir()
            real = RealRegistry(NAMES[version], version.find(), directory, door)
            stack.callback(lambda: print(f"--- the end of {real.log}:\n{tail(real.log)}"))  # noqa: T201 (shown with a failure)
            stack.callback(real.stop)
            real.start()
            return real

        yield opened


@pytest.fixture
def tokens(authority: Authority) -> Iterator[TokenServer]:
    with TokenServer(
        Signer(authority.server("tokens")), accounts={USER: PASSWORD}, identities={"an identity token": USER}
    ) as server:
        yield server


def curl(url: str, *options: str) -> tuple[int, str]:
    """Ask; give the status, 0 when there was none, and the body."""
    asked = run("curl", "--silent", "--noproxy", "", "--write-out", "\n%{http_code}", *options, url)
    body, _, status = asked.stdout.rpartition("\n")
    return int(status), body


def copied(source: str, destination: str, *options: str) -> bool:
    """Whether skopeo can push there."""
    return run(SKOPEO.find(), "--insecure-policy", "copy", *options, source, f"docker://{destination}").returncode == 0


def told(server: TokenServer, authority: Authority) -> Tokens:
    return Tokens(realm=server.realm, service=server.service, issuer=server.issuer, bundle=authority.ca)


def test_a_registry_with_users_lets_them_in_and_nobody_else(registry: Opened, htpasswd: Path) -> None:
    base = f"http://{registry(Door(htpasswd=htpasswd)).address}/v2/"
    assert curl(base)[0] == 401
    assert curl(base, "--user", f"{USER}:wrong")[0] == 401
    assert curl(base, "--user", LOGIN)[0] == 200


def test_a_registry_speaks_tls_with_the_certificate_it_was_given(registry: Opened, authority: Authority) -> None:
    base = f"https://{registry(Door(pair=authority.server('127.0.0.1'))).address}/v2/"
    assert curl(base)[0] == 0
    assert curl(base, "--cacert", str(authority.ca))[0] == 200


def test_a_registry_may_want_a_certificate_and_a_password(
    registry: Opened, authority: Authority, htpasswd: Path, tmp_path: Path
) -> None:
    pair, client = authority.server("127.0.0.1"), authority.client("ci")
    stranger = Authority(tmp_path / "another").client("ci")
    base = f"https://{registry(Door(pair=pair, clients=authority.ca, htpasswd=htpasswd)).address}/v2/"
    trusting = ("--cacert", str(authority.ca), "--user", LOGIN)
    assert curl(base, *trusting)[0] == 0
    assert curl(base, *trusting, "--cert", str(stranger.cert), "--key", str(stranger.key))[0] == 0
    assert curl(base, *trusting, "--cert", str(client.cert), "--key", str(client.key))[0] == 200


def test_skopeo_pushes_and_reads_with_a_token_that_the_registry_takes(
    registry: Opened, authority: Authority, tokens: TokenServer, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4")])
    destination = f"{registry(Door(tokens=told(tokens, authority))).address}/team/app:1.4"
    plain = "--dest-tls-verify=false"
    assert not copied(f"oci:{layout.path}:1.4", destination, plain)
    assert not copied(f"oci:{layout.path}:1.4", destination, plain, "--dest-creds", f"{USER}:wrong")
    assert copied(f"oci:{layout.path}:1.4", destination, plain, "--dest-creds", LOGIN)
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))  # as nobody: who may pull
    assert tokens.issued[SCOPE] == 1
    assert {(one.grant, one.status) for one in tokens.asked("team/app")} == {
        ("", 200),
        ("basic", 401),
        ("basic", 200),
    }


def test_an_identity_token_is_taken_by_post(registry: Opened, authority: Authority, tokens: TokenServer) -> None:
    base = f"http://{registry(Door(tokens=told(tokens, authority))).address}/v2/team/app/tags/list"
    form = ["--data", f"grant_type=refresh_token&service={tokens.service}&client_id=curl&scope={SCOPE}"]
    given = curl(tokens.realm, *form, "--data-urlencode", "refresh_token=an identity token")
    assert given[0] == 200
    token = json.loads(given[1])["access_token"]
    assert curl(base, "--header", f"Authorization: Bearer {token}")[0] == 404  # there is nothing, but we are in
    assert curl(base)[0] == 401
    status, document = curl(tokens.realm, *form, "--data-urlencode", "refresh_token=an old one")
    assert (status, json.loads(document)["error"]) == (400, "invalid_grant")
    assert [(one.method, one.grant, one.account) for one in tokens.requests] == [
        ("POST", "refresh_token", USER),
        ("POST", "refresh_token", ""),
    ]


def test_a_token_is_refused_after_the_seconds_it_lives(
    registry: Opened, authority: Authority, tokens: TokenServer
) -> None:
    tokens.life = 3
    base = f"http://{registry(Door(tokens=told(tokens, authority))).address}/v2/team/app/tags/list"
    document = json.loads(curl(f"{tokens.realm}?service={tokens.service}&scope={SCOPE}", "--user", LOGIN)[1])
    bearer = f"Authorization: Bearer {document['token']}"
    assert document["expires_in"] == 3
    assert curl(base, "--header", bearer)[0] == 404
    wait_until(lambda: curl(base, "--header", bearer)[0] == 401, "the token has expired", seconds=5, pause=0.2)


@pytest.mark.parametrize(("mood", "status"), [(Mood.REFUSES, 403), (Mood.FORGETS, 200), (Mood.NEGATIVE, 200)], ids=str)
def test_a_token_service_misbehaves_about_the_repository_it_was_told_to(
    tokens: TokenServer, mood: Mood, status: int
) -> None:
    tokens.moods["odd"] = mood
    ask = f"{tokens.realm}?service={tokens.service}&scope=repository:{{}}:pull"
    assert curl(ask.format("even"))[0] == 200
    answered, body = curl(ask.format("odd"))
    document: dict[str, Any] = json.loads(body)
    assert answered == status
    assert ("token" in document) == (mood is Mood.NEGATIVE)
    assert (document.get("expires_in", 0) < 0) == (mood is Mood.NEGATIVE)


def test_an_answer_without_end_ends_when_nobody_takes_it(tokens: TokenServer) -> None:
    tokens.moods["odd"] = Mood.ENDLESS
    url = f"{tokens.realm}?scope=repository:odd:pull"
    assert len(run("bash", "-c", f"curl --silent '{url}' | head -c 1000").stdout) == 1000
    wait_until(lambda: any(one.ended for one in tokens.requests), "the service noticed that nobody listens")
    assert tokens.requests[-1].sent < ENDLESS


def test_a_token_service_speaks_tls(authority: Authority) -> None:
    signer = Signer(authority.server("tokens"))
    with TokenServer(signer, tls=authority.serving("127.0.0.1")) as server:
        assert server.realm.startswith("https://")
        assert curl(server.realm)[0] == 0
        assert curl(server.realm, "--cacert", str(authority.ca))[0] == 200


def test_nginx_wants_tls_a_user_and_small_bodies(
    registry: Opened, authority: Authority, htpasswd: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "nginx"
    directory.mkdir()
    nginx = Nginx(
        directory,
        upstream=registry(Door()).address,
        pair=authority.server("127.0.0.1"),
        htpasswd=htpasswd,
        body_limit=1 << 20,
    )
    try:
        nginx.start()
        base = f"https://{nginx.address}/v2/"
        trusting = ("--cacert", str(authority.ca))
        assert curl(base)[0] == 0
        assert curl(base, *trusting)[0] == 401
        assert curl(base, *trusting, "--user", LOGIN)[0] == 200
        body = tmp_path / "body"
        body.write_bytes(bytes((1 << 20) + 1))
        put = (*trusting, "--user", LOGIN, "--request", "PUT", "--data-binary", f"@{body}")
        assert curl(f"{base}team/app/blobs/uploads/x", *put)[0] == 413
    finally:
        nginx.stop()
    assert {path.name for path in directory.iterdir()} == {
        *("nginx.conf", "nginx.log"),
        *("body", "proxy", "fastcgi", "uwsgi", "scgi"),
    }


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_forward_proxy_leads_to_the_names_it_knows(
    registry: Opened, authority: Authority, secure: bool, tmp_path: Path
) -> None:
    tls = authority.serving("127.0.0.1") if secure else None
    behind = registry(Door(pair=authority.server("registry.test") if secure else None))
    with ForwardProxy({"registry.test:5000": behind.address}, account=("me", "a word"), tls=tls) as proxy:
        trusting = ("--cacert", str(authority.ca), "--proxy-cacert", str(authority.ca), "--max-time", "20")
        url = f"{'https' if secure else 'http'}://registry.test:5000/v2/"
        assert curl(url, *trusting, "--proxy", proxy.url)[0] == 200
        assert curl(url, *trusting, "--proxy", proxy.url_for(("me", "wrong")))[0] == (0 if secure else 407)
        assert curl(url.replace("registry", "elsewhere"), *trusting, "--proxy", proxy.url)[0] == (0 if secure else 502)
        assert [(one.method, one.target, one.status) for one in proxy.requests] == [
            ("CONNECT" if secure else "GET", "registry.test:5000", 200),
            ("CONNECT" if secure else "GET", "registry.test:5000", 407),
            ("CONNECT" if secure else "GET", "elsewhere.test:5000", 502),
        ]


@pytest.mark.parametrize("redirects", [False, True], ids=["located", "redirected"])
def test_a_registry_leads_uploads_to_its_storage(registry: Opened, tmp_path: Path, redirects: bool) -> None:
    behind = registry(Door())
    blob = tmp_path / "blob"
    blob.write_bytes(b"some bytes")
    digest = "sha256:" + run("sha256sum", blob).stdout.split()[0]
    with Redirecting(behind.address, account=(USER, PASSWORD), redirects=redirects) as front:
        uploads = f"http://{front.address}/v2/team/app/blobs/uploads/"
        assert curl(uploads, "--request", "POST")[0] == 401
        _, head = curl(uploads, "--request", "POST", "--include", "--user", LOGIN)
        location = next(line.split()[1] for line in head.splitlines() if line.lower().startswith("location:"))
        assert (SIGNATURE in location) != redirects
        # It does not wait to be told to go on.
        put = ("--request", "PUT", "--upload-file", str(blob), "--user", LOGIN, "--location", "--header", "Expect:")
        assert curl(f"{location}&digest={digest}", *put)[0] == 201
        assert [one.method for one in front.stored] == ["PUT"]
        # curl gives a password to whom it was told to, and on a redirect to nobody else.
        assert ("authorization" in front.stored[0]) != redirects
        assert curl(f"http://{behind.address}/v2/team/app/blobs/{digest}", "--head")[0] == 200


def test_a_helper_answers_and_counts(tmp_path: Path) -> None:
    helper = CredentialHelper(tmp_path, "test", username=USER, secret=PASSWORD)
    for _ in range(2):
        said = run("sh", "-c", f"echo registry.test | '{helper.path}' get")
        assert json.loads(said.stdout) == {"Username": USER, "Secret": PASSWORD}
    assert helper.calls == ["get registry.test"] * 2


@pytest.mark.parametrize(
    ("mood", "code"),
    [(HelperMood.FAILS, 3), (HelperMood.CRASHES, -9), (HelperMood.BABBLES, 0), (HelperMood.KNOWS_NOTHING, 1)],
    ids=str,
)
def test_a_helper_has_moods(tmp_path: Path, mood: HelperMood, code: int) -> None:
    helper = CredentialHelper(tmp_path, "test", username=USER, secret=PASSWORD, mood=mood)
    said = run(helper.path, "get")
    assert said.returncode == code
    assert PASSWORD not in said.stdout
    assert helper.calls == ["get "]
