from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.client.documents import job_of
from pushd.ctl.exits import Exit, exit_of_error, exit_of_jobs
from pushd.errors import Code, DaemonError, RegistryError, RequestError, SourceError, StoreError
from tests.fakes.daemon import delivery, job

if TYPE_CHECKING:
    from pushd.errors import PushdError


def _failed(code: str) -> dict[str, object]:
    return delivery(state="failed", failure={"code": code, "message": "m", "retryable": False})


DONE = delivery(state="succeeded")
CANCELLED = delivery(state="cancelled")
SUPERSEDED = delivery(state="superseded")
LATE = _failed("request.deadline")
BROKEN = _failed("registry.denied")


@pytest.mark.parametrize(
    ("deliveries", "code"),
    [
        ([DONE, DONE], 0),
        ([BROKEN], 1),
        ([BROKEN, LATE], 1),
        ([BROKEN, CANCELLED], 1),
        ([CANCELLED, CANCELLED], 4),
        ([DONE, BROKEN], 5),
        ([DONE, CANCELLED], 5),
        ([DONE, LATE], 5),
        ([LATE, LATE], 7),
        ([LATE, CANCELLED], 7),
        ([SUPERSEDED, SUPERSEDED], 0),
        ([SUPERSEDED, DONE], 0),
        ([SUPERSEDED, BROKEN], 1),
        ([SUPERSEDED, DONE, BROKEN], 5),
        ([SUPERSEDED, CANCELLED], 4),
        ([SUPERSEDED, LATE], 7),
        ([delivery(state="running")], 1),
    ],
)
def test_the_exit_code_says_how_all_destinations_ended(deliveries: list[dict[str, object]], code: int) -> None:
    assert exit_of_jobs([job_of(job("failed", *deliveries))]) == code


def test_several_jobs_count_as_one_with_all_their_destinations() -> None:
    done, failed = job_of(job("succeeded", DONE)), job_of(job("failed", BROKEN))
    assert exit_of_jobs([done, done]) is Exit.DONE
    assert exit_of_jobs([done, failed]) is Exit.PARTIAL


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DaemonError(Code.DAEMON_UNREACHABLE, "", ""), 3),
        (DaemonError(Code.DAEMON_SOCKET, "", ""), 3),
        (DaemonError(Code.DAEMON_INTERNAL, "", ""), 1),
        (StoreError(Code.STORE_FULL, "", ""), 1),
        (RequestError(Code.REQUEST_FORBIDDEN, "", ""), 6),
        (SourceError(Code.SOURCE_NOT_FOUND, "", ""), 6),
        (RegistryError(Code.REGISTRY_NAME_INVALID, "", ""), 6),
    ],
)
def test_an_error_that_is_the_callers_to_mend_is_a_refusal(error: PushdError, code: int) -> None:
    assert exit_of_error(error) == code
