from __future__ import annotations

import json
import logging
import time
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
from pushd.telemetry.journald import as_datagram
from pushd.telemetry.lines import as_json, as_words
from pushd.telemetry.logging import EventLog, LibraryHandler, hear_libraries
from pushd.telemetry.rates import Allowance, Pace
from tests.fakes.lines import Broken, Lines, Shut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushd.telemetry.events import Kind
    from pushd.telemetry.logging import Render

NOON = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def failed(reason: str, destination: str = "r.example/app:1") -> Event:
    return Event(
        DELIVERY_FAILED, NOON, job="a", delivery=3, fields={"destination": destination, "reason": reason, "attempt": 2}
    )


def progress(job: str, second: float) -> Event:
    at = NOON + timedelta(seconds=second)
    return Event(TRANSFER_PROGRESS, at, job=job, delivery=1, fields={"digest": "d", "done": 1, "size": 2})


def written(*events: Event, level: Level = Level.DEBUG) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(as_json, *events, level=level)]


def shown(*events: Event) -> list[str]:
    return [line.decode().rstrip("\n") for line in lines(as_words, *events)]


def lines(render: Render, *events: Event, level: Level = Level.DEBUG) -> list[bytes]:
    drain = Lines()
    log = EventLog(level, drain, render)
    for event in events:
        log(event)
    log.close()
    return drain.taken


def test_an_event_is_one_json_object_on_one_line() -> None:
    (told,) = lines(as_json, failed("the registry said: \n no"))

    assert told.count(b"\n") == 1
    assert told.endswith(b"}\n")
    line = json.loads(told)
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


def test_the_level_may_be_changed_while_it_is_written() -> None:
    drain = Lines()
    log = EventLog(Level.ERROR, drain, as_json)
    put = Event(MANIFEST_PUT, NOON, fields={"digest": "d", "destination": "r"})
    log(put)
    log.level = Level.INFO
    log(put)
    log.close()
    assert len(drain.taken) == 1


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
def libraries() -> Iterator[Lines]:
    """A log that hears the libraries, until the test is over."""
    root, drain = logging.getLogger(), Lines()
    level, handlers = root.level, root.handlers[:]
    root.handlers[:] = []
    log = EventLog(Level.INFO, drain, as_json)
    hear_libraries(log)
    yield drain
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    log.close()


def told(drain: Lines) -> list[tuple[str, str, str]]:
    found = [json.loads(line) for line in drain.taken]
    return [(line["event"], line["level"], line["message"]) for line in found]


def test_what_libraries_log_is_told_from_warnings_up(libraries: Lines) -> None:
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


def test_a_librarys_exception_is_told_with_its_trace_on_the_same_line(libraries: Lines) -> None:
    try:
        int("lost")
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed")

    (line,) = libraries.taken
    assert json.loads(line)["logger"] == "asyncio"
    assert json.loads(line)["traceback"].endswith("int() with base 10: 'lost'")


def test_a_librarys_broken_record_is_told_as_it_is() -> None:
    drain = Lines()
    log = EventLog(Level.INFO, drain, as_json)
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%d of %d", ("one",), None)

    LibraryHandler(log).handle(record)

    log.close()
    assert told(drain) == [("library.message", "warning", "x: %d of %d")]


def test_pythons_own_warnings_are_told(libraries: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    ((event, level, message),) = told(libraries)
    assert (event, level) == ("library.message", "warning")
    assert message.startswith("py.warnings: ")
    assert "old ways" in message


# ------------------------------------------------------------------------------------------------ what is too much


TIGHT = Allowance(in_all=Pace(10, 0), of_a_kind=Pace(3, 0))


def test_what_was_held_back_is_told_once_an_interval_with_its_kinds() -> None:
    drain = Lines()
    log = EventLog(Level.INFO, drain, as_json, allowance=TIGHT, telling=0.05)
    put = Event(MANIFEST_PUT, NOON, fields={"digest": "d", "destination": "r"})
    for _ in range(100):
        log(put)
    for _ in range(5):
        log(failed("no"))
    wait_until(lambda: len(drain.taken) == 7)
    log.close()
    assert [json.loads(line)["event"] for line in drain.taken[:6]] == ["manifest.put"] * 3 + ["delivery.failed"] * 3
    line = json.loads(drain.taken[6])
    assert (line["event"], line["level"], line["lines"]) == ("log.suppressed", "warning", 99)
    assert line["kinds"] == "manifest.put 97, delivery.failed 2"


def test_what_was_held_back_last_is_told_at_the_end() -> None:
    drain = Lines()
    log = EventLog(Level.INFO, drain, as_json, allowance=TIGHT)
    for _ in range(4):
        log(failed("no"))
    log.close()
    log.close()
    assert [json.loads(line)["event"] for line in drain.taken][3:] == ["log.suppressed"]


def test_a_log_nobody_reads_loses_what_tells_least_first_and_says_so_when_it_is_read_again() -> None:
    drain = Shut()
    log = EventLog(Level.INFO, drain, as_json, telling=0.05)
    long = Event(MANIFEST_PUT, NOON, fields={"digest": "d" * 10_000, "destination": "r"})
    for _ in range(1000):
        log(long)
    log(failed("this is what it is kept for"))
    drain.open()
    wait_until(lambda: b"log.lost" in b"".join(drain.taken[-1:]))
    log.close()
    *_, last, lost = [json.loads(line) for line in drain.taken]
    assert last["reason"] == "this is what it is kept for"
    assert lost["lines"] == 1000 - (len(drain.taken) - 2)


def test_a_log_that_could_not_be_written_says_so_once_it_can() -> None:
    drain = Broken()
    log = EventLog(Level.INFO, drain, as_json, telling=0.05)
    log(failed("nobody knows"))
    assert drain.refused.wait(10)
    drain.mended = True
    log(failed("somebody does"))
    wait_until(lambda: len(drain.taken) == 2)
    log.close()
    known, lost = [json.loads(line) for line in drain.taken]
    assert (known["reason"], lost["event"], lost["lines"]) == ("somebody does", "log.lost", 1)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@pytest.mark.parametrize("render", [as_json, as_datagram])
def test_an_event_costs_little(render: Render) -> None:
    """Events come by the thousand in a busy second; the bound is some twenty times what one takes."""
    log = EventLog(Level.INFO, Lines(), render)
    event = Event(
        JOB_SUBMITTED, NOON, job="a", fields={"source": "oci:/srv/app:1", "destinations": 2, "size": 10, "uid": 0}
    )
    start = datetime.now(UTC)
    for _ in range(1000):
        log(event)

    assert datetime.now(UTC) - start < timedelta(seconds=0.5)
    log.close()
