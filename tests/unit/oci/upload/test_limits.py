from __future__ import annotations

import pytest

from pushd.oci.upload import Checkpoint, Form, Limits


def test_a_large_blob_is_tried_in_the_forms_as_they_are_listed() -> None:
    limits = Limits(forms=(Form.STREAMED, Form.MONOLITHIC), single_max=100)
    assert limits.ladder(101) == (Form.STREAMED, Form.MONOLITHIC)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_small_blob_goes_monolithic_first_and_keeps_the_other_forms_in_order(size: int) -> None:
    limits = Limits(forms=(Form.CHUNKED, Form.MONOLITHIC, Form.STREAMED), single_max=100)
    assert limits.ladder(size) == (Form.MONOLITHIC, Form.CHUNKED, Form.STREAMED)


def test_a_small_blob_does_not_go_monolithic_where_that_is_not_allowed() -> None:
    limits = Limits(forms=(Form.CHUNKED, Form.STREAMED), single_max=100)
    assert limits.ladder(1) == (Form.CHUNKED, Form.STREAMED)


def test_by_default_every_form_is_tried_and_chunks_come_first() -> None:
    assert Limits().ladder(1 << 30) == (Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC)


def test_a_form_that_would_put_too_much_into_one_request_is_left_out() -> None:
    limits = Limits(chunk_max=100, put_max=50, chunk_size=10, single_max=60)
    assert limits.ladder(50) == (Form.MONOLITHIC, Form.CHUNKED, Form.STREAMED)
    assert limits.ladder(60) == (Form.CHUNKED, Form.STREAMED)
    assert limits.ladder(101) == (Form.CHUNKED,)


def test_a_form_that_is_all_there_is_is_tried_all_the_same() -> None:
    assert Limits(forms=(Form.MONOLITHIC,), put_max=50).ladder(51) == (Form.MONOLITHIC,)


@pytest.mark.parametrize(
    ("announced_min", "announced_max", "chunk_max", "expected"),
    [
        (0, 0, None, 10),
        (15, 0, None, 15),
        (0, 7, None, 7),
        (15, 12, None, 12),
        (0, 0, 8, 8),
        (15, 0, 12, 12),
        (0, 50, 20, 10),
    ],
)
def test_the_size_of_chunks_keeps_to_what_is_announced_and_what_is_known(
    announced_min: int, announced_max: int, chunk_max: int | None, expected: int
) -> None:
    assert Limits(chunk_size=10, chunk_max=chunk_max).chunk(announced_min, announced_max) == expected


def test_a_checkpoint_shown_to_a_person_keeps_the_secret_query_of_its_location() -> None:
    shown = repr(Checkpoint("https://registry.example/up/1?_state=canary", 10, 5, Form.CHUNKED))
    assert "canary" not in shown
    assert "https://registry.example/up/1" in shown
