from __future__ import annotations

import pytest

from pushd.client.sources import absolute
from pushd.errors import Code, RequestError


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("oci:dir", "oci:/home/me/dir"),
        ("oci:dir:tag", "oci:/home/me/dir:tag"),
        ("oci:./dir:1.4", "oci:/home/me/dir:1.4"),
        ("oci:.", "oci:/home/me"),
        ("oci:.:1.4", "oci:/home/me:1.4"),
        ("oci:../dir/", "oci:/home/me/../dir"),
        ("oci:dir:registry.example.com:5000/./app:1.4", "oci:/home/me/dir:registry.example.com:5000/./app:1.4"),
        ("oci-archive:x.tar", "oci-archive:/home/me/x.tar"),
        ("oci-archive:sub//x.tar:v1", "oci-archive:/home/me/sub/x.tar:v1"),
        ("docker-archive:./x.tar:app:1", "docker-archive:/home/me/x.tar:app:1"),
        ("docker-archive:x.tar:@1", "docker-archive:/home/me/x.tar:@1"),
        ("dir:flat", "dir:/home/me/flat"),
        ("dir:.", "dir:/home/me"),
        ("dir:./registry.example.com:5000/app:1.4", "dir:/home/me/registry.example.com:5000/app:1.4"),
    ],
)
def test_a_relative_path_begins_in_the_callers_directory_and_the_ref_stays(source: str, expected: str) -> None:
    assert absolute(source, "/home/me") == expected


@pytest.mark.parametrize(
    "source",
    [
        "oci:/srv/./app:1.4",
        "oci-archive:/x.tar",
        "docker-archive:/x.tar:app:1",
        "dir:/srv/./app:1.4",
        "oci:",
        "oci::tag",
        "dir:",
        "docker://app",
        "docker-daemon:app:1",
        "dir",
        "",
    ],
)
def test_what_is_absolute_or_no_path_stays_as_it_is(source: str) -> None:
    assert absolute(source, "/home/me") == source


def test_the_root_directory_is_one_slash() -> None:
    assert absolute("oci:dir", "/") == "oci:/dir"
    assert absolute("oci:.", "/") == "oci:/"


def test_a_directory_with_a_colon_is_refused_because_the_daemon_would_read_another_path() -> None:
    with pytest.raises(RequestError) as caught:
        absolute("oci:dir:tag", "/home/me:you")
    assert caught.value.code is Code.REQUEST_MALFORMED
    assert "/home/me:you" in str(caught.value)


def test_a_colon_is_part_of_the_path_where_no_ref_can_follow() -> None:
    assert absolute("dir:flat", "/home/me:you") == "dir:/home/me:you/flat"
