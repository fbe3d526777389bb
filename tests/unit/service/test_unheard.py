"""What the event loop has nobody to tell of."""

from __future__ import annotations

import asyncio
import gc

import aiohttp
import pytest

from pushd.service.unheard import unheard


@pytest.fixture(autouse=True)
async def handling() -> None:
    asyncio.get_running_loop().set_exception_handler(unheard)


def drop(error: Exception) -> None:
    """Have a future that failed, and nobody who asks."""
    asyncio.get_running_loop().create_future().set_exception(error)
    gc.collect()


@pytest.mark.parametrize("error", [aiohttp.ClientConnectionError("lost"), ConnectionResetError(104, "reset")])
async def test_a_connection_that_was_lost_behind_everybodys_back_is_no_news(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    drop(error)
    assert caplog.records == []


async def test_any_other_failure_is_told(caplog: pytest.LogCaptureFixture) -> None:
    drop(ValueError("a defect"))
    assert ["never retrieved" in record.getMessage() for record in caplog.records] == [True]


async def test_a_lost_connection_of_no_future_is_told_as_well(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "x", "exception": ConnectionResetError(104, "reset")})
    assert len(caplog.records) == 1
