from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.oci.upload import Form, Limits, Ranges
from pushd.registry.profiles import NAMES, PROFILES, STANDARD, profile_for, profile_named

if TYPE_CHECKING:
    from pushd.registry.profiles import Profile

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("docker.io", "docker-hub"),
        ("registry-1.docker.io", "docker-hub"),
        ("ghcr.io", "ghcr"),
        ("GHCR.io:443", "ghcr"),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "ecr"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "ecr"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "ecr"),
        ("public.ecr.aws", "ecr-public"),
        ("europe-docker.pkg.dev", "artifact-registry"),
        ("gcr.io", "artifact-registry"),
        ("eu.gcr.io", "artifact-registry"),
        ("example.azurecr.io", "acr"),
        ("quay.io", "quay"),
        ("registry.gitlab.com", "gitlab"),
        ("codeberg.org", "gitea"),
        ("example.jfrog.io", "artifactory"),
        ("registry.cn-hangzhou.aliyuncs.com", "aliyun"),
        ("registry.example.com", "standard"),
        ("registry.example.com:5000", "standard"),
        ("localhost:5000", "standard"),
        ("[::1]:5000", "standard"),
    ],
)
def test_a_registry_is_known_by_its_host(registry: str, name: str) -> None:
    assert profile_for(registry).name == name


@pytest.mark.parametrize(
    "host", ["ghcr.io.example.com", "notghcr.io", "azurecr.io", "quay.io.evil.example", "dkr.ecr.amazonaws.com"]
)
def test_a_host_that_only_looks_like_one_is_not_taken_for_it(host: str) -> None:
    assert profile_for(host) is STANDARD


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_found_by_its_name(name: str) -> None:
    assert profile_named(name).name == name


def test_a_name_nobody_has_is_not_found() -> None:
    with pytest.raises(LookupError, match="nobody"):
        profile_named("nobody")


def test_names_and_patterns_belong_to_one_profile_each() -> None:
    assert len(set(NAMES)) == len(NAMES)
    patterns = [pattern for profile in PROFILES for pattern in profile.hosts]
    assert len(set(patterns)) == len(patterns)
    assert patterns == [pattern.lower() for pattern in patterns]


@pytest.mark.parametrize("profile", PROFILES, ids=NAMES)
@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 20_000_001, 100_000_001, 50 * GIB])
def test_no_profile_offers_a_form_it_knows_to_be_refused(profile: Profile, size: int) -> None:
    limits = profile.limits
    ladder = limits.ladder(size)
    assert ladder
    assert Form.STREAMED not in ladder or size <= (limits.chunk_max or size)
    assert Form.MONOLITHIC not in ladder or size <= (limits.put_max or size)
    assert limits.chunk(0, 0) == limits.chunk_size, "its chunks keep to its own bound"


def test_what_is_known_of_each_registry_is_what_its_uploads_obey() -> None:
    """The table, said once more in the words of the facts behind it."""
    limits = {profile.name: profile.limits for profile in PROFILES}
    assert limits["standard"] == Limits()
    assert limits["ghcr"].chunk_size == 4 * MIB
    assert limits["ghcr"].ladder(10 * GIB) == (Form.CHUNKED, Form.MONOLITHIC)
    for name in ("ecr", "ecr-public"):
        assert 5 * MIB <= limits[name].chunk_size <= 20_000_000
        assert limits[name].last_in_put
        assert limits[name].ranges is Ranges.UNRELIABLE
    assert not limits["ecr-public"].mounts
    assert Form.CHUNKED not in limits["artifact-registry"].ladder(10 * GIB)
    assert not limits["acr"].resumable
    assert Form.MONOLITHIC not in limits["acr"].ladder(20_000_001)
    assert limits["quay"].chunk_size >= 5 * MIB
    assert Form.MONOLITHIC not in limits["quay"].ladder(20 * GIB)
    assert limits["gitea"].ranges is Ranges.UNRELIABLE
    assert Form.MONOLITHIC not in limits["artifactory"].ladder(1)
    assert limits["artifactory"].absent == {403, 404}
    assert limits["distribution-3"].chunk_size > 10 * GIB
    assert limits["cloudflare"].chunk_size < 100_000_000
    assert limits["cloudflare"].ladder(100_000_001) == (Form.CHUNKED,)
    assert limits["aliyun"].ranges is Ranges.OF_CHUNK
