from __future__ import annotations

import pytest

from pushd.errors import Code, SourceError
from pushd.source.name import Kind, SourceName


@pytest.mark.parametrize(
    ("text", "kind", "path", "reference"),
    [
        ("oci:/srv/app", Kind.LAYOUT, "/srv/app", ""),
        ("oci:/srv/app:", Kind.LAYOUT, "/srv/app", ""),
        ("oci:/srv/app:1.4", Kind.LAYOUT, "/srv/app", "1.4"),
        ("oci:/srv/app:example.com:5000/app:1.4", Kind.LAYOUT, "/srv/app", "example.com:5000/app:1.4"),
        ("oci-archive:/srv/app.tar:1.4", Kind.ARCHIVE, "/srv/app.tar", "1.4"),
        ("docker-archive:/srv/app.tar", Kind.DOCKER, "/srv/app.tar", ""),
        ("docker-archive:/srv/app.tar:app:1.4", Kind.DOCKER, "/srv/app.tar", "app:1.4"),
        ("docker-archive:/srv/app.tar:@1", Kind.DOCKER, "/srv/app.tar", "@1"),
        ("oci:/srv/../x y/", Kind.LAYOUT, "/srv/../x y/", ""),
        ("dir:/srv/app", Kind.DIR, "/srv/app", ""),
        ("dir:/srv/registry.example.com:5000/app:1.4", Kind.DIR, "/srv/registry.example.com:5000/app:1.4", ""),
        ("dir:/srv/app:", Kind.DIR, "/srv/app:", ""),
    ],
)
def test_a_name_is_split_as_skopeo_splits_it(text: str, kind: Kind, path: str, reference: str) -> None:
    assert SourceName.parse(text) == SourceName(kind, path, reference)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/srv/app", "no kind of source"),
        ("", "no kind of source"),
        ("docker-daemon:app:1", "is in a container engine"),
        ("docker-daemon:app:1", "`pushctl push docker-daemon:app:1 DESTINATION` brings it"),
        ("docker-daemon", "no kind of source"),
        ("OCI:/srv/app", "no kind of source"),
        ("oci:", "has no path"),
        ("oci::1.4", "has no path"),
        ("oci:app:1.4", "the daemon does not run in your directory"),
        ("oci:./app", "give the absolute path"),
        ("oci:/srv/a\0b", "NUL"),
        ("oci:/srv/\ud800", "characters in its path"),
        ("dir:", "has no path"),
        ("dir:app", "give the absolute path"),
        ("dir::/srv/app", "give the absolute path"),
    ],
)
def test_what_is_no_name_of_a_source_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        SourceName.parse(text)

    assert caught.value.code is Code.SOURCE_UNSUPPORTED
    assert words in str(caught.value)


def test_an_error_says_which_kinds_there_are() -> None:
    kinds = r"docker-archive:FILE\[:REF\], dir:DIR or docker://REF; pushctl takes docker-daemon:IMAGE"
    with pytest.raises(SourceError, match=kinds):
        SourceName.parse("docker://example.com/app")


def test_a_terminal_is_safe_from_the_characters_of_a_name() -> None:
    with pytest.raises(SourceError) as caught:
        SourceName.parse("oci:app\x1b[31m\n")

    assert str(caught.value).isprintable()
    assert SourceName.parse("oci:/srv/\x1b[31mapp").shown == "/srv/[31mapp"
