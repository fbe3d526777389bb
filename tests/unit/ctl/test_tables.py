from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pushd.client.documents import job_of
from pushd.ctl.tables import job_page, jobs_table
from tests.fakes.daemon import DIGEST, delivery, job

NOW = datetime(2026, 11, 22, 21, 2, tzinfo=UTC)
LONG = job(
    "running", delivery(1, "registry.example.com/a/very/long/repository/name/for/an/image:1.4"), delivery(2),
    source="oci-archive:/srv/builds/a/very/long/path/to/the/archive.tar:1.4",
)  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal_and_keeps_the_ends(width: int) -> None:
    heading, short, long = jobs_table([job_of(job("succeeded")), job_of(LONG)], NOW, width=width)
    assert max(map(len, (heading, short, long))) <= width
    assert long.endswith(":1.4 +1")
    assert "tar:1.4  " in long
    assert short.split()[:5] == ["abc123DEF-_x", "succeeded", "2m", "3.0", "MB"]


def test_the_columns_stand_under_their_headings() -> None:
    heading, short, long = jobs_table([job_of(job("succeeded")), job_of(LONG)], NOW, width=80)
    for name in ("STATE", "SIZE"):
        assert short[heading.index(name) - 1] == long[heading.index(name) - 1] == " "
        assert short[heading.index(name)] != " "


def test_a_pipe_gets_everything_uncut() -> None:
    _, line = jobs_table([job_of(LONG)], NOW, width=None)
    assert LONG["source"] in line
    assert LONG["deliveries"][0]["destination"] in line


def test_without_jobs_there_is_the_heading() -> None:
    assert len(list(jobs_table([], NOW, width=80))) == 1


def test_hostile_names_cannot_break_the_columns() -> None:
    lines = list(jobs_table([job_of(job(source="oci:/x\n\x1b[2J"))], NOW, width=80))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def _transfer(state: str, *, size: int = 100, done: int = 0, sent: int = 0) -> dict[str, object]:
    return {"digest": DIGEST, "media_type": "m", "size": size, "state": state, "done": done, "sent": sent}


def test_the_page_of_a_job_says_where_each_destination_stands() -> None:
    held = delivery(
        2, "mirror.example.net/app:1", "held", attempt=3, not_before="2026-11-22T21:05:00Z",
        failure={"code": "registry.unreachable", "message": "no route to it", "retryable": True},
    )  # fmt: skip
    running = delivery(
        1, state="running", started_at="2026-11-22T21:00:30Z",
        transfers=[
            _transfer("running", size=1000, done=610, sent=700), _transfer("uploaded", sent=100), _transfer("mounted"),
            _transfer("mounted"), _transfer("pending"),
        ],
    )  # fmt: skip
    page = list(job_page(job_of(job("running", running, held)), NOW))
    assert page[0] == "job         abc123DEF-_x, running"
    assert page[1] == "source      oci:/srv/builds/app:1.4"
    assert any(line.startswith("deadline    ") and line.endswith("(in 23h)") for line in page)
    first = page[page.index("registry.example.com/team/app:1.4") :]
    assert first[1:5] == [
        "  running, for 1m30s",
        "  1 blob uploaded, 2 mounted, 800 B sent",
        f"  {DIGEST[:19]}  61%, 610 B of 1.0 kB",
        f"  {DIGEST[:19]}  pending, 100 B",
    ]
    second = page[page.index("mirror.example.net/app:1") :]
    assert second[1].startswith("  held: no route to it, tried again at ")
    assert second[1].endswith(", attempt 3")


def test_the_page_of_an_ended_job_says_how_long_it_took_and_leaves_the_deadline_out() -> None:
    ended = delivery(
        state="succeeded", digest=DIGEST, started_at="2026-11-22T21:00:00Z", finished_at="2026-11-22T21:00:12Z"
    )
    page = list(job_page(job_of(job("succeeded", ended, finished_at="2026-11-22T21:00:12Z")), NOW))
    assert "  succeeded, took 12s" in page
    assert f"  {DIGEST}" in page
    assert any(line.startswith("finished ") and line.endswith("(1m ago)") for line in page)
    assert not any(line.startswith("deadline") for line in page)


def test_nothing_on_the_page_is_wider_than_80_columns_or_steers_the_terminal() -> None:
    page = list(job_page(job_of(job(labels={"a\x1b": "b\n"}, media_type="x\x9b")), NOW))
    assert all(line.isprintable() for line in page)
    assert max(map(len, page)) <= 83  # a sha256 digest alone is 71


def test_the_page_of_a_job_tells_what_was_tried() -> None:
    tried = {"at": "2026-11-22T21:01:00Z", "attempt": 1, "code": "registry.unreachable", "message": "no \x1bconnection"}
    page = list(job_page(job_of(job("held", delivery(state="held", history=[tried]))), NOW))
    assert any(line.startswith("  tried at ") and line.endswith("connection") for line in page)
    assert all(line.isprintable() for line in page)
