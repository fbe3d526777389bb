from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pushd.client.documents import job_of
from pushd.ctl.job_page import job_page
from tests.fakes.daemon import DIGEST, delivery, job

NOW = datetime(2026, 11, 22, 21, 2, tzinfo=UTC)
FIRST, SECOND = "registry.example.com/team/app:1.4", "mirror.example.net/app:1"


def _page(document: dict[str, object], width: int | None = 80) -> list[str]:
    return list(job_page(job_of(document), NOW, width=width))


def _of(page: list[str], destination: str) -> list[str]:
    start = page.index(destination) + 1
    end = page.index("", start) if "" in page[start:] else len(page)
    return page[start:end]


def _transfer(
    state: str, digit: str = "a", *, size: int = 100, done: int = 0, sent: int = 0, resumed: int = 0
) -> dict[str, object]:
    return {
        "digest": f"sha256:{digit * 64}", "media_type": "m", "size": size, "state": state, "done": done, "sent": sent,
        "resumed": resumed,
    }  # fmt: skip


def _failure(code: str, message: str, *, retryable: bool = True) -> dict[str, object]:
    return {"code": code, "message": message, "retryable": retryable}


def test_the_page_says_where_each_destination_stands() -> None:
    held = delivery(
        2, SECOND, "held", attempt=3, not_before="2026-11-22T21:05:00Z",
        failure=_failure("registry.unreachable", "no route to it; check the network"),
    )  # fmt: skip
    running = delivery(1, FIRST, "running", started_at="2026-11-22T21:00:30Z")
    page = _page(job("running", running, held))
    assert page[0] == "job         abc123DEF-_x, running"
    assert page[1] == "source      oci:/srv/builds/app:1.4"
    assert any(line.startswith("deadline    ") and line.endswith("(in 23h)") for line in page)
    assert _of(page, FIRST) == ["  running, for 1m30s"]
    standing, why, step = _of(page, SECOND)
    assert standing.startswith("  held, tried again at ")
    assert standing.endswith(", attempt 3")
    assert why == "  why:  no route to it; check the network (registry.unreachable)"
    assert step == "  next: `pushctl doctor mirror.example.net/app` looks closer"


def test_every_blob_is_there_with_what_became_of_it() -> None:
    transfers = [
        _transfer("running", "a", size=1000, done=610, sent=410, resumed=200),
        _transfer("uploaded", "b", size=2_000_000, sent=1_500_000, resumed=500_000),
        _transfer("uploaded", "c", size=100, sent=250),
        _transfer("mounted", "d"),
        _transfer("present", "e"),
        _transfer("pending", "f"),
    ]
    lines = _of(_page(job("running", delivery(1, FIRST, "running", transfers=transfers))), FIRST)[1:]
    assert lines == [
        "  2 blobs uploaded, 1 mounted, 1 present, 1.5 MB sent",
        "    sha256:aaaaaaaaaaaa  running   1.0 kB  61%, 610 B there, 200 B resumed",
        "    sha256:bbbbbbbbbbbb  uploaded  2.0 MB  500.0 kB resumed",
        "    sha256:cccccccccccc  uploaded   100 B  250 B sent",
        "    sha256:dddddddddddd  mounted    100 B",
        "    sha256:eeeeeeeeeeee  present    100 B",
        "    sha256:ffffffffffff  pending    100 B",
    ]


def test_every_attempt_is_told_with_its_reason() -> None:
    tries = [
        {"at": f"2026-11-22T21:0{number}:00Z", "attempt": number, "code": "registry.stalled", "message": f"m{number}"}
        for number in (1, 2)
    ]
    lines = _of(_page(job("held", delivery(1, FIRST, "held", history=tries))), FIRST)
    assert [line.partition(":")[0] for line in lines[1:]] == ["  attempt 1", "  attempt 2"]
    assert lines[1].endswith(" m1 (registry.stalled)")


def test_the_failure_itself_is_not_told_twice() -> None:
    tries = [
        {"at": f"2026-11-22T21:0{number}:00Z", "attempt": number, "code": "registry.stalled", "message": f"m{number}"}
        for number in (1, 2)
    ]
    failed = delivery(1, FIRST, "failed", attempt=2, history=tries, failure=_failure("registry.stalled", "m2"))
    text = "\n".join(_of(_page(job("failed", failed)), FIRST))
    assert (text.count("m1"), text.count("m2")) == (1, 1)


def test_a_failure_is_told_with_the_reason_and_what_to_do_next() -> None:
    failed = delivery(1, FIRST, "failed", failure=_failure("request.deadline", "time was up", retryable=False))
    _, why, step, *more = _of(_page(job("failed", failed)), FIRST)
    assert why == "  why:  time was up (request.deadline)"
    assert step.startswith("  next: give it more time: --deadline")
    assert "`pushctl retry abc123DEF-_x`" in " ".join([step, *map(str.strip, more)])


def test_an_ended_job_says_how_long_it_took_and_leaves_the_deadline_out() -> None:
    ended = delivery(
        state="succeeded", digest=DIGEST, started_at="2026-11-22T21:00:00Z", finished_at="2026-11-22T21:00:12Z"
    )
    page = _page(job("succeeded", ended, finished_at="2026-11-22T21:00:12Z", not_before="2026-11-22T20:00:00Z"))
    assert _of(page, FIRST) == ["  succeeded, took 12s", f"  {DIGEST}"]
    assert any(line.startswith("finished ") and line.endswith("(1m ago)") for line in page)
    assert not any(line.startswith(("deadline", "not before")) for line in page)


