"""What is sent at the daemon: requests that were right once, and what chance made of them. Pure: a seed decides all."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.fuzz.odd import BYTES, HEADERS, NAMES, PARAMETERS, TEXTS, VALUES
from tests.fuzz.right import right

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.fuzz.right import Places, Request


@dataclass(frozen=True, slots=True)
class Shot:
    """What one caller does, once.

    Attributes:
        kind: the name of what was done to the request.
        pieces: the bytes, in the pieces they are written in, with a moment between them.
        answers: how many answers there may be.
        clean: whether the connection is good for another one afterwards.
        stays: whether the caller waits for the answers, or leaves.
        headed: whether the answer is to a HEAD, and so has no body whatever its length is said to be.
    """

    kind: str
    pieces: tuple[bytes, ...]
    answers: int = 1
    clean: bool = False
    stays: bool = True
    headed: bool = False


class Chance:
    """Draws shots.

    Args:
        rng: everything is drawn from it, in order.
    """

    def __init__(self, rng: random.Random, places: Places) -> None:
        self._rng = rng
        self._right = right(places)
        self._framings: list[Callable[[], Shot]] = [
            *[self._plain] * 10,
            *[self._pipelined] * 4,
            self._chunked,
            self._chunked_nonsense,
            self._short,
            self._longer,
            self._misframed,
            self._headed,
            self._dribbled,
            self._bitten,
            self._garbage,
            self._half,
        ]

    def shot(self) -> Shot:
        """Give the next one."""
        return self._rng.choice(self._framings)()

    # ------------------------------------------------------------------------------------------------- how it is sent

    def _plain(self) -> Shot:
        return Shot("plain", (self._request().whole(),), clean=True)

    def _headed(self) -> Shot:
        return Shot("headed", (replace(self._request(), method="HEAD").whole(),), headed=True)

    def _pipelined(self) -> Shot:
        count = self._rng.randint(2, 8)
        return Shot("pipelined", (b"".join(self._request().whole() for _ in range(count)),), count, clean=True)

    def _chunked(self) -> Shot:
        request = self._request()
        return Shot(
            "chunked", (request.head(("Transfer-Encoding", "chunked")) + self._chunks(request.content()),), clean=True
        )

    def _chunks(self, content: bytes) -> bytes:
        chunks = bytearray()
        while content:
            size = self._rng.randint(1, len(content))
            chunks += b"%x\r\n%s\r\n" % (size, content[:size])
            content = content[size:]
        return bytes(chunks + b"0\r\n\r\n")

    def _chunked_nonsense(self) -> Shot:
        request = self._request()
        content = self._bite(self._chunks(request.content() or b"x" * 50))
        return Shot("chunked nonsense", (request.head(("Transfer-Encoding", "chunked")) + content,))

    def _short(self) -> Shot:
        request = self._request()
        content = request.content()
        head = request.head(("Content-Length", str(len(content) + self._rng.choice([1, 10, 5000, 1 << 20]))))
        return Shot("short", (head + content,), stays=False)

    def _longer(self) -> Shot:
        request = self._request()
        content = request.content() + self._rng.choice(BYTES) * self._rng.randint(1, 50)
        return Shot("longer", (request.head(("Content-Length", str(len(request.content())))) + content,), 2)

    def _misframed(self) -> Shot:
        request = self._request()
        lengths = ["-1", "+5", "5, 5", "0x10", "1" * 30, "", " ", "5\x00", str(1 << 63)]
        framing = [
            ("Content-Length", self._rng.choice(lengths)),
            ("Transfer-Encoding", self._rng.choice(["chunked", "x"])),
        ]
        kept = self._rng.sample(framing, self._rng.randint(1, 2))
        return Shot("misframed", (request.head(*kept) + request.content(),))

    def _dribbled(self) -> Shot:
        whole = self._request().whole()
        cuts = sorted(self._rng.randrange(len(whole)) for _ in range(self._rng.randint(1, 4)))
        edges = [0, *cuts, len(whole)]
        pieces = tuple(whole[start:stop] for start, stop in pairwise(edges))
        return Shot("dribbled", pieces, clean=True)

    def _bitten(self) -> Shot:
        return Shot("bitten", (self._bite(self._request().whole()),))

    def _garbage(self) -> Shot:
        beginning = self._rng.choice(
            [b"", b"GET ", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 20]
        )
        return Shot("garbage", (beginning + self._rng.randbytes(self._rng.randint(0, 400)) + b"\r\n\r\n",))

    def _half(self) -> Shot:
        whole = self._request().whole()
        return Shot("half", (whole[: self._rng.randrange(1, len(whole))],), stays=False)

    def _bite(self, content: bytes) -> bytes:
        """Change a few bytes."""
        bitten = bytearray(content)
        for _ in range(self._rng.randint(1, 4)):
            at = self._rng.randrange(len(bitten) + 1)
            match self._rng.randrange(4):
                case 0:
                    bitten[at:at] = self._rng.choice(BYTES)
                case 1:
                    del bitten[at : at + self._rng.randint(1, 20)]
                case 2:
                    bitten[at : at + 1] = self._rng.randbytes(1)
                case _:
                    bitten[at:at] = bitten[at : at + self._rng.randint(1, 40)]
        return bytes(bitten)

    # ------------------------------------------------------------------------------------------------- what is asked

    def _request(self) -> Request:
        """Draw a right request, and change none, one or a few things about it."""
        request = self._rng.choice(self._right)
        changes = (self._other_method, self._other_path, self._other_query, self._other_header, *[self._other_body] * 4)
        for _ in range(self._rng.choice([0, 1, 1, 1, 2, 3])):
            request = self._rng.choice(changes)(request)
        return request

    def _other_method(self, request: Request) -> Request:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 40]
        return replace(request, method=self._rng.choice(methods))

    def _other_path(self, request: Request) -> Request:
        parts = request.path.split("/")
        at = self._rng.randrange(1, len(parts))
        match self._rng.randrange(3):
            case 0:
                parts[at] = self._rng.choice(NAMES)
            case 1:
                parts.insert(at, self._rng.choice(NAMES))
            case _:
                del parts[at]
        return replace(request, path="/".join(parts) or "/")

    def _other_query(self, request: Request) -> Request:
        name = self._rng.choice(PARAMETERS)
        return replace(request, query=(*request.query, (name, self._rng.choice(NAMES))))

    def _other_header(self, request: Request) -> Request:
        name, values = self._rng.choice(HEADERS)
        return replace(request, headers=(*request.headers, (name, self._rng.choice(values))))

    def _other_body(self, request: Request) -> Request:
        if request.raw is not None or request.body is None:
            return replace(request, raw=self._rng.choice([b"{}", b"[]", b"x", self._rng.randbytes(60)]))
        match self._rng.randrange(6):
            case 0:
                return replace(request, raw=self._bite(request.content()))
            case 1:
                key = self._rng.choice([*request.body, "x"])
                twice = json.dumps({key: self._rng.choice(VALUES)})[:-1]
                return replace(request, raw=f"{twice}, {json.dumps(request.body)[1:]}".encode())
            case _:
                return replace(request, body=self._other_value(request.body))

    def _other_value(self, document: dict[str, Any]) -> dict[str, Any]:
        """Change one node of a document."""
        changed = deepcopy(document)
        node: Any = changed
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if isinstance(node, dict) and (not keys or self._rng.random() < 0.15):
                node[self._rng.choice(TEXTS)] = self._rng.choice(VALUES)
                return changed
            if not keys:
                return changed
            key = self._rng.choice(keys)
            if isinstance(node[key], dict | list) and self._rng.random() < 0.6:
                node = node[key]
            elif self._rng.random() < 0.1:
                del node[key]
                return changed
            else:
                node[key] = self._rng.choice(VALUES)
                return changed
