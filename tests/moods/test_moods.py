"""A registry with moods: whatever happens to a push, the image arrives whole, or the push says why it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.moods.matrix import cases

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from tests.moods.matrix import Case


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", list(cases()), ids=str)
async def test_a_push_survives(
    case: Case, outcomes: Mapping[Case, asyncio.Future[None]], request: pytest.FixtureRequest
) -> None:
    request.node.user_properties += [("step", case.step.value), ("fault", case.fault.name)]
    await outcomes[case]
