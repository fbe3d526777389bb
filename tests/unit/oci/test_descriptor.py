"""A descriptor is a value: equal when it says the same, and nothing changes it."""

from __future__ import annotations

import dataclasses

import pytest

from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest

LAYER = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Digest.of(b"layer"), 5)


def test_descriptors_that_say_the_same_are_one() -> None:
    assert len({LAYER, Descriptor(LAYER.media_type, Digest.of(b"layer"), 5)}) == 1


@pytest.mark.parametrize("change", [{"media_type": "x/y"}, {"digest": Digest.of(b"other")}, {"size": 6}])
def test_descriptors_that_differ_in_anything_differ(change: dict[str, str | Digest | int]) -> None:
    assert dataclasses.replace(LAYER, **change) != LAYER  # type: ignore[arg-type]  # one field at a time


def test_a_descriptor_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LAYER.size = 6  # type: ignore[misc]  # that it must not work is the point
