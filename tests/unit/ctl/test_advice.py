from __future__ import annotations

import pytest

from pushd.client.documents import job_of
from pushd.ctl.advice import next_step
from pushd.errors import Code
from tests.fakes.daemon import delivery, job


def _step(code: str, message: str = "it did not work", state: str = "failed", **more: object) -> str:
    failure = {"code": code, "message": message, "retryable": False}
    one = job_of({**job(state, delivery(1, "registry.example.com:5000/app:1", state, failure=failure)), **more})
    return next_step(one, one.deliveries[0])


def test_a_failure_that_says_nothing_of_it_is_told_with_a_step() -> None:
    assert _step("registry.tag_exists") == "push under another tag, or without --if-tag"


def test_a_message_that_has_its_own_hint_needs_none_of_ours() -> None:
    assert _step("registry.not_found", "app: is not there; check the name") == (
        "`pushctl retry abc123DEF-_x` tries again what is not there"
    )


@pytest.mark.parametrize("code", ["registry.unauthorized", "registry.unresolved", "registry.tls"])
def test_what_doctor_can_look_into_is_handed_to_it_with_the_port(code: str) -> None:
    assert "`pushctl doctor registry.example.com:5000/app` looks closer" in _step(code)


def test_what_needs_a_credential_is_told_how_to_bring_one() -> None:
    assert _step("registry.needs_credential", state="held") == (
        "`pushctl login registry.example.com:5000` brings one, and it goes on"
    )


def test_what_needs_one_to_read_with_is_told_where() -> None:
    source = "docker://base.example.com:5000/app:1"
    assert _step("source.needs_credential", state="held", source=source) == (
        "`pushctl login base.example.com:5000` brings one, and it goes on"
    )


@pytest.mark.parametrize("code", [code for code in Code if code.value.startswith(("registry.tls", "registry.helper"))])
def test_each_trouble_with_certificates_and_helpers_has_its_step(code: Code) -> None:
    step, closer, _ = _step(code.value).split("; ")
    assert step
    assert "{" not in step
    assert "pushctl doctor" in closer


def test_time_that_was_up_can_be_given_again() -> None:
    assert "--deadline" in _step("request.deadline")
    assert "`pushctl retry abc123DEF-_x`" in _step("request.deadline")


@pytest.mark.parametrize("code", ["source.changed", "source.blob_digest", "registry.tag_exists"])
def test_what_would_fail_again_is_not_to_be_tried_again(code: str) -> None:
    assert "retry" not in _step(code)


def test_what_is_held_is_tried_again_without_anybody() -> None:
    assert "retry" not in _step("registry.unavailable", state="held")


def test_what_was_cancelled_can_be_taken_up_again() -> None:
    one = job_of(job("cancelled"))
    assert "`pushctl retry abc123DEF-_x`" in next_step(one, one.deliveries[0])


def test_what_goes_well_needs_no_step() -> None:
    one = job_of(job("succeeded"))
    assert next_step(one, one.deliveries[0]) == ""


def test_a_code_of_a_newer_daemon_is_no_reason_to_fall_over() -> None:
    assert _step("registry.out_of_paper") == ""
