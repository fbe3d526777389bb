from __future__ import annotations

import json

import pytest

from pushd.client.documents import job_of
from pushd.ctl.texts import clean, cut_left, job_line, json_line
from tests.fakes.daemon import delivery, job


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/bold] :smile:", "plain [bold]text[/bold] :smile:"),
        ("Grüße, 世界", "Grüße, 世界"),
        ("a\x1b[2Jb", "a\ufffd[2Jb"),
        ("a\x9b2Jb", "a\ufffd2Jb"),
        ("one\r\ntwo\tthree", "one  two three"),
        ("a\u202egpj.exe", "a\ufffdgpj.exe"),
        ("bad\udcffname", "bad\ufffdname"),
        ("bell\x07\x7f\x00", "bell\ufffd\ufffd\ufffd"),
        (5, "5"),
    ],
)
def test_what_could_steer_a_terminal_is_shown_as_a_replacement(text: object, shown: str) -> None:
    assert clean(text) == shown


def test_the_beginning_is_cut_because_the_end_tells_more() -> None:
    assert cut_left("registry.example.com/app:1.4", 12) == "\u2026com/app:1.4"
    assert cut_left("app:1.4", 7) == "app:1.4"
    assert cut_left("app:1.4", 1) == "\u2026"
    assert cut_left("app:1.4", 0) == ""


def test_json_is_one_line_of_ascii() -> None:
    line = json_line({"message": "a\x1b[2J\nü\u202e"})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"message": "a\x1b[2J\nü\u202e"}


def test_a_job_is_written_as_the_api_writes_it() -> None:
    document = job("running", delivery(1, state="held", not_before="2026-11-22T21:00:01.500000Z"))
    assert json.loads(job_line(job_of(document))) == document


def test_what_is_not_json_is_a_defect_and_not_guessed_at() -> None:
    with pytest.raises(TypeError):
        json_line({"x": object()})
