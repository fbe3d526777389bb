from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pushd.telemetry.events import (
    CATALOGUE,
    DAEMON_FAULT,
    DELIVERY_FAILED,
    JOB_FINISHED,
    JOB_SUBMITTED,
    MANIFEST_PUT,
    TRANSFER_PROGRESS,
    TRANSFER_STARTED,
    Event,
    Level,
)
from pushd.telemetry.logging import EventLog, LibraryHandler, hear_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.telemetry.events import Kind

NOON = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)


class Terminal(io.BytesIO):
    """A stream a person looks at."""

    def isatty(self) -> bool:
        return True


def failed(reason: str, destination: str = "r.example/app:1") -> Event:
    return Event(
        DELIVERY_FAILED, NOON, job="a", delivery=3, fields={"destination": destination, "reason": reason, "attempt": 2}
    )


def progress(job: str, second: float) -> Event:
    at = NOON + timedelta(seconds=second)
    return Event(TRANSFER_PROGRESS, at, job=job, delivery=1, fields={"digest": "d", "done": 1, "size": 2})


def written(*events: Event, level: Level = Level.DEBUG) -> list[dict[str, Any]]:
    stream = io.BytesIO()
    log = EventLog(level, stream)
    for event in events:
        log(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def shown(*events: Event) -> list[str]:
    stream = Terminal()
    log = EventLog(Level.DEBUG, stream)
    for event in events:
        log(event)
    return stream.getvalue().decode().splitlines()


def test_an_event_is_one_json_object_on_one_line() -> None:
    stream = io.BytesIO()

    EventLog(Level.INFO, stream)(failed("the registry said: \n no"))

    assert stream.getvalue().count(b"\n") == 1
    line = json.loads(stream.getvalue())
    assert line == {
        "ts": "2026-07-01T12:00:00.250000Z",
        "level": "error",
        "event": "delivery.failed",
        "message": "to r.example/app:1 failed: the registry said: \n no",
        "job": "a",
        "delivery": 3,
        "destination": "r.example/app:1",
        "reason": "the registry said: \n no",
        "attempt": 2,
    }
    assert list(line)[:6] == ["ts", "level", "event", "message", "job", "delivery"]


def test_what_belongs_to_no_job_names_none() -> None:
    (line,) = written(Event(DAEMON_FAULT, NOON, fields={"error": "x", "where": "y"}))

    assert not {"job", "delivery"} & line.keys()


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (Level.DEBUG, ["transfer.started", "manifest.put", "delivery.failed"]),
        (Level.INFO, ["manifest.put", "delivery.failed"]),
        (Level.WARNING, ["delivery.failed"]),
        (Level.ERROR, ["delivery.failed"]),
    ],
)
def test_what_is_below_the_level_is_not_written(level: Level, told: list[str]) -> None:
    events = [
        Event(TRANSFER_STARTED, NOON, fields={"digest": "d", "destination": "r"}),
        Event(MANIFEST_PUT, NOON, fields={"digest": "d", "destination": "r"}),
        failed("no"),
    ]

    assert [line["event"] for line in written(*events, level=level)] == told


def test_a_level_is_written_as_the_catalogue_has_it() -> None:
    events = [Event(TRANSFER_STARTED, NOON, fields={"digest": "d", "destination": "r"}), failed("no")]

    assert [line["level"] for line in written(*events)] == ["debug", "error"]


def test_no_secret_of_a_url_is_written_in_any_field_or_sentence() -> None:
    reason = "https://ada:CANARY@r.example/v2/a/blobs/uploads/1?_state=CANARY said 404"

    for line in (*map(str, written(failed(reason))), *shown(failed(reason))):
        assert "CANARY" not in line
        assert "https://r.example/v2/a/blobs/uploads/1 said 404" in line


def test_text_that_utf8_cannot_carry_is_written_all_the_same() -> None:
    (line,) = written(failed("/srv/\udcff is odd"))

    assert line["reason"] == "/srv/? is odd"


def test_an_event_whose_sentence_lacks_a_fact_is_told_by_its_template() -> None:
    (line,) = written(Event(JOB_FINISHED, NOON, job="a", fields={"state": "failed"}))

    assert line["message"] == "job {job} {state} in {seconds} s"
    assert line["state"] == "failed"


