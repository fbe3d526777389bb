from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pushd.client.documents import job_of
from pushd.ctl.tables import jobs_table
from tests.fakes.daemon import delivery, job

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


def test_a_job_that_waits_for_a_credential_says_so() -> None:
    needs = {"code": "registry.needs_credential", "message": "it has expired", "retryable": True}
    held = job("running", delivery(1, state="succeeded"), delivery(2, state="held", failure=needs))
    _, line = jobs_table([job_of(held)], NOW, width=None)
    assert "  needs credential  " in line


def test_hostile_names_cannot_break_the_columns() -> None:
    lines = list(jobs_table([job_of(job(source="oci:/x\n\x1b[2J"))], NOW, width=80))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
