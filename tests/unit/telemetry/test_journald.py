"""The journal's own protocol, against a socket that speaks its side."""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.telemetry import journald
from pushd.telemetry.events import (
    CATALOGUE,
    CREDENTIAL_STORED,
    DAEMON_FAULT,
    DELIVERY_FAILED,
    DISK_RELIEVED,
    TRANSFER_STARTED,
    UPLOAD_RESTARTED,
    Event,
    Level,
)
from pushd.telemetry.journald import Journal, as_datagram, is_journal, message_id, priority
from pushd.telemetry.logging import EventLog, open_log
from tests.fakes.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.telemetry.events import Value

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def entry(datagram: bytes) -> dict[str, str]:
    """Read a datagram as the journal does."""
    found: dict[str, str] = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, plain, value = line.partition(b"=")
        if not plain:
            (length,) = struct.unpack("<Q", datagram[:8])
            value, end, datagram = datagram[8 : 8 + length], datagram[8 + length : 9 + length], datagram[9 + length :]
            assert end == b"\n"
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


def told(event: Event) -> dict[str, str]:
    drain = Lines()
    log = EventLog(Level.DEBUG, drain, as_datagram)
    log(event)
    log.close()
    (datagram,) = drain.taken
    return entry(datagram)


def failed(reason: str) -> Event:
    fields: dict[str, Value] = {
        "destination": "r.example/app:1",
        "registry": "r.example",
        "reason": reason,
        "attempt": 2,
    }
    return Event(DELIVERY_FAILED, NOON, job="a", delivery=3, fields=fields)


def test_an_event_is_fields_that_journalctl_finds() -> None:
    assert told(failed("no")) == {
        "MESSAGE": "to r.example/app:1 failed: no",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "pushd",
        "MESSAGE_ID": message_id("delivery.failed"),
        "PUSHD_EVENT": "delivery.failed",
        "PUSHD_JOB": "a",
        "PUSHD_DELIVERY": "3",
        "PUSHD_DESTINATION": "r.example/app:1",
        "PUSHD_REGISTRY": "r.example",
        "PUSHD_REASON": "no",
        "PUSHD_ATTEMPT": "2",
    }


def test_a_message_id_is_what_uuid5_makes_of_the_name_and_never_changes() -> None:
    assert message_id("delivery.failed") == uuid.uuid5(journald.NAMESPACE, "delivery.failed").hex
    assert message_id("delivery.failed") == "f68d39e5c1de5f7dbd20552438957635"
    assert len({message_id(name) for name in CATALOGUE}) == len(CATALOGUE)


def test_what_has_line_breaks_is_told_with_its_length_and_the_sentence_stays_one_line() -> None:
    found = told(failed("the registry said:\n\tno\nPRIORITY=0\n\x1b[2J"))
    assert found["PUSHD_REASON"] == "the registry said:\n\tno\nPRIORITY=0\n\x1b[2J"
    assert found["MESSAGE"] == "to r.example/app:1 failed: the registry said: no PRIORITY=0 [2J"
    assert found["PRIORITY"] == "3"


@given(st.text())
def test_no_text_from_outside_becomes_a_field(text: str) -> None:
    found = told(failed(text))
    assert found.keys() == told(failed("no")).keys()
    assert found["PUSHD_REASON"] == text.encode(errors="replace").decode()


def test_what_has_no_value_is_left_out_and_a_truth_is_told_in_small_letters() -> None:
    facts = {"digest": "d", "destination": "r", "reason": "x", "advice": None}
    assert "PUSHD_ADVICE" not in told(Event(UPLOAD_RESTARTED, NOON, fields=facts))
    started = Event(TRANSFER_STARTED, NOON, fields={"digest": "d", "destination": "r", "resumed": True})
    assert told(started)["PUSHD_RESUMED"] == "true"


def test_no_secret_of_a_url_reaches_the_journal() -> None:
    found = told(failed("https://ada:CANARY@r.example/v2/a/blobs/uploads/1?_state=CANARY said 404"))
    assert "CANARY" not in "".join(found.values())


def test_priorities_are_of_syslog_and_what_is_notable_stands_out() -> None:
    assert priority(DELIVERY_FAILED) == priority(DAEMON_FAULT) == 3
    assert (CREDENTIAL_STORED.level, priority(CREDENTIAL_STORED)) == (Level.INFO, 5)
    assert priority(DISK_RELIEVED) == 6
    assert {priority(kind) for kind in CATALOGUE.values()} == {3, 4, 5, 6, 7}


