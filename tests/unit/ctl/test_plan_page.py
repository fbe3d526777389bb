from __future__ import annotations

from typing import Any

from pushd.ctl.plan_page import plan_page, refused
from tests.fakes.daemon import DIGEST

NOTHING = {"count": 0, "bytes": 0}


def destination(action: str = "push", **fields: object) -> dict[str, Any]:
    """Give a destination of a plan as the API shows it."""
    return {
        "destination": "registry.example.com/team/app:1.4", "action": action, "tag": None,
        "manifests": {"count": 1, "bytes": 700}, "present": NOTHING, "mount": NOTHING, "send": NOTHING, "blobs": [],
        "failure": None, **fields,
    }  # fmt: skip


def plan(*destinations: dict[str, Any]) -> dict[str, Any]:
    """Give a plan as the API shows it."""
    return {
        "source": "oci:/srv/builds/app:1.4", "digest": DIGEST, "size": 3_000_000,
        "media_type": "application/vnd.oci.image.manifest.v1+json", "destinations": list(destinations),
    }  # fmt: skip


def _blob(action: str, digit: str, size: int, origin: str | None = None) -> dict[str, Any]:
    return {"digest": f"sha256:{digit * 64}", "media_type": "m", "size": size, "action": action, "from": origin}


PUSH = destination(
    present={"count": 2, "bytes": 90_000_000}, mount={"count": 1, "bytes": 100_000},
    send={"count": 1, "bytes": 180_000_000},
    blobs=[
        _blob("present", "a", 60_000_000), _blob("present", "b", 30_000_000),
        _blob("mount", "c", 100_000, "team/base"), _blob("send", "d", 180_000_000),
    ],
)  # fmt: skip


def _page(*destinations: dict[str, Any]) -> list[str]:
    return list(plan_page(plan(*destinations), width=80))


def test_the_plan_says_in_bytes_what_is_there_and_what_would_be_mounted_and_sent() -> None:
    assert _page(PUSH) == [
        "source      oci:/srv/builds/app:1.4",
        "image       application/vnd.oci.image.manifest.v1+json, 3.0 MB",
        f"         {DIGEST}",
        "",
        "registry.example.com/team/app:1.4",
        "  would be pushed; the tag is new",
        "  2 blobs      90.0 MB  there already",
        "  1 blob      100.0 kB  would be mounted",
        "  1 blob      180.0 MB  would be sent",
        "  1 manifest     700 B  would be put",
        "    sha256:aaaaaaaaaaaa  present   60.0 MB",
        "    sha256:bbbbbbbbbbbb  present   30.0 MB",
        "    sha256:cccccccccccc  mount    100.0 kB  from team/base",
        "    sha256:dddddddddddd  send     180.0 MB",
    ]


def test_the_plan_says_what_would_be_compressed_first() -> None:
    page = list(plan_page(plan(PUSH) | {"digest": None, "compress": {"count": 2, "bytes": 90_000_000}}, width=None))
    assert page[2] == "compress    2 plain layers of 90.0 MB, first; the rest is told of them as they are"
    assert not [line for line in _page(PUSH) if line.startswith("compress")]


def test_the_plan_says_what_would_go_along() -> None:
    assert list(plan_page(plan(PUSH) | {"referrers": 2}, width=None))[3] == "referrers   2 manifests along with it"
    assert list(plan_page(plan(PUSH) | {"referrers": 0}, width=None))[3] == "referrers   none: nothing refers to it"
    assert not [line for line in plan_page(plan(PUSH) | {"referrers": None}, width=None) if "referrers" in line]


def test_a_tag_that_would_move_is_told() -> None:
    lines = _page(destination(tag=DIGEST))
    assert lines[5:7] == ["  would be pushed; the tag names another image now:", f"  {DIGEST}"]


def test_what_is_there_already_needs_nothing() -> None:
    assert _page(destination("nothing", tag=DIGEST))[5:] == ["  nothing to do: it holds this image already"]


def test_a_refusal_is_told_with_its_reason() -> None:
    failure = {"code": "registry.denied", "message": "push access denied\x1b[2J", "retryable": False}
    lines = _page(PUSH, destination("fail", failure=failure))
    assert lines[-2:] == ["  would fail", "  why:  push access denied\ufffd[2J (registry.denied)"]


def test_a_plan_is_refused_when_one_destination_would_be() -> None:
    assert not refused(plan(PUSH, destination("nothing")))
    assert refused(plan(PUSH, destination("fail")))


def test_hostile_names_stay_on_their_line() -> None:
    lines = _page(destination(destination="r/\x1b[2Jx\n:1", blobs=[_blob("m\x1b", "a", 1, "x\n")]))
    assert all(line.isprintable() for line in lines)
