"""Pushes whose bytes are brought to the daemon: what pushctl asks of the client, and what it says meanwhile."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client.documents import job_of
from pushd.ctl import main
from pushd.ctl.verbs import push as pushing
from pushd.job import Compress, Retain, Tags, Validate, Verify
from tests.fakes.daemon import job
from tests.unit.ctl.test_plan_page import PUSH, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushd.job import Job

    Progress = Callable[[int, int | None], None]

SOURCE, DESTINATION = "oci:./build:1.4", "registry.example.com/team/app:1.4"
ID = "abc123DEF-_x"


@dataclass
class Stub:
    """A client that brings bytes as the test says.

    Attributes:
        steps: what it tells of its progress.
        interrupted: whether Ctrl-C comes after that.
        asked: what it was asked, the progress apart.
        read: what it read of the stream.
    """

    steps: Sequence[tuple[int, int | None]] = ()
    interrupted: bool = False
    asked: dict[str, Any] = field(default_factory=dict)
    read: bytes = b""

    def submit(self, source: str, destinations: list[str], *, progress: Progress, **asked: Any) -> Job:
        self.asked = {"source": source, "destinations": destinations, **asked}
        return self._bring(progress)

    def submit_stream(self, stream: Any, destinations: list[str], *, progress: Progress, **asked: Any) -> Job:
        self.asked = {"destinations": destinations, **asked}
        while piece := stream.read(4):
            self.read += piece
        return self._bring(progress)

    def submit_files(self, *, progress: Progress, **asked: Any) -> Job:
        self.asked = asked
        return self._bring(progress)

    def plan_files(self, *, progress: Progress, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        self._bring(progress)
        return plan(PUSH)

    def plan(self, source: str, destinations: list[str], *, progress: Progress, **asked: Any) -> dict[str, Any]:
        self._bring(progress)
        return plan(PUSH)

    def _bring(self, progress: Progress) -> Job:
        for done, total in self.steps:
            progress(done, total)
        if self.interrupted:
            raise KeyboardInterrupt
        return job_of(job())


class _Pipe(io.BytesIO):
    """Standard input as a pipe or a terminal would be."""

    def __init__(self, content: bytes, *, terminal: bool = False, interrupts: bool = False) -> None:
        super().__init__(content)
        self._terminal = terminal
        self._interrupts = interrupts

    @property
    def buffer(self) -> _Pipe:
        return self

    def isatty(self) -> bool:
        return self._terminal

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if self._interrupts and not piece:
            raise KeyboardInterrupt
        return piece


def _use(monkeypatch: pytest.MonkeyPatch, stub: Stub, standard_input: _Pipe | None = None) -> Stub:
    monkeypatch.setattr(pushing, "Client", lambda _: stub)
    if standard_input is not None:
        monkeypatch.setattr("sys.stdin", standard_input)
    return stub


def test_bytes_that_are_brought_are_told_by_the_tenth_and_the_id_is_all_of_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, Stub([(0, 1000), (500, 1000), (1000, 1000)]))
    assert main(["push", SOURCE, DESTINATION]) == 0
    output, error = capsys.readouterr()
    assert output == f"{ID}\n"
    assert [line.split(",")[0] for line in error.splitlines()] == ["to the daemon: 50%", "to the daemon: 100%"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_with_json_nothing_is_told_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    _use(monkeypatch, Stub([(500, 1000), (1000, 1000)]))
    assert main(["push", "--json", *more, SOURCE, DESTINATION]) == 0
    output, error = capsys.readouterr()
    assert json.loads(output)["digest"].startswith("sha256:")
    assert error == ""


def test_an_interrupt_while_bytes_are_brought_says_that_nothing_was_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, Stub([(500, 1000)], interrupted=True))
    assert main(["push", SOURCE, DESTINATION]) == 130
    assert capsys.readouterr().err.endswith("brought to the daemon: nothing was taken\n")


@pytest.mark.parametrize("steps", [[], [(1000, 1000)]])
def test_an_interrupt_before_or_behind_that_does_not_pretend_to_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: list[tuple[int, int]]
) -> None:
    _use(monkeypatch, Stub(steps, interrupted=True))
    assert main(["push", SOURCE, DESTINATION]) == 130
    assert "`pushctl jobs` shows if the job was taken" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [[(0, None)], [(0, None), (500, None)]])
def test_an_interrupt_before_all_of_an_engines_image_is_there_says_that_nothing_was_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: list[tuple[int, int | None]]
) -> None:
    stub = _use(monkeypatch, Stub(steps, interrupted=True))
    assert main(["push", "docker-daemon:app:1.4", DESTINATION]) == 130
    assert stub.asked["source"] == "docker-daemon:app:1.4"
    assert capsys.readouterr().err.endswith("brought to the daemon: nothing was taken\n")


def test_an_interrupt_once_all_of_an_engines_image_is_there_does_not_pretend_to_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, Stub([(500, None), (1000, 1000)], interrupted=True))
    assert main(["push", "docker-daemon:app:1.4", DESTINATION]) == 130
    assert "`pushctl jobs` shows if the job was taken" in capsys.readouterr().err


def test_an_archive_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = _use(monkeypatch, Stub([(7, None)]), _Pipe(b"archive"))
    typed = ["--priority", "5", "--label", "a=b", "--deadline", "90s", "--if-tag", "absent", "--verify", "blobs"]
    typed += ["--platform", "linux/arm64", "--tag", "1", "--validate", "full", "--compress", "zstd"]
    typed += ["--tags", "together"]
    assert main(["push", "-", DESTINATION, *typed, "--idempotency-key", "k", "--spool"]) == 0
    assert capsys.readouterr() == (f"{ID}\n", "")
    assert stub.read == b"archive"
    assert stub.asked == {
        "destinations": [DESTINATION, "registry.example.com/team/app:1"], "reference": "", "priority": 5,
        "labels": {"a": "b"}, "deadline": 90.0, "verify": Verify.BLOBS, "not_before": None, "if_tag": "absent",
        "retain": Retain.SPOOL, "platforms": ["linux/arm64"], "validate": Validate.FULL, "compress": Compress.ZSTD,
        "tags": Tags.TOGETHER, "credential": "auto", "idempotency_key": "k",
    }  # fmt: skip


def test_what_refers_to_an_image_is_no_part_of_an_archive_on_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, Stub(), _Pipe(b""))
    with pytest.raises(SystemExit) as caught:
        main(["push", "-", DESTINATION, "--with-referrers"])
    assert caught.value.code == 2
    assert "--with-referrers needs an image that is named" in capsys.readouterr().err


@pytest.mark.parametrize("reference", ["app:1.4", "x/y:1", "-:x"])
def test_which_image_of_an_archive_is_named_behind_the_dash(monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    stub = _use(monkeypatch, Stub(), _Pipe(b""))
    assert main(["push", f"-:{reference}", DESTINATION]) == 0
    assert stub.asked["reference"] == reference


def test_a_terminal_is_no_archive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _use(monkeypatch, Stub(), _Pipe(b"", terminal=True))
    with pytest.raises(SystemExit) as caught:
        main(["push", "-", DESTINATION])
    assert caught.value.code == 2
    assert f"docker save IMAGE | pushctl push - {DESTINATION}" in capsys.readouterr().err


def test_an_interrupt_while_the_archive_is_read_says_that_nothing_was_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = _use(monkeypatch, Stub(), _Pipe(b"half an arch", interrupts=True))
    assert main(["push", "-", DESTINATION]) == 130
    assert stub.read == b"half an arch"
    assert capsys.readouterr().err.endswith("nothing was taken\n")


def test_an_interrupt_once_the_archive_is_read_does_not_pretend_to_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, Stub(interrupted=True), _Pipe(b"archive"))
    assert main(["push", "-", DESTINATION]) == 130
    assert "`pushctl jobs` shows if the job was taken" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- files

TYPE = "application/vnd.example.report.v1"


def test_files_are_handed_over_with_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = _use(monkeypatch, Stub([(1000, 1000)]))
    typed = ["--annotation", "a=b=c", "--annotation", "d=", "--to", "two.example.com/x:1", "--to", "3.example.com/x"]
    more = ["--priority", "5", "--label", "l=m", "--if-tag", "absent", "--idempotency-key", "k"]
    assert main(["push", "--artifact-type", TYPE, *typed, DESTINATION, "a.json:application/json", "b", *more]) == 0
    assert capsys.readouterr().out == f"{ID}\n"
    assert stub.asked == {
        "files": [("a.json", "application/json"), ("b", "")], "artifact_type": TYPE,
        "destinations": [DESTINATION, "two.example.com/x:1", "3.example.com/x"],
        "annotations": {"a": "b=c", "d": ""}, "priority": 5, "labels": {"l": "m"}, "deadline": None,
        "verify": Verify.TAG, "not_before": None, "if_tag": "absent", "retain": Retain.SOURCE, "tags": Tags.EACH,
        "credential": "auto", "idempotency_key": "k",
    }  # fmt: skip


def test_an_artifact_goes_under_more_tags_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = _use(monkeypatch, Stub([]))
    typed = ["--artifact-type", TYPE, "--tag", "2", "--to", "two.example.com/x", "registry.example.com/r:1", "a"]
    assert main(["push", *typed]) == 0
    assert stub.asked["destinations"] == ["registry.example.com/r:1", "registry.example.com/r:2", "two.example.com/x:2"]


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("a.txt", ("a.txt", "")),
        ("a.txt:text/plain", ("a.txt", "text/plain")),
        ("a:b", ("a:b", "")),
        ("a:b:text/plain", ("a:b", "text/plain")),
        ("a:b:", ("a:b", "")),  # as oras reads it
        ("a:", ("a", "")),
        ("a::", ("a:", "")),
        ("dir:1/file", ("dir", "1/file")),  # which looks like one
        ("dir:1/file:", ("dir:1/file", "")),
        ("a:text/pl@in", ("a:text/pl@in", "")),
        ("a:text/plain; charset=utf-8", ("a:text/plain; charset=utf-8", "")),
        (":text/plain", (":text/plain", "")),
        ("./-", ("./-", "")),
        ("", ("", "")),
    ],
)
def test_a_media_type_stands_behind_the_last_colon_where_it_looks_like_one(
    monkeypatch: pytest.MonkeyPatch, typed: str, file: tuple[str, str]
) -> None:
    stub = _use(monkeypatch, Stub())
    assert main(["push", "--artifact-type", TYPE, DESTINATION, typed]) == 0
    assert stub.asked["files"] == [file]


@pytest.mark.parametrize(
    "typed",
    [
        ["--artifact-type", TYPE, DESTINATION, "--wait", "a", "b", "--dry-run"],
        [DESTINATION, "--artifact-type", TYPE, "a", "b", "--dry-run"],
        ["--dry-run", DESTINATION, "a", "b", "--artifact-type", TYPE],
    ],
)
def test_options_may_stand_between_destination_and_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: list[str]
) -> None:
    stub = _use(monkeypatch, Stub())
    assert main(["push", *typed]) == 0
    assert (stub.asked["destinations"], stub.asked["files"]) == ([DESTINATION], [("a", ""), ("b", "")])
    assert "would be pushed" in capsys.readouterr().out


def test_an_artifact_may_be_its_annotations_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = _use(monkeypatch, Stub())
    assert main(["push", "--artifact-type", TYPE, "--annotation", "a=b", DESTINATION]) == 0
    assert (stub.asked["destinations"], stub.asked["files"]) == ([DESTINATION], [])


@pytest.mark.parametrize("steps", [[], [(500, 1000)]])
def test_an_interrupt_while_files_are_read_or_brought_says_that_nothing_was_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: list[tuple[int, int]]
) -> None:
    _use(monkeypatch, Stub(steps, interrupted=True))
    assert main(["push", "--artifact-type", TYPE, DESTINATION, "a"]) == 130
    assert capsys.readouterr().err.endswith("while the files were brought to the daemon: nothing was taken\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--artifact-type", TYPE], "the following arguments are required: DESTINATION"),
        (["--artifact-type", TYPE, DESTINATION], "there is nothing to push: name a FILE"),
        (["--artifact-type", "report", DESTINATION, "a"], "'report' is no media type"),
        (["--artifact-type", "text/", DESTINATION, "a"], "'text/' is no media type"),
        (["--artifact-type", TYPE, "--annotation", "x", DESTINATION, "a"], "'x' is not KEY=VALUE"),
        (["--artifact-type", TYPE, "--annotation", "=x", DESTINATION, "a"], "'=x' is not KEY=VALUE"),
        (["--artifact-type", TYPE, "--annotation", "x=1", "--annotation", "x=2", DESTINATION], "x is there twice"),
        (["--artifact-type", TYPE, DESTINATION, "-"], "standard input is no FILE"),
        (["--artifact-type", TYPE, DESTINATION, "-:text/plain"], "standard input is no FILE"),
        (["--artifact-type", TYPE, "--to", "", DESTINATION, "a"], "must not be empty"),
        (["--annotation", "a=b", SOURCE, DESTINATION], "--annotation goes with --artifact-type"),
        (["--artifact-type", TYPE, "--compress", "gzip", DESTINATION, "a"], "files are pushed as they are"),
        (["--artifact-type", TYPE, "--with-referrers", DESTINATION, "a"], "--with-referrers is for images"),
        (["--artifact-type", TYPE, "--platform", "linux/arm64", DESTINATION, "a"], "files are for every platform"),
        (["--to", DESTINATION, SOURCE, DESTINATION], "--to goes with --artifact-type"),
        (["--to", DESTINATION, SOURCE], "required: DESTINATION"),
        (["--annotation", "a=b", "-", DESTINATION], "--annotation goes with --artifact-type"),
    ],
)
def test_what_makes_no_sense_of_files_is_a_usage_error(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["push", *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
