"""What an image is called in an engine: as skopeo takes it."""

from __future__ import annotations

import pytest

from pushd.errors import Code, RequestError
from pushd.source.engine_name import image_in_engine

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "name",
    [
        "app:1.4",
        "docker.io/library/app:1.4",
        "localhost:5000/team/app:1.4",
        f"app@{DIGEST}",
        f"localhost/app@{DIGEST}",
        DIGEST,
        "md5:abc",
    ],
)
def test_a_name_with_a_tag_or_a_digest_and_an_image_id_are_asked_for_as_they_were_typed(name: str) -> None:
    assert image_in_engine(f"docker-daemon:{name}") == name


@pytest.mark.parametrize(
    ("name", "detail", "hint"),
    [
        ("app", "neither a tag nor a digest", "docker-daemon:app:latest"),
        ("localhost:5000/app", "neither a tag nor a digest", "docker-daemon:localhost:5000/app:latest"),
        (f"app:1@{DIGEST}", "both a tag and a digest", "leave one out"),
        ("0" * 64, "is an image id", f"docker-daemon:{DIGEST}"),
        ("sha256:abc", "shortened", "`docker images --no-trunc`"),
        (f"sha512:{'0' * 128}", "sha256", "`docker images --no-trunc`"),
        ("App:1", "repository", ""),
        ("", "is empty", "docker-daemon:NAME:TAG"),
        ("docker://app:1", "is a URL", "docker-daemon:NAME:TAG"),
        ("@1", "no repository", ""),
        ("app:1 ", "white space", ""),
        ("app/../other:1", "repository", ""),
    ],
)
def test_what_skopeo_refuses_is_refused_with_the_next_step(name: str, detail: str, hint: str) -> None:
    with pytest.raises(RequestError) as caught:
        image_in_engine(f"docker-daemon:{name}")

    assert caught.value.code is Code.REQUEST_INVALID_REFERENCE
    assert detail in caught.value.detail
    assert hint in caught.value.hint
