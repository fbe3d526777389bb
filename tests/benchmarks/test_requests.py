"""Bytes cut into requests, however they arrive."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.requests import Requests

if TYPE_CHECKING:
    from tests.benchmarks.requests import Head

SAID = (
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
    b"PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nfirst\r\nC;word=1\r\n and\r\n\r\nmore\r\n0\r\n\r\n"
    b"PUT /v2/a/blobs/uploads/1?digest=d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlast"
    b"PUT /v2/a/manifests/1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
)


class Heard:
    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.ended = 0

    def begin(self, head: Head) -> None:
        self.heads.append(head)
        self.bodies.append(b"")

    def body(self, piece: memoryview) -> None:
        self.bodies[-1] += piece

    def end(self) -> None:
        self.ended += 1
        assert self.ended == len(self.heads)


@given(st.lists(st.integers(0, len(SAID)), max_size=12))
def test_requests_are_the_same_wherever_their_bytes_are_torn(places: list[int]) -> None:
    heard = Heard()
    requests = Requests(heard)

    edges = [0, *sorted(places), len(SAID)]
    for start, stop in pairwise(edges):
        requests.feed(memoryview(SAID)[start:stop])

    assert [(head.method, head.target) for head in heard.heads] == [
        ("GET", "/v2/"),
        ("PATCH", "/v2/a/blobs/uploads/1"),
        ("PUT", "/v2/a/blobs/uploads/1?digest=d"),
        ("PUT", "/v2/a/manifests/1"),
    ]
    assert heard.bodies == [b"", b"first and\r\n\r\nmore", b"last", b""]
    assert heard.ended == 4


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01",  # the hello of TLS
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + bytes(65 << 10),
        b"PATCH / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
    ],
)
def test_what_is_no_http_is_refused(said: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (whatever it says)
        Requests(Heard()).feed(memoryview(said))
