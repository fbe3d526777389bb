"""Registries that nobody said anything about: each is met as one that keeps to the specification.

What they refuse is survived, and the log names the setting that would have avoided it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code
from pushd.job import JobState
from pushd.telemetry.events import UPLOAD_RESTARTED
from tests.fakes.behaviour import KNOWN
from tests.moods.lanes import lane

if TYPE_CHECKING:
    from pathlib import Path

STREAMED, MONOLITHIC, SMALLER = 'upload = "streamed"', 'upload = "monolithic"', 'chunk_size = "16KiB"'
ADVICE = {
    "ghcr": [STREAMED, MONOLITHIC],
    "ecr": [SMALLER, MONOLITHIC],
    "ecr-public": [SMALLER, MONOLITHIC],
    "artifact-registry": [STREAMED],
    "gitea": [STREAMED, MONOLITHIC],
    "aliyun": [None, STREAMED],
}
"""What is advised on the way; None where the same form is tried again. Nothing where nothing went wrong."""


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "artifactory"])
async def test_a_registry_taken_for_an_ordinary_one_gets_the_image_all_the_same(name: str, tmp_path: Path) -> None:
    async with lane(tmp_path, KNOWN[name], "standard") as there:
        layout, image = there.image("app")
        job = await there.push(layout, "app")
        shelf = there.registry.repository("app")
        assert job.state is JobState.SUCCEEDED, job.deliveries[0].failure
        assert shelf.tags == {"1": str(image.digest)}
        assert str(image.layers[0].digest) in shelf.blobs
        restarts = [event for event in there.told if event.kind is UPLOAD_RESTARTED]
        assert [event.fields["advice"] for event in restarts] == ADVICE.get(name, [])
        assert all(str(event.fields["advice"] or "") in event.message for event in restarts)


async def test_one_that_forbids_to_ask_for_what_is_not_there_is_taken_at_its_word(tmp_path: Path) -> None:
    async with lane(tmp_path, KNOWN["artifactory"], "standard") as there:
        layout, _ = there.image("app")
        job = await there.push(layout, "app")
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.REGISTRY_DENIED


@pytest.mark.parametrize("name", KNOWN)
async def test_a_registry_that_is_known_is_never_asked_for_what_it_refuses(name: str, tmp_path: Path) -> None:
    """Of blobs of any size: its profile spares every refusal that one could have known of."""
    async with lane(tmp_path, KNOWN[name], name) as there:
        for number, size in enumerate((300, 4096, 4097, 20_000, 99_000, 300_000)):
            layout, _ = there.image(f"app/{number}", size=size)
            assert (await there.push(layout, f"app/{number}")).state is JobState.SUCCEEDED
        assert not [event for event in there.told if event.kind is UPLOAD_RESTARTED]
        unwanted = [
            seen
            for seen in there.registry.requests
            if seen.status is not None and seen.status >= 400 and seen.status != 401 and seen.method != "HEAD"
        ]
        assert not unwanted
