from __future__ import annotations

import pytest

from pushd.client.documents import job_of
from pushd.ctl.standing import job_standing
from tests.fakes.daemon import delivery, job

NEEDS = {"code": "registry.needs_credential", "message": "it has expired", "retryable": True}
OTHER = {"code": "registry.throttled", "message": "wait", "retryable": True}


@pytest.mark.parametrize(
    ("state", "other", "standing"),
    [
        ("held", delivery(2, state="held", failure=NEEDS), "needs credential"),
        ("held", delivery(2, state="held", failure=OTHER), "needs credential"),
        ("running", delivery(2, state="succeeded"), "needs credential"),
        ("running", delivery(2, state="running"), "running"),
        ("queued", delivery(2, state="queued"), "queued"),
        ("paused", delivery(2, state="paused"), "paused"),
    ],
)
def test_a_job_needs_a_credential_when_nothing_else_of_it_goes_on(
    state: str, other: dict[str, object], standing: str
) -> None:
    assert job_standing(job_of(job(state, delivery(1, state="held", failure=NEEDS), other))) == standing


def test_so_does_one_whose_source_is_in_a_registry_that_lets_it_in_no_more() -> None:
    needs = {**NEEDS, "code": "source.needs_credential"}
    assert job_standing(job_of(job("held", delivery(1, state="held", failure=needs)))) == "needs credential"


@pytest.mark.parametrize(("state", "failure"), [("held", OTHER), ("held", None), ("failed", NEEDS)])
def test_a_job_that_needs_none_is_in_its_state(state: str, failure: dict[str, object] | None) -> None:
    assert job_standing(job_of(job(state, delivery(1, state=state, failure=failure)))) == state
