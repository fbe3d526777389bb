"""References as people write them, and as pushd writes them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, RequestError
from pushd.oci.digest import Digest
from pushd.oci.reference import Reference

DIGEST = Digest.of(b"manifest")


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("app", "docker.io/library/app:latest"),
        ("app:1.4", "docker.io/library/app:1.4"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/app", "docker.io/library/app:latest"),
        ("docker.io/team/app", "docker.io/team/app:latest"),
        ("index.docker.io/app", "docker.io/library/app:latest"),
        ("Index.Docker.IO/app", "docker.io/library/app:latest"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("LOCALHOST/app", "localhost/app:latest"),
        ("localhost:5000/team/app:1.4", "localhost:5000/team/app:1.4"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("registry.example.com/team/app", "registry.example.com/team/app:latest"),
        ("Registry.Example.COM:5000/app", "registry.example.com:5000/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("registry/app", "docker.io/registry/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        ("[2001:DB8:0:0:0:0:0:1]/app", "[2001:db8::1]/app:latest"),
        ("docker://registry.example.com/app:1", "registry.example.com/app:1"),
        ("docker://app", "docker.io/library/app:latest"),
        ("a.b/c__d/e--f/g.h/i_j:K-9._", "a.b/c__d/e--f/g.h/i_j:K-9._"),
        ("xn--bcher-kva.example/app", "xn--bcher-kva.example/app:latest"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
        (f"localhost:5000/app:1.4@{DIGEST}", f"localhost:5000/app:1.4@{DIGEST}"),
        (f"{'a' * 64}:1", f"docker.io/library/{'a' * 64}:1"),
        (f"host.example/{'a' * 255}:{'t' * 128}", f"host.example/{'a' * 255}:{'t' * 128}"),
    ],
)
def test_a_reference_is_normalised_as_docker_does(text: str, normalised: str) -> None:
    assert str(Reference.parse(text)) == normalised


def test_a_reference_has_its_parts() -> None:
    assert Reference.parse(f"localhost:5000/team/app:1.4@{DIGEST}") == Reference(
        "localhost:5000", "team/app", "1.4", DIGEST
    )


def test_without_tag_and_digest_the_tag_is_latest() -> None:
    assert Reference.parse("a.example/app").tag == "latest"
    assert Reference.parse(f"a.example/app@{DIGEST}").tag is None


def test_the_target_is_the_tag_and_without_one_the_digest() -> None:
    assert Reference.parse(f"a.example/app:1@{DIGEST}").target == "1"
    assert Reference.parse(f"a.example/app@{DIGEST}").target == str(DIGEST)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "empty"),
        ("docker://", "empty"),
        ("registry.example.com/", "no repository"),
        ("registry.example.com/:tag", "no repository"),
        (" app", "white space"),
        ("app\n", "white space"),
        ("a.example/team app", "white space"),
        ("https://registry.example.com/app", "URL"),
        ("a.example/Team/App", "upper case"),
        ("team/App", "upper case"),
        ("App", "upper case"),
        ("a.example//app", "repository"),
        ("a.example/app/", "repository"),
        ("a.example/-app", "repository"),
        ("a.example/app.", "repository"),
        ("a.example/a___b", "repository"),
        ("a.example/a..b", "repository"),
        ("a.example/../app", "repository"),
        ("a.example/äpp", "repository"),
        (f"a.example/{'a' * 256}", "255 characters"),
        ("a.example/app:", "tag"),
        ("a.example/app:.1", "tag"),
        ("a.example/app:-1", "tag"),
        ("a.example/app:1:2", "tag"),
        ("a.example/app:ü", "tag"),
        (f"a.example/app:{'t' * 129}", "tag"),
        ("a.example/app@", "digest"),
        ("a.example/app@sha256:abc", "digest"),
        (f"a.example/app@{DIGEST}@{DIGEST}", "digest"),
        ("/app", "repository"),
        ("-host.example/app", "host"),
        ("host-.example/app", "host"),
        ("host..example/app", "host"),
        (".example/app", "host"),
        ("my_host:5000/app", "host"),
        ("a_b.c/d", "host"),
        ("user:secret@host.example/app", "user name"),
        (f"{'a.' * 127}example/app", "host"),
        ("host.example:/app", "port"),
        ("host.example:http/app", "port"),
        ("host.example:0/app", "port"),
        ("host.example:65536/app", "port"),
        ("host.example:080/app", "port"),
        ("host.example:" + "9" * 5000 + "/app", "port"),
        ("[::1/app", "host"),
        ("[:]/app", "IPv6"),
        ("[::1]5000/app", "host"),
        ("[fe80::1%25eth0]/app", "IPv6"),
        ("[::ffff:127.0.0.1]/app", "IPv6"),
        ("[::ffff:7f00:1]/app", "IPv4"),
        ("[:::1]/app", "IPv6"),
        ("::1/app", "host"),
        ("a" * 64, "image id"),
    ],
)
def test_a_malformed_reference_is_refused_with_what_is_wrong(text: str, detail: str) -> None:
    with pytest.raises(RequestError) as caught:
        Reference.parse(text)
    assert caught.value.code is Code.REQUEST_INVALID_REFERENCE
    assert detail in caught.value.detail
    assert caught.value.hint
    assert len(str(caught.value)) < 500


def test_an_upper_case_repository_is_offered_in_lower_case() -> None:
    with pytest.raises(RequestError, match=r"write team/app$"):
        Reference.parse("a.example/Team/App:RC1")


@pytest.mark.parametrize(
    "text", ["https://bob:canary@host.example/app", "bob:can/ary@host.example/app", "x:canary@h/a"]
)
def test_a_password_written_into_a_reference_is_not_echoed(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Reference.parse(text)
    assert "can" not in str(caught.value)
    assert "***@h" in str(caught.value)


def test_control_characters_are_never_echoed() -> None:
    with pytest.raises(RequestError) as caught:
        Reference.parse("a.example/app\x1b[2J:\u202e")
    assert str(caught.value).isprintable()


_COMPONENT = st.from_regex(r"[a-z0-9]{1,8}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
_HOST = st.from_regex(r"(?:[a-zA-Z0-9]{1,8}\.){1,3}[a-zA-Z]{2,4}", fullmatch=True) | st.sampled_from(
    ["localhost", "[::1]", "10.0.0.1", "Upper"]
)
_PORT = st.just("") | st.integers(min_value=1, max_value=65535).map(lambda port: f":{port}")
_PATH = st.lists(_COMPONENT, min_size=1, max_size=3).map("/".join)
# Without a host the first of several components must not look like one.
_BARE_PATH = _PATH.filter(lambda path: "/" not in path or "." not in path.partition("/")[0])
_NAME = st.builds("{}{}/{}".format, _HOST, _PORT, _PATH) | _BARE_PATH
_SUFFIX = st.sampled_from(["", ":latest", ":v1.0-RC_1", f"@{DIGEST}", f":1@{DIGEST}"])


@given(_NAME, _SUFFIX)
def test_what_is_written_reads_back_as_the_same_reference(name: str, suffix: str) -> None:
    reference = Reference.parse(f"{name}{suffix}")
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(f"docker://{reference}") == reference


@given(st.text() | st.text(alphabet=st.sampled_from("aA0.:/@[]-_ \x1b")))
def test_any_text_is_a_reference_or_an_invalid_one(text: str) -> None:
    read = _read(text)
    if isinstance(read, RequestError):
        assert read.code is Code.REQUEST_INVALID_REFERENCE
        assert str(read).isprintable()
    else:
        assert Reference.parse(str(read)) == read


def _read(text: str) -> Reference | RequestError:
    try:
        return Reference.parse(text)
    except RequestError as error:
        return error


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", ["a", "a-", "a.", "a/", "a_", "a:", "a@", "[", "A.b/"])
def test_a_hostile_reference_is_refused_in_linear_time(piece: str) -> None:
    with pytest.raises(RequestError):
        Reference.parse(piece * 200_000)
