"""The servers of the suite, each as the process it is."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.serving import serving
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIGEST = "sha256:" + 64 * "a"


class Client:
    """One kept connection."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=10)

    def ask(
        self, method: str, target: str, body: bytes | Sequence[bytes] | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        pieces = body if body is None or isinstance(body, bytes) else iter(body)  # which goes in chunks
        self.connection.request(method, target, pieces, headers)
        reply = self.connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()


def test_a_sink_takes_a_push_forgets_its_bytes_and_counts_them() -> None:
    with serving("sink") as sink:
        client = Client(sink.addresses[0])
        blob, manifest = f"/v2/team/app/blobs/{DIGEST}", "/v2/team/app/manifests/1"

        assert client.ask("GET", "/v2/")[0] == 200
        assert client.ask("HEAD", blob)[0] == 404
        status, headers, _ = client.ask("POST", "/v2/team/app/blobs/uploads/?mount=x&from=y")
        assert status == 202
        status, headers, _ = client.ask("PATCH", headers["Location"], bytes(100_000))
        assert (status, headers["Range"]) == (202, "0-99999")
        assert client.ask("GET", headers["Location"])[0] == 204
        assert client.ask("PUT", f"{headers['Location']}?digest={DIGEST}", b"the end")[0] == 201
        assert client.ask("HEAD", blob)[0] == 200
        assert client.ask("HEAD", manifest)[0] == 404
        put = client.ask("PUT", manifest, b"{}", **{"Content-Type": "application/json"})
        status, headers, content = client.ask("GET", manifest)
        assert (put[0], status, content, headers["Content-Type"]) == (201, 200, b"{}", "application/json")
        assert headers["Docker-Content-Digest"] == put[1]["Docker-Content-Digest"]
        assert client.ask("HEAD", manifest)[2] == b""
        counts = sink.counts()
        client.connection.close()

    assert (counts.total, counts.body) == (11, 100_000 + 7 + 2)
    assert counts.requests["HEAD"] == 4
    assert (counts.uploading, counts.uploading_peak) == (0, 1)


def test_the_registries_of_a_sink_know_nothing_of_each_other() -> None:
    with serving("sink", "--ports", "2") as sink:
        first, second = (Client(address) for address in sink.addresses)

        assert first.ask("PUT", "/v2/app/manifests/1", b"{}")[0] == 201
        assert first.ask("HEAD", "/v2/app/manifests/1")[0] == 200
        assert second.ask("HEAD", "/v2/app/manifests/1")[0] == 404
        for client in (first, second):
            client.connection.close()


def test_a_slow_sink_has_uploads_under_way() -> None:
    with serving("sink", "--rate", "100000") as sink:
        client = Client(sink.addresses[0])
        client.connection.putrequest("PATCH", "/v2/app/blobs/uploads/1")
        client.connection.putheader("Content-Length", "10000000")
        client.connection.endheaders()
        client.connection.send(bytes(1_000_000))

        wait_until(lambda: sink.counts().uploading == 1, "an upload is under way")
        client.connection.close()
        wait_until(lambda: sink.counts().uploading == 0, "it is over when its client is gone", seconds=30)


@pytest.mark.parametrize("body", [[b"abc"] * 1000, b"abc" * 1000], ids=["in chunks", "in one piece"])
def test_a_link_counts_what_passes_without_its_framing(body: bytes | Sequence[bytes]) -> None:
    with serving("sink") as sink, serving("link", *sink.addresses, "--count") as link:
        client = Client(link.addresses[0])
        status, headers, _ = client.ask("POST", "/v2/app/blobs/uploads/")
        assert status == 202
        assert client.ask("PATCH", headers["Location"], body)[0] == 202
        counts, reached = link.counts(), sink.counts()
        client.connection.close()

    assert (counts.requests, counts.body) == ({"POST": 1, "PATCH": 1}, 3000)
    assert (reached.requests, reached.body) == (counts.requests, counts.body)


def test_a_link_takes_its_time_and_keeps_the_order() -> None:
    with serving("sink") as sink, serving("link", *sink.addresses, "--delay", "0.05") as link:
        client = Client(link.addresses[0])
        client.ask("GET", "/v2/")
        start = time.monotonic()
        for number in range(5):
            assert client.ask("PUT", f"/v2/app/manifests/{number}", bytes(200_000))[0] == 201
        took = time.monotonic() - start
        client.connection.close()

    assert took >= 5 * 0.1, "a round trip each at the least"


def test_a_link_to_nowhere_breaks_off() -> None:
    with serving("link", "127.0.0.1:1") as link:
        client = Client(link.addresses[0])
        with pytest.raises(OSError):  # noqa: PT011 (reset, or closed without a word)
            client.ask("GET", "/v2/")
        client.connection.close()
