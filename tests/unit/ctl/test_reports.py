from __future__ import annotations

import pytest

from pushd.client.documents import job_of
from pushd.ctl.reports import pinned, report, summary, transfers
from tests.fakes.daemon import DIGEST, delivery, job


def _transfers(*states: str) -> list[dict[str, object]]:
    return [
        {
            "digest": DIGEST,
            "media_type": "m",
            "size": 100,
            "state": state,
            "done": 100,
            "sent": 50 * (state == "uploaded"),
        }
        for state in states
    ]


@pytest.mark.parametrize(
    ("destination", "digest", "text"),
    [
        ("r.example.com/app:1", DIGEST, f"r.example.com/app:1@{DIGEST}"),
        (f"r.example.com/app@{DIGEST}", DIGEST, f"r.example.com/app@{DIGEST}"),
        ("r.example.com/app:1", None, "r.example.com/app:1"),
    ],
)
def test_a_destination_is_pinned_by_what_was_read_back(destination: str, digest: str | None, text: str) -> None:
    (one,) = job_of(job("succeeded", delivery(1, destination, "succeeded", digest=digest))).deliveries
    assert pinned(one) == text


def test_a_destination_a_newer_job_tagged_first_is_told_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    report(job_of(job("superseded", delivery(1, "r.example.com/app:1", "superseded"))), as_json=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == (
        "r.example.com/app:1 superseded: a newer job tagged it first, nothing was overwritten"
    )


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([], ""),
        (["uploaded"], "1 blob uploaded, 50 B sent"),
        (["mounted", "uploaded", "uploaded", "present"], "2 blobs uploaded, 1 mounted, 1 present, 100 B sent"),
        (["present", "present"], "2 blobs present, 0 B sent"),
        (["failed", "pending"], "1 blob failed, 0 B sent"),
    ],
)
def test_blobs_are_counted_by_what_became_of_them(states: list[str], text: str) -> None:
    assert transfers(job_of(job("running", delivery(transfers=_transfers(*states)))).deliveries) == text


def test_the_summary_says_what_it_took() -> None:
    ended = job_of(
        job(
            "partial",
            delivery(1, state="succeeded", transfers=_transfers("uploaded")),
            delivery(2, state="failed", transfers=_transfers("uploaded", "mounted")),
            finished_at="2026-11-22T21:03:20Z",
        )
    )
    assert summary(ended) == (
        "job abc123DEF-_x partial in 3m20s: 1 of 2 destinations, 2 blobs uploaded, 1 mounted, 100 B sent"
    )
