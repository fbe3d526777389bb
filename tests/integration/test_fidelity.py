"""The fake registry says what the real one of the same behaviour says: the same dialogue with both, compared."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.fakes.behaviour import DISTRIBUTION_2, DISTRIBUTION_3
from tests.fakes.registry import FakeRegistry
from tests.fakes.shelves import digest_of
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.parts import RealRegistry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BLOB = b"hello, world" * 1000
DIGEST = digest_of(BLOB)
UPLOADS = "/v2/team/app/blobs/uploads/"


@dataclass(frozen=True)
class Said:
    """What is compared of an answer."""

    status: int
    code: str | None
    range: str | None
    digest: str | None
    named: str | None
    kind: str | None


class Talk:
    """A dialogue with one registry, written down."""

    def __init__(self, address: str) -> None:
        self.said: list[Said] = []
        self.location = ""
        self._address = address

    def __call__(self, method: str, url: str, body: bytes = b"", **headers: str) -> Said:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self._address, timeout=10)
        connection.request(method, target, body, named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        self.location = reply.getheader("Location", "")
        refused = json.loads(content)["errors"][0]["code"] if reply.status >= 400 and content else None
        range_, digest = reply.getheader("Range"), reply.getheader("Docker-Content-Digest")
        version, kind = reply.getheader("Docker-Distribution-Api-Version"), refused and reply.getheader("Content-Type")
        said = Said(reply.status, refused, range_, digest, version, kind)
        self.said.append(said)
        return said

    def open(self) -> str:
        self("POST", UPLOADS)
        return self.location

    def patch(self, location: str, body: bytes, start: int) -> str:
        self("PATCH", location, body, Content_Range=f"{start}-{start + len(body) - 1}")
        return self.location

    def break_off(self, location: str, body: bytes, announced: int) -> None:
        """Send the beginning of a PATCH and reset the connection."""
        parts = urlsplit(location)
        host, port = self._address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = (
                f"PATCH {parts.path}?{parts.query} HTTP/1.1\r\nHost: {self._address}\r\nContent-Length: {announced}\r\n"
            )
            connection.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + body)
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def chunks(talk: Talk) -> None:
    second = talk.patch(talk.open(), BLOB[:5000], 0)
    third = talk.patch(second, BLOB[5000:], 5000)
    talk("PUT", f"{third}&digest={DIGEST}")
    talk("HEAD", f"/v2/team/app/blobs/{DIGEST}")
    talk("GET", f"/v2/team/app/blobs/{DIGEST}", Range="bytes=5-9")


def one_put(talk: Talk) -> None:
    talk("PUT", f"{talk.open()}&digest={DIGEST}", BLOB)


def a_single_post(talk: Talk) -> None:
    talk("POST", f"{UPLOADS}?digest={DIGEST}", BLOB)


def a_chunk_out_of_order(talk: Talk) -> None:
    talk.patch(talk.patch(talk.open(), BLOB[:5000], 0), BLOB[:100], 6000)


def an_older_location(talk: Talk) -> None:
    first = talk.open()
    newest = talk.patch(first, BLOB[:5000], 0)
    talk("GET", first)
    talk("GET", newest)


def another_digest_after_a_chunk(talk: Talk) -> None:
    location = talk.patch(talk.open(), BLOB[:5000], 0)
    talk("PUT", f"{location}&digest={DIGEST}")
    talk("GET", location)
    talk("PUT", f"{location}&digest={digest_of(BLOB[:5000])}")
    talk("GET", location)


def another_digest_in_one_put(talk: Talk) -> None:
    location = talk.open()
    talk("PUT", f"{location}&digest={digest_of(b'')}", BLOB)
    talk("GET", location)


def a_chunk_of_another_length(talk: Talk) -> None:
    talk("PATCH", talk.open(), BLOB[:5000], Content_Range="0-9")


def a_cancelled_session(talk: Talk) -> None:
    location = talk.open()
    talk("DELETE", location)
    talk("DELETE", location)


def a_broken_patch(talk: Talk) -> None:
    location = talk.patch(talk.open(), BLOB[:5000], 0)
    talk.break_off(location, BLOB[5000:9000], len(BLOB) - 5000)

    def settled() -> bool:
        done = talk("GET", location).range != "0-4999"
        if not done:
            talk.said.pop()  # still being drained: how often we see that is chance
        return done

    wait_until(settled, "the broken request has been drained")


def mounts(talk: Talk) -> None:
    one_put(talk)
    for repository, query in (("other", "from=team/app"), ("team/app", "from=team/app"), ("third", "")):
        talk("POST", f"/v2/{repository}/blobs/uploads/?mount={DIGEST}&{query}")
    talk("POST", f"{UPLOADS}?mount={digest_of(b'x')}&from=other")


def manifests(talk: Talk) -> None:
    one_put(talk)
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": len(BLOB)}
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    content = json.dumps(document).encode()
    lacking = json.dumps(document | {"config": config | {"digest": digest_of(b"x")}}).encode()
    url = "/v2/team/app/manifests/"
    talk("PUT", url + "1.4", content, Content_Type=MANIFEST)
    talk("PUT", url + "1.4", lacking, Content_Type=MANIFEST)
    talk("PUT", url + DIGEST, content, Content_Type=MANIFEST)
    talk("PUT", url + "1.4", content, Content_Type="application/vnd.docker.distribution.manifest.v2+json")
    talk("HEAD", url + "1.4", Accept=MANIFEST)
    talk("HEAD", url + "1.4")
    talk("HEAD", url + "nothing", Accept=MANIFEST)
    talk("GET", url + digest_of(content), Accept=MANIFEST)
    talk("GET", "/v2/team/app/tags/list")
    talk("GET", "/v2/nobody/tags/list")
    talk("DELETE", url + digest_of(content))
    talk("HEAD", url + "1.4", Accept=MANIFEST)


DIALOGUES = [
    chunks,
    one_put,
    a_single_post,
    a_chunk_out_of_order,
    an_older_location,
    another_digest_after_a_chunk,
    another_digest_in_one_put,
    a_chunk_of_another_length,
    a_cancelled_session,
    a_broken_patch,
    mounts,
    manifests,
]


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.__name__)
def test_the_fake_answers_as_the_real_one(real_registry: RealRegistry, dialogue: Callable[[Talk], None]) -> None:
    real = Talk(real_registry.address)
    dialogue(real)
    behaviour = {"distribution-2": DISTRIBUTION_2, "distribution-3": DISTRIBUTION_3}[real_registry.name]
    with FakeRegistry(behaviour).in_thread() as registry:
        fake = Talk(registry.address)
        dialogue(fake)
    assert fake.said == real.said
