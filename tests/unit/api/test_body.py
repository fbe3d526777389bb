from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from pushd.api.body import read_body
from pushd.api.patience import Patience
from pushd.errors import Code, RequestError


async def test_a_caller_who_left_in_the_middle_of_a_chunk_is_no_defect_of_ours() -> None:
    loop = asyncio.get_running_loop()
    gone = BaseProtocol(loop)  # connected to nobody any more, which aiohttp tells whoever reads on by a RuntimeError
    content = StreamReader(gone, 1 << 16, loop=loop)
    request = make_mocked_request("POST", "/v1/jobs", payload=content, transport=Mock(is_closing=lambda: True))

    with pytest.raises(RequestError, match="broke off") as refused:
        await read_body(request, Patience())

    assert refused.value.code is Code.REQUEST_MALFORMED


async def test_a_defect_while_a_body_is_read_stays_one() -> None:
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
    request = make_mocked_request("POST", "/v1/jobs", payload=content, transport=Mock(is_closing=lambda: False))

    with pytest.raises(RuntimeError):
        await read_body(request, Patience())
