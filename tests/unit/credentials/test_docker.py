"""Docker's and podman's configuration: what is found in it, and what is refused."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.credentials.credential import Credential
from pushd.credentials.docker import Ask, read_config
from pushd.errors import Code, RegistryError
from tests.unit.credentials.samples import ALICE, BOB, REGISTRY, SECRET, encoded, shown

PATH = "/home/ada/.docker/config.json"
HUB = "https://index.docker.io/v1/"


def find(document: object, registry: str = REGISTRY, repository: str = "team/app") -> Credential | Ask | None:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_config(content, PATH).look_up(registry, repository, source="docker-config")


def user(document: object, registry: str = REGISTRY, repository: str = "team/app") -> str | None:
    found = find(document, registry, repository)
    assert not isinstance(found, Ask)
    return None if found is None else found.username


def refused(document: object, registry: str = REGISTRY) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        find(document, registry)
    error = caught.value
    # Whoever writes the file may be in the middle of it.
    assert error.retryable == (error.code is Code.REGISTRY_CREDENTIALS_MALFORMED)
    assert error.subject == PATH
    assert error.hint, "it says what to do next"
    assert str(error).isprintable(), "it cannot command a terminal"
    assert SECRET not in shown(error)
    return error


# ------------------------------------------------------------------------------------------------ what is found


def test_auth_is_base64_of_user_and_password() -> None:
    assert find({"auths": {REGISTRY: ALICE}}) == Credential("docker-config", "alice", SECRET)


def test_the_file_it_was_found_in_is_told() -> None:
    found = find({"auths": {REGISTRY: ALICE}})
    assert isinstance(found, Credential)
    assert found.where == PATH


def test_a_password_may_hold_a_colon_and_any_letter() -> None:
    found = find({"auths": {REGISTRY: {"auth": encoded("alice:a:b:ü")}}})
    assert found == Credential("docker-config", "alice", "a:b:ü")
    assert found.basic == "Basic " + encoded("alice:a:b:ü")


def test_the_padding_of_an_old_login_is_no_part_of_the_password() -> None:
    assert find({"auths": {REGISTRY: {"auth": encoded("alice:a\0\0")}}}) == Credential("docker-config", "alice", "a")


def test_base64_may_be_broken_into_lines() -> None:
    auth = encoded(f"alice:{SECRET}")
    assert user({"auths": {REGISTRY: {"auth": f"{auth[:8]}\n{auth[8:]}\n"}}}) == "alice"


def test_user_and_password_may_stand_by_themselves() -> None:
    found = find({"auths": {REGISTRY: {"username": "alice", "password": SECRET}}})
    assert found == Credential("docker-config", "alice", SECRET)


def test_a_user_without_a_password_has_an_empty_one() -> None:
    found = find({"auths": {REGISTRY: {"username": "alice", "password": None}}})
    assert found == Credential("docker-config", "alice", "")


@pytest.mark.parametrize(
    ("entry", "username"),
    [
        ({}, ""),
        (ALICE, "alice"),
        ({"username": "carol"}, "carol"),
        ({"auth": encoded("<token>:")}, ""),
        ({"auth": encoded("00000000-0000-0000-0000-000000000000:")}, "00000000-0000-0000-0000-000000000000"),
        ({"auth": "***"}, ""),
    ],
)
def test_a_token_goes_before_a_password_and_keeps_the_user_name(entry: dict[str, str], username: str) -> None:
    assert find({"auths": {REGISTRY: {**entry, "identitytoken": SECRET}}}) == Credential(
        "docker-config", username, identity_token=SECRET
    )
    assert find({"auths": {REGISTRY: {**entry, "registrytoken": SECRET}}}) == Credential(
        "docker-config", username, registry_token=SECRET
    )


def test_what_docker_keeps_besides_is_passed_over() -> None:
    document = {
        "auths": {REGISTRY: {**ALICE, "email": "a@example", "serveraddress": REGISTRY}, "other.example": 7},
        "HttpHeaders": {"User-Agent": "Docker-Client"},
        "currentContext": "default",
        "plugins": {"x": {"y": [1]}},
    }
    assert user(document) == "alice"


def test_a_file_may_begin_with_a_byte_order_mark() -> None:
    assert user(b"\xef\xbb\xbf" + json.dumps({"auths": {REGISTRY: ALICE}}).encode()) == "alice"


# ------------------------------------------------------------------------------------------------------ whose it is


@pytest.mark.parametrize("key", [HUB, "index.docker.io", "docker.io", "registry-1.docker.io", "https://docker.io"])
@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_is_found_under_all_its_names(key: str, name: str) -> None:
    assert user({"auths": {key: ALICE}}, name) == "alice"


@pytest.mark.parametrize(
    "key",
    [
        REGISTRY,
        REGISTRY.upper(),
        f"https://{REGISTRY}",
        f"https://{REGISTRY}/v1/",
        f"http://{REGISTRY}/v2",
        f"https://{REGISTRY}/login",
        f"{REGISTRY}/",
    ],
)
def test_a_key_may_be_a_url_of_the_registry_in_any_case(key: str) -> None:
    assert user({"auths": {key: ALICE}}) == "alice"
    assert user({"auths": {key: ALICE}}, REGISTRY.upper()) == "alice"
    assert user({"auths": {key: ALICE}}, repository="") == "alice"


@pytest.mark.parametrize(
    "key",
    [
        "registry.example",
        "registry.example:5001",
        f"x{REGISTRY}",
        f"{REGISTRY}.evil",
        f"evil.example/{REGISTRY}",
        f"https://evil.example/{REGISTRY}",
        "",
        "/",
        "https://",
    ],
)
def test_a_credential_for_another_host_or_port_is_not_ours(key: str) -> None:
    assert find({"auths": {key: ALICE}, "credHelpers": {key: "x"}}) is None


@pytest.mark.parametrize(
    ("repository", "wanted"),
    [
        ("team/app", "app"),
        ("team/app/part", "app"),
        ("team/other", "team"),
        ("team", "team"),
        ("team2/app", "host"),
        ("other", "host"),
        ("", "host"),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_longest_path_of_whole_components_wins(repository: str, wanted: str, backwards: bool) -> None:
    entries = {
        f"{REGISTRY}/team/app": {"username": "app"},
        f"{REGISTRY}/team": {"username": "team"},
        REGISTRY: {"username": "host"},
    }
    ordered = dict(reversed(entries.items())) if backwards else entries
    assert user({"auths": ordered}, repository=repository) == wanted


def test_a_login_to_a_part_of_a_registry_is_none_to_another_part() -> None:
    assert find({"auths": {f"{REGISTRY}/team": ALICE}}, repository="other/app") is None


@pytest.mark.parametrize("first", [HUB, f"{HUB}access-token"])
def test_docker_hubs_own_entry_goes_before_the_tokens_its_login_leaves_beside_it(first: str) -> None:
    entries = {HUB: ALICE, f"{HUB}access-token": BOB}
    assert user({"auths": {first: entries.pop(first), **entries}}, "docker.io", "library/app") == "alice"


# ---------------------------------------------------------------------------------------------------------- helpers


def test_a_helper_named_for_the_registry_goes_before_what_the_file_holds() -> None:
    document = {"credHelpers": {REGISTRY: "ecr-login"}, "auths": {REGISTRY: ALICE}, "credsStore": "desktop"}
    assert find(document) == Ask("ecr-login", REGISTRY, named=True, file=PATH)


def test_what_the_file_holds_goes_before_the_store() -> None:
    assert user({"credsStore": "desktop", "auths": {REGISTRY: ALICE}}) == "alice"


def test_the_store_is_asked_whether_or_not_a_login_left_an_entry() -> None:
    assert find({"credsStore": "desktop"}) == Ask("desktop", REGISTRY, named=False, file=PATH)
    assert find({"credsStore": "desktop", "auths": {REGISTRY: {}}}) == Ask("desktop", REGISTRY, named=True, file=PATH)


def test_an_empty_helper_takes_a_registry_out_of_the_stores_hands() -> None:
    assert find({"credsStore": "desktop", "credHelpers": {REGISTRY: ""}}) is None


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io"])
@pytest.mark.parametrize(
    "tables", [{"credsStore": "x"}, {"credHelpers": {"docker.io": "x"}}, {"credHelpers": {HUB: "x"}}]
)
def test_a_helper_knows_docker_hub_by_its_old_address(name: str, tables: dict[str, object]) -> None:
    found = find(tables, name)
    assert isinstance(found, Ask)
    assert found.server == HUB


@pytest.mark.parametrize(
    "key", [f"https://{REGISTRY}/v1/", f"https://{REGISTRY}", f"{REGISTRY}/team", REGISTRY.upper()]
)
@pytest.mark.parametrize("tables", [{"credsStore": "x"}, {"credHelpers": {REGISTRY: "x"}}])
def test_a_helper_is_asked_for_what_the_login_stored_it_under(key: str, tables: dict[str, object]) -> None:
    found = find({**tables, "auths": {key: {"email": "a@example"}}})
    assert found == Ask("x", key, named=True, file=PATH)


# ------------------------------------------------------------------------------------------ what is not there


@pytest.mark.parametrize(
    "document", [{}, {"auths": {}}, {"auths": None, "credHelpers": None, "credsStore": None}, {"credsStore": ""}]
)
def test_a_file_that_does_not_speak_of_the_registry_is_no_credential(document: object) -> None:
    assert find(document) is None


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"auth": None}, {"email": "a@example"}, {"password": SECRET}])
def test_an_entry_that_says_nothing_is_refused_rather_than_taken_for_no_login(entry: object) -> None:
    error = refused({"auths": {REGISTRY: entry}})
    assert error.code is Code.REGISTRY_CREDENTIALS
    assert error.hint == f"log in to {REGISTRY} again"


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "auth", ["***", f"alice:{SECRET}", encoded(SECRET), encoded(f":{SECRET}"), base64.b64encode(b"a\xff:b").decode()]
)
def test_auth_that_cannot_be_decoded_is_refused_without_being_shown(auth: str) -> None:
    error = refused({"auths": {REGISTRY: {"auth": auth}}})
    assert error.code is Code.REGISTRY_CREDENTIALS_ENCODING
    assert auth not in shown(error)
    assert REGISTRY in error.detail


@pytest.mark.parametrize(
    "document",
    [
        f'{{"auths": {{"{REGISTRY}": {{"auth": "{SECRET}'.encode(),
        SECRET.encode(),
        b"",
        b"[" * 100_000,
        b"9" * 5000,
        b"[]",
        b"7",
        b'{"auths": {"\xff": {"auth": "' + SECRET.encode() + b'"}}}',
        {"auths": ["x"]},
        {"credHelpers": "ecr"},
        {"credsStore": ["x"]},
        {"credHelpers": {REGISTRY: 7}},
        {"auths": {REGISTRY: SECRET}},
        {"auths": {REGISTRY: {"auth": 7}}},
        {"auths": {REGISTRY: {"username": [SECRET]}}},
        {"auths": {REGISTRY: {"username": "a", "password": "\ud800"}}},
        {"auths": {REGISTRY: {"identitytoken": {SECRET: SECRET}}}},
    ],
)
def test_a_file_that_is_no_docker_configuration_is_refused(document: object) -> None:
    assert refused(document).code is Code.REGISTRY_CREDENTIALS_MALFORMED


def test_where_json_ends_to_be_json_is_told() -> None:
    assert "line 2, column 3" in refused(b"{\n  auths: {}}").detail


@pytest.mark.parametrize("key", [f"{REGISTRY}/\x1b[31m", f"{REGISTRY}/{'x' * 10_000}"])
def test_a_key_is_shown_so_that_it_harms_nobody(key: str) -> None:
    with pytest.raises(RegistryError) as caught:
        find({"auths": {key: {}}}, repository=key.partition("/")[2])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# ------------------------------------------------------------------------------------------------- the secret


def test_no_secret_is_in_a_repr() -> None:
    config = read_config(json.dumps({"auths": {REGISTRY: ALICE}, "credHelpers": {SECRET: "x"}}).encode(), PATH)
    found = config.look_up(REGISTRY, "team/app", source="docker-config")
    for text in (repr(config), repr(found), f"{[found]}"):
        assert SECRET not in text
        assert ALICE["auth"] not in text


@pytest.mark.parametrize("name", ["auth", "password", "identitytoken", "registrytoken"])
def test_a_file_with_a_secret_in_it_is_told_from_one_without(name: str) -> None:
    assert read_config(json.dumps({"auths": {"x": {}, "y": {name: "s"}}}).encode(), PATH).holds_secret
    assert not read_config(b'{"auths": {"x": {"username": "a"}, "y": 7}, "credsStore": "pass"}', PATH).holds_secret


# ------------------------------------------------------------------------------------------------- anything at all

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_ENTRY = st.dictionaries(st.sampled_from(["auth", "username", "password", "identitytoken", "email"]), _JSON) | _JSON
_KEYS = st.sampled_from([REGISTRY, f"https://{REGISTRY}/v1/", f"{REGISTRY}/team", HUB, "", "://", "/"]) | st.text()
_DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "auths": st.dictionaries(_KEYS, _ENTRY) | _JSON,
        "credHelpers": st.dictionaries(_KEYS, st.text() | _JSON) | _JSON,
        "credsStore": st.text() | _JSON,
    },
)


def outcome(document: object) -> Credential | Ask | RegistryError | None:
    try:
        return find(document)
    except RegistryError as error:
        return error


@given(document=_DOCUMENT)
def test_any_configuration_is_read_or_refused_as_what_it_is(document: object) -> None:
    found = outcome(document)
    if isinstance(found, RegistryError):
        assert (found.subject, bool(found.hint), str(found).isprintable()) == (PATH, True, True)
    elif isinstance(found, Credential):
        assert found.basic or found.identity_token
    else:
        assert found is None or found.helper


@given(content=st.binary())
def test_any_bytes_are_read_or_refused_as_what_they_are(content: bytes) -> None:
    found = outcome(content)
    assert found is None or (isinstance(found, RegistryError) and found.code is Code.REGISTRY_CREDENTIALS_MALFORMED)


@given(
    username=st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1),
    password=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.endswith("\0")),
)
def test_what_docker_encodes_comes_back(username: str, password: str) -> None:
    found = find({"auths": {REGISTRY: {"auth": encoded(f"{username}:{password}")}}})
    assert found == Credential("docker-config", username, password)