@pytest.mark.parametrize("name", sorted({field for kind in CATALOGUE.values() for field in kind.fields}))
def test_every_field_has_a_name_the_journal_takes(name: str) -> None:
    assert name.isascii()
    assert name.replace("_", "").isalnum()
    assert len(f"PUSHD_{name}") <= 64


# ---------------------------------------------------------------------------------------------------- the socket


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


class Served:
    """The journal's side of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(30)

    def next(self) -> dict[str, str]:
        """Give the next entry, out of a datagram or of the sealed file that came in its place."""
        datagram, ancillary, _, _ = self._socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if not ancillary:
            return entry(datagram)
        assert datagram == b""
        ((_, kind, content),) = ancillary
        assert kind == socket.SCM_RIGHTS
        (descriptor,) = array.array("i", content)
        with os.fdopen(descriptor, "rb") as file:
            with pytest.raises(PermissionError):  # sealed: nobody changes it while the journal reads
                os.truncate(file.fileno(), 0)
            file.seek(0)
            return entry(file.read())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def served(address: str) -> Iterator[Served]:
    journal = Served(address)
    yield journal
    journal.close()


def test_an_event_is_one_datagram(served: Served, address: str) -> None:
    log = EventLog(Level.INFO, Journal(address), as_datagram)
    log(failed("no"))
    assert served.next()["PUSHD_REASON"] == "no"
    log.close()


def test_what_is_too_long_for_a_datagram_comes_as_a_sealed_file(
    served: Served, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journald, "_BUFFER", 4096)  # how long they may be differs from system to system
    log = EventLog(Level.INFO, Journal(address), as_datagram)
    long = "line\n" * 40_000
    log(failed(long))
    assert served.next()["PUSHD_REASON"] == long
    log.close()


def test_a_journal_that_does_not_read_holds_nobody_up_and_misses_nothing_that_there_is_room_for(
    served: Served, address: str
) -> None:
    log = EventLog(Level.INFO, Journal(address), as_datagram)
    count = 4000  # a queue of datagrams has some hundreds
    for number in range(count):
        log(failed(str(number)))
    assert [served.next()["PUSHD_REASON"] for _ in range(count)] == [str(number) for number in range(count)]
    log.close()


def test_a_journal_that_is_away_is_waited_for(address: str) -> None:
    log = EventLog(Level.INFO, Journal(address), as_datagram)
    log(failed("before it came"))
    journal = Served(address)
    assert journal.next()["PUSHD_REASON"] == "before it came"
    journal.close()
    Path(address).unlink()
    log(failed("after it went"))
    journal = Served(address)
    assert journal.next()["PUSHD_REASON"] == "after it went"
    log.close()
    journal.close()


# ----------------------------------------------------------------------------------------------------- the choice


def test_the_journal_is_spoken_to_only_where_standard_error_leads_there(
    monkeypatch: pytest.MonkeyPatch, served: Served, address: str
) -> None:
    monkeypatch.setattr(journald, "SOCKET", address)
    one, other = socket.socketpair()
    with one, other:
        found = os.fstat(one.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(environ, one.fileno())
        assert not is_journal(environ, other.fileno()), "inherited, and about another stream"
        assert not is_journal({}, one.fileno())
        assert not is_journal({"JOURNAL_STREAM": "nonsense"}, one.fileno())
        monkeypatch.setattr(journald, "SOCKET", f"{address}-gone")
        assert not is_journal(environ, one.fileno()), "JSON is better than nothing"
    assert not is_journal(environ, 1 << 20)


def test_a_log_on_a_pipe_is_json(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = open_log(Level.INFO, {}, descriptor=file.fileno())
        log(failed("no"))
        log.close()
    assert (tmp_path / "log").read_text().startswith('{"ts":"2026-07-01T12:00:00Z","level":"error",')


def test_a_log_on_a_terminal_is_words() -> None:
    reader, terminal = os.openpty()
    log = open_log(Level.INFO, {}, descriptor=terminal)
    log(failed("no"))
    log.close()
    assert b"ERROR   to r.example/app:1 failed: no  [delivery.failed] job=a" in os.read(reader, 4096)
    os.close(terminal)
    os.close(reader)


def test_events_of_many_threads_reach_the_journal_whole(served: Served, address: str) -> None:
    log = EventLog(Level.INFO, Journal(address), as_datagram)

    def tell(text: str) -> None:
        for _ in range(200):
            log(failed(text))

    threads = [threading.Thread(target=tell, args=(str(number) * 50,)) for number in range(4)]
    for thread in threads:
        thread.start()
    reasons = sorted(served.next()["PUSHD_REASON"] for _ in range(800))
    for thread in threads:
        thread.join()
    log.close()
    assert reasons == sorted(str(number) * 50 for number in range(4) for _ in range(200))
