"""Values that programs stumble over."""

from __future__ import annotations

from typing import Any, Final


def _nested(levels: int) -> list[Any]:
    document: list[Any] = []
    for _ in range(levels):
        document = [document]
    return document


TEXTS: Final = (
    "",
    " ",
    "\x00",
    "\x1b[2J\x1b[31m",
    "\u202e\u200b",
    "\ud800",
    "a" * 300,
    "ü" * 2000,
    "\U0001f4a5" * 20,
    "../../etc/passwd",
    "oci:/dev/zero",
    "oci:/proc/self/mem",
    "oci-archive:/dev/stdin",
    "docker-archive:/proc/self/fd/0",
    "dir:/proc/self/fd",
    "http://user:secret@host/x",
    "sha256:" + "0" * 64,
    "sha512:" + "f" * 128,
    "{}{job}%s%n$(id)`id`'\"",
    "absent",
    "9" * 400,
)
"""For whatever is text in JSON; a lone surrogate is written as an escape."""

VALUES: Final[tuple[Any, ...]] = (
    *TEXTS,
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    float("-inf"),
    1 << 31,
    1 << 63,
    1 << 64,
    -(1 << 63) - 1,
    10**300,
    [],
    {},
    [[]],
    {"": {"": {}}},
    _nested(60),
    ["x"] * 500,
    {str(number): number for number in range(200)},
    "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
)
"""For whatever is anything in JSON."""

NAMES: Final = (
    "",
    ".",
    "..",
    "%2e%2e",
    "%00",
    "%ff",
    "%",
    "%zz",
    "%2F",
    "%0d%0a",
    "*",
    "{id}",
    "a" * 70,
    "b" * 5000,
    "-1",
    "1e9",
    "NaN",
    "18446744073709551616",
    "ü",
    "\x7f",
    "build=4711",
    "queued",
    "v1",
    "jobs",
    "spool",
    "files",
    "events",
    "registries",
    "localhost:5000",
    "[::1]:443",
    "a.b:99999",
    "sha256:zz",
    "0",
    "1",
)
"""For paths and queries; no white space, so that a request line stays one."""

PARAMETERS: Final = (
    "after",
    "limit",
    "state",
    "label",
    "registry",
    "job",
    "follow",
    "stream",
    "timeout",
    "",
    "x",
    "%00",
)

HEADERS: Final = (
    ("Content-Type", ("application/json", "text/plain", "application/json; charset=latin-1", "", ";", "a/b/c", "\x80")),
    ("Content-Encoding", ("gzip", "deflate", "br", "zstd", "identity", "x")),
    ("Accept", ("text/event-stream", "*/*;q=0", ";;;,,,", "application/openmetrics-text;q=1e9", "a" * 3000)),
    ("Last-Event-ID", ("0", "-1", "x", "99999999999999999999")),
    ("Idempotency-Key", ("fuzz", "", "k" * 256, "\x80")),
    ("Prefer", ("wait=0", "wait=99999999999", "wait=-1", ",,;=", "wait=" + "1" * 300)),
    ("Upload-Offset", ("0", "1", "-1", "x", "9" * 30)),
    ("Upload-Complete", ("?1", "?0", "?2", "true", "?1;a=b")),
    ("Expect", ("100-continue", "magic")),
    ("Connection", ("close", "keep-alive", "upgrade", "Upgrade, close", "x" * 50)),
    ("Upgrade", ("websocket", "h2c")),
    ("Host", ("", "a b", "x" * 300)),
    ("Range", ("bytes=0-0,0-0,0-0",)),
    ("Cookie", ("a=b; " * 200,)),
    ("X" * 200, ("y" * 200,)),
    ("X-Large", ("z" * 9000,)),
    (" Folded", ("x",)),
    ("Bad\x00Name", ("x",)),
    ("Transfer-Encoding", ("chunked", "gzip, chunked", "identity")),
    ("Content-Length", ("0", "5")),
)

BYTES: Final = (
    b"\x00",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"%00",
    b'"',
    b"\\",
    b"{",
    b"[" * 1000,
    b"}",
    b":",
    b" ",
    b"A" * 300,
    b"0" * 30,
    b"ffffffffffffffff\r\n",
    b"HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
)