def test_numbers_json_does_not_have_are_null() -> None:
    (line,) = written(Event(JOB_FINISHED, NOON, job="a", fields={"state": "x", "seconds": float("nan")}))

    assert line["seconds"] is None


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_no_field_of_the_catalogue_hides_a_common_one(kind: Kind) -> None:
    assert not {"ts", "level", "event", "message", "job", "delivery"} & kind.fields


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    class Full(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise OSError(28, "No space left on device")

    closed = io.BytesIO()
    log = EventLog(Level.INFO, closed)
    closed.close()

    log(failed("no"))
    EventLog(Level.INFO, Full())(failed("no"))

    assert closed.closed


def test_lines_of_several_threads_do_not_mix() -> None:
    stream = io.BytesIO()
    log = EventLog(Level.INFO, stream)

    def tell(text: str) -> None:
        for _ in range(200):
            log(failed(text))

    threads = [threading.Thread(target=tell, args=(str(number) * 50,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    reasons = [json.loads(line)["reason"] for line in stream.getvalue().splitlines()]
    assert sorted(reasons) == sorted(str(number) * 50 for number in range(4) for _ in range(200))


def test_on_a_terminal_an_event_is_one_readable_line() -> None:
    (line,) = shown(failed("no"))

    assert line == (
        f"{NOON.astimezone():%H:%M:%S} ERROR   to r.example/app:1 failed: no"
        "  [delivery.failed] job=a delivery=3 destination=r.example/app:1 reason=no attempt=2"
    )


def test_values_with_spaces_are_told_apart_on_a_terminal() -> None:
    (line,) = shown(failed("no such thing", destination=""))

    assert 'destination="" reason="no such thing" attempt=2' in line


def test_no_control_character_from_outside_reaches_a_terminal() -> None:
    (line,) = shown(failed("\x1b[2J\x07\r\nfake: line\u202e", destination="\x9b31m"))

    assert line.isprintable()
    assert "[2J fake: line" in line


@pytest.fixture
def libraries() -> Iterator[io.BytesIO]:
    """A log that hears the libraries, until the test is over."""
    root, stream = logging.getLogger(), io.BytesIO()
    level, handlers = root.level, root.handlers[:]
    root.handlers[:] = []
    hear_libraries(EventLog(Level.INFO, stream))
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def told(stream: io.BytesIO) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [(line["event"], line["level"], line["message"]) for line in lines]


def test_what_libraries_log_is_told_from_warnings_up(libraries: io.BytesIO) -> None:
    library = logging.getLogger("aiohttp.server")
    library.debug("quiet")
    library.info("quiet")
    library.warning("odd: %s", "https://r.example/?CANARY")
    library.error("bad")
    library.critical("worse")

    assert told(libraries) == [
        ("library.message", "warning", "aiohttp.server: odd: https://r.example/"),
        ("library.failure", "error", "aiohttp.server: bad"),
        ("library.failure", "error", "aiohttp.server: worse"),
    ]


def test_a_librarys_exception_is_told_with_its_trace_on_the_same_line(libraries: io.BytesIO) -> None:
    try:
        int("lost")
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed")

    (line,) = libraries.getvalue().splitlines()
    assert json.loads(line)["logger"] == "asyncio"
    assert json.loads(line)["traceback"].endswith("int() with base 10: 'lost'")


def test_a_librarys_broken_record_is_told_as_it_is() -> None:
    stream = io.BytesIO()
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%d of %d", ("one",), None)

    LibraryHandler(EventLog(Level.INFO, stream)).handle(record)

    assert told(stream) == [("library.message", "warning", "x: %d of %d")]


def test_pythons_own_warnings_are_told(libraries: io.BytesIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    ((event, level, message),) = told(libraries)
    assert (event, level) == ("library.message", "warning")
    assert message.startswith("py.warnings: ")
    assert "old ways" in message


def test_an_event_costs_little() -> None:
    """Events come by the thousand in a busy second; the bound is some twenty times what one takes."""
    log = EventLog(Level.INFO, io.BytesIO())
    event = Event(
        JOB_SUBMITTED, NOON, job="a", fields={"source": "oci:/srv/app:1", "destinations": 2, "size": 10, "uid": 0}
    )
    start = datetime.now(UTC)
    for _ in range(1000):
        log(event)

    assert datetime.now(UTC) - start < timedelta(seconds=0.5)
