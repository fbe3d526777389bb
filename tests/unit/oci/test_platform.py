"""Platforms: one platform has many spellings, and is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, RequestError, SourceError
from pushd.oci.platform import Platform

PARTS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_.-", min_size=1, max_size=12)
TEXTS = st.lists(PARTS, min_size=2, max_size=3).map("/".join)


@pytest.mark.parametrize(
    ("spelling", "platform"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("linux/386", "linux/386"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/ppc64le", "linux/ppc64le"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_usual_spellings_of_one_platform_are_one_platform(spelling: str, platform: str) -> None:
    assert str(Platform.parse(spelling)) == platform
    assert Platform.parse(spelling) == Platform.parse(platform)


@given(TEXTS)
def test_what_is_written_reads_back_as_the_same(text: str) -> None:
    platform = Platform.parse(text)
    assert Platform.parse(str(platform)) == platform


@pytest.mark.parametrize(
    "text", ["", "linux", "amd64", "linux/", "/amd64", "linux/arm/v7/1", "linux//v7", "linux/am d64", "linux/amd64\n"]
)
def test_what_is_no_platform_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Platform.parse(text)
    assert caught.value.code is Code.REQUEST_MALFORMED
    assert caught.value.subject == repr(text)
    assert "OS/ARCH" in caught.value.hint


def test_a_platform_is_read_from_the_fields_of_a_descriptor_or_a_config() -> None:
    fields = {"architecture": "arm", "os": "linux", "variant": "v7", "os.version": "10.0", "os.features": []}
    assert Platform.of(fields, "platform") == Platform.parse("linux/arm")


@pytest.mark.parametrize(
    "fields",
    [{}, {"os": "linux"}, {"architecture": "amd64"}, {"os": "", "architecture": ""}, {"os": None, "architecture": "x"}],
)
def test_without_system_or_architecture_there_is_no_platform(fields: dict[str, object]) -> None:
    assert Platform.of(fields, "platform") is None


@pytest.mark.parametrize("field", ["os", "architecture", "variant"])
def test_a_field_that_is_no_text_is_refused_by_its_name(field: str) -> None:
    fields: dict[str, object] = {"os": "linux", "architecture": "arm", field: 7}
    with pytest.raises(SourceError) as caught:
        Platform.of(fields, "manifests[0].platform")
    assert caught.value.code is Code.SOURCE_MANIFEST_INVALID
    assert caught.value.subject == f"manifests[0].platform.{field}"
