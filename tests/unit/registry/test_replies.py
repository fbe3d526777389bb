from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pushd.registry.endpoint import address, origin, resolved
from pushd.registry.replies import to_reply
from pushd.registry.wire import Answer

if TYPE_CHECKING:
    from pushd.oci.reply import Reply

ASKED = "https://registry.example/v2/app/blobs/uploads/1?_state=old"
SECRET = "s3cr3t-canary"


def reply(status: int = 202, content: bytes = b"", url: str = ASKED, **headers: str) -> Reply:
    sent = CIMultiDict((name.replace("_", "-"), value) for name, value in headers.items())
    return to_reply(Answer(status, CIMultiDictProxy(sent), content, url))


# ------------------------------------------------------------------------------------------------------ Location


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("https://registry.example/v2/app/blobs/uploads/2", "https://registry.example/v2/app/blobs/uploads/2"),
        ("/v2/app/blobs/uploads/2?_state=new", "https://registry.example/v2/app/blobs/uploads/2?_state=new"),
        ("2?_state=new", "https://registry.example/v2/app/blobs/uploads/2?_state=new"),
        ("?_state=new", "https://registry.example/v2/app/blobs/uploads/1?_state=new"),
        ("//storage.example/up?sig=x", "https://storage.example/up?sig=x"),
        ("https://storage.example:8443/up?sig=x", "https://storage.example:8443/up?sig=x"),
        ("HTTPS://storage.example/up", "HTTPS://storage.example/up"),
        ("https://storage.example/up?sig=x#part", "https://storage.example/up?sig=x"),
        ("/up#part", "https://registry.example/up"),
    ],
)
def test_a_location_is_absolute_or_relative_to_what_was_asked(location: str, meant: str) -> None:
    assert reply(Location=location).location == meant


@pytest.mark.parametrize(
    "tail",
    [
        "/up?X-Amz-Signature=ab%2Fcd%2f%7e+e&X-Amz-Date=20260701T120000Z",
        "/up;v=1/a%2Fb//c?sig=a=b==&empty=&&flag",
        "/up?a=%C3%A9&b=:@/?$,;'()*!~[]|",
        "/a/../b/./c?x",
        "/up?",
    ],
)
def test_a_signed_location_is_kept_byte_for_byte(tail: str) -> None:
    assert reply(Location=f"https://storage.example{tail}").location == f"https://storage.example{tail}"


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://[::1/up",
        "https://storage.example:99999/up",
        "https://storage.example:port/up",
        "https://",
        "https:///up",
        "https://:5000/up",
        "//[::1/up",
        "https://user:pass@storage.example/up",
        "https://user@storage.example/up",
        "ftp://storage.example/up",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "/up with spaces",
        "/\u00fcp",
        "/up\udcff",
        "/up\x1b[31m",
        "https://a..b/up",
        f"https://{'a' * 64}.example/up",
    ],
)
def test_a_location_that_is_no_address_is_none(location: str) -> None:
    assert reply(Location=location).location is None


def test_no_location_is_none() -> None:
    assert reply().location is None


def test_what_is_resolved_can_be_sent() -> None:
    url = resolved("/up?sig=%2f", ASKED)
    assert url is not None
    sent = address(url)
    assert sent is not None
    assert (sent.host, sent.raw_path_qs) == ("registry.example", "/up?sig=%2f")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://registry.example/a", "https://REGISTRY.example:443/b?c", True),
        ("http://registry.example", "HTTP://registry.example:80/", True),
        ("http://[::1]:5000/a", "http://[::1]:5000/b", True),
        ("https://registry.example", "http://registry.example", False),
        ("https://registry.example", "https://registry.example:5000", False),
        ("https://registry.example", "https://registry.example.evil", False),
        ("https://registry.example", "https://evil.example/registry.example", False),
        ("https://registry.example", "https://registry.example@evil.example", False),
        ("https://registry.example", "https://registry.example:x", False),
        ("https://registry.example", "https://[registry.example", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


# ----------------------------------------------------------------------------------------------- the other headers


def test_the_headers_of_the_protocol_are_read() -> None:
    found = reply(
        Range="0-1023",
        Docker_Content_Digest="sha256:abc",
        OCI_Chunk_Min_Length="5242880",
        OCI_Chunk_Max_Length="10485760",
        Retry_After="7",
        Content_Length="12",
    )
    assert (found.status, found.range, found.digest) == (202, "0-1023", "sha256:abc")
    assert (found.chunk_min, found.chunk_max, found.retry_after, found.length) == (5242880, 10485760, 7.0, 12)


@pytest.mark.parametrize("nonsense", ["", "x", "-1", "1.5", "1e9", "\u0661", "9" * 40, "5 MiB"])
def test_lengths_that_are_none_are_nothing(nonsense: str) -> None:
    found = reply(OCI_Chunk_Min_Length=nonsense, OCI_Chunk_Max_Length=nonsense, Content_Length=nonsense)
    assert (found.chunk_min, found.chunk_max, found.length) == (0, 0, None)


# ----------------------------------------------------------------------------------------------------- the body


def error_body(message: str, detail: object = None) -> bytes:
    return json.dumps({"errors": [{"code": "UNKNOWN", "message": message, "detail": detail}]}).encode()


def test_the_errors_of_a_failure_are_read() -> None:
    found = reply(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}')
    assert found.codes == {"BLOB_UPLOAD_UNKNOWN"}
    assert found.excerpt == ""


def test_the_errors_of_a_success_are_not() -> None:
    assert reply(200, error_body("all is well")).errors == ()


def test_another_body_is_shown_in_short() -> None:
    assert reply(502, b"<html><h1>Bad Gateway</h1>", Content_Type="text/html").excerpt == "Bad Gateway"


@pytest.mark.parametrize(
    "said",
    [
        f"Cannot PATCH /v2/app/blobs/uploads/1?_state={SECRET}",
        f"no route for https://registry.example/v2/app/blobs/uploads/1?a=b&_state={SECRET}&digest=x",
        f"bad header Authorization: Bearer {SECRET}.{SECRET}",
        f"bad header authorization: basic {SECRET}==",
    ],
)
def test_a_peer_that_quotes_our_request_does_not_get_our_secrets_shown(said: str) -> None:
    for found in (
        reply(404, said.encode(), Content_Type="text/plain"),
        reply(404, f"<h1>{said}</h1>".encode(), Content_Type="text/html"),
        reply(404, error_body(said)),
        reply(404, error_body("x", {"request": said})),
        reply(404, error_body("x", said)),
    ):
        shown = found.excerpt + repr(found.errors)
        assert SECRET not in shown
        assert said.split("?", maxsplit=1)[0].split(SECRET, maxsplit=1)[0].strip() in shown


def test_what_only_looks_like_one_is_shown() -> None:
    said = "Basic authentication is required, or a bearer token. Really? Yes"
    assert reply(401, said.encode()).excerpt == said