def test_an_image_whose_layers_are_not_compressed_yet_has_no_digest() -> None:
    page = _page(job("running", digest=None, compress="zstd"))
    assert "its digest is not known until its layers are compressed" in "\n".join(page)
    assert "compress    plain layers with zstd" in page
    assert not any(line.startswith("compress") for line in _page(job("running")))


def test_a_job_that_takes_along_what_refers_to_its_image_says_how_much_that_is() -> None:
    assert "referrers   4 manifests along with it" in _page(job("running", referrers=4))
    assert "referrers   1 manifest along with it" in _page(job("running", referrers=1))
    assert "referrers   none: nothing refers to it" in _page(job("running", referrers=0))
    assert not any(line.startswith("referrers") for line in _page(job("running")))


def test_the_page_says_what_the_job_asked_for() -> None:
    page = _page(
        job(
            "paused", not_before="2026-11-22T22:02:00Z", if_tag="absent", retain="spool", priority=3,
            paused_at="2026-11-22T21:00:00Z", platforms=["linux/amd64", "linux/arm/v7"],
            validate="full",
        )
    )  # fmt: skip
    text = "\n".join(page)
    assert "source      oci:/srv/builds/app:1.4, kept in the daemon's spool" in page
    assert any(line.startswith("not before  ") and line.endswith("(in 1h)") for line in page)
    assert "only if     the tag does not exist yet" in page
    assert "priority    3" in page
    assert "platforms   linux/amd64 linux/arm/v7" in page
    assert "validated   each layer is looked into before anything is sent" in page
    assert any(line.startswith("paused      ") for line in page)
    assert "`pushctl resume abc123DEF-_x`" in text
    assert f"only if     the tag names {DIGEST}" in _page(job("queued", if_tag=DIGEST), width=None)


def test_a_delivery_that_waits_for_its_time_is_not_called_tried_again() -> None:
    lines = _of(_page(job("held", delivery(1, FIRST, "held", not_before="2026-11-22T22:02:00Z"))), FIRST)
    assert lines[0].startswith("  held, begins at ")


def test_a_delivery_that_waits_for_a_credential_says_so_and_how_to_bring_one() -> None:
    failure = _failure("registry.needs_credential", "the credential handed over with the job has expired")
    held = delivery(1, FIRST, "held", not_before="2026-11-23T21:00:00Z", failure=failure)
    page = _page(job("held", held), width=None)
    assert page[0] == "job         abc123DEF-_x, needs credential"
    standing, why, step = _of(page, FIRST)
    assert standing == "  needs credential"
    assert why == "  why:  the credential handed over with the job has expired (registry.needs_credential)"
    assert step == "  next: `pushctl login registry.example.com` brings one, and it goes on"


def test_a_delivery_that_is_ready_says_for_how_many_it_waits() -> None:
    ready = delivery(1, FIRST, "held", ready=True, not_before="2026-11-23T21:00:00Z")
    others = (delivery(2, "b/b:1", "running"), delivery(3, "c/c:1", "queued"), delivery(4, "d/d:1", "superseded"))
    page = _page(job("running", ready, *others, tags="together"))
    assert "tags        move together, once all destinations are ready" in page
    assert _of(page, FIRST) == ["  ready; waits for 2 others"]
    assert _of(_page(job("running", ready, others[0], tags="together")), FIRST) == ["  ready; waits for 1 other"]


def test_a_delivery_whose_tag_moves_says_so_and_the_job_since_when() -> None:
    moves = delivery(1, FIRST, "running", ready=True, started_at="2026-11-22T21:00:00Z")
    failure = _failure("registry.unavailable", "it is not well")
    stuck = delivery(2, "b/b:1", "held", ready=True, failure=failure, not_before="2026-11-22T21:03:00Z")
    page = _page(job("running", moves, stuck, tags="together", ready_at="2026-11-22T21:01:00Z"))
    assert any(line.startswith("tags        move together, since ") for line in page)
    assert _of(page, FIRST)[0].endswith(", its tag moves")
    assert _of(page, "b/b:1")[0].startswith("  held, tried again at ")
    assert not any(line.startswith("tags") for line in _page(job("running")))


def test_what_was_superseded_says_by_what() -> None:
    lines = _of(_page(job("superseded", delivery(1, FIRST, "superseded"))), FIRST)
    assert lines == ["  superseded: a newer job tagged it first, nothing was overwritten"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_sentences_break_at_the_edge_of_the_terminal(width: int) -> None:
    message = "the registry said something long " * 8
    failed = delivery(1, FIRST, "failed", failure=_failure("registry.refused", message.strip()))
    page = _page(job("failed", failed, labels={f"key{n}": "value" * 3 for n in range(9)}), width=width)
    assert max(len(line) for line in page if DIGEST not in line) <= width
    assert max(map(len, page)) <= max(width, 80)


def test_hostile_text_neither_steers_the_terminal_nor_breaks_a_line() -> None:
    hostile = "\x1b[2J\n\u202e"
    failed = delivery(
        1, FIRST, "failed", failure=_failure("x\x1b", hostile), transfers=[_transfer("mounted", "\x9b")],
        history=[{"at": "2026-11-22T21:01:00Z", "attempt": 1, "code": "c", "message": hostile}],
    )  # fmt: skip
    page = _page(job("failed", failed, source=hostile, labels={"a\x1b": "b\n"}, media_type="x\x9b"))
    assert all(line.isprintable() for line in page)
