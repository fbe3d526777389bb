"""Who tells a line never waits for whoever takes it."""

from __future__ import annotations

import os
import threading

from pushd.telemetry.outlet import Outlet, Stream
from tests.fakes.lines import Broken, Lines, Shut


def nothing() -> None:
    return None


def test_a_line_that_is_taken_at_once_goes_by_no_thread() -> None:
    drain = Lines()
    outlet = Outlet(drain, nothing)
    outlet.put(b"one\n")
    assert drain.taken == [b"one\n"]
    outlet.close(10)
    assert drain.closed


def test_lines_that_must_wait_keep_their_order() -> None:
    drain = Shut()
    outlet = Outlet(drain, nothing)
    lines = [b"%d\n" % number for number in range(100)]
    for line in lines:
        outlet.put(line)
    drain.open()
    outlet.close(10)
    assert drain.taken == lines


def test_no_line_overtakes_one_that_waits() -> None:
    drain = Shut()
    outlet = Outlet(drain, nothing)
    outlet.put(b"first\n")
    assert drain.asked.wait(10)
    outlet.put(b"second\n")
    assert drain.offered == 1, "what is offered now would go before the first"
    drain.open()
    outlet.close(10)
    assert drain.taken == [b"first\n", b"second\n"]


def test_what_nobody_takes_is_lost_and_counted_and_holds_nobody_up() -> None:
    drain = Shut()
    outlet = Outlet(drain, nothing)
    line = b"x" * 9_999 + b"\n"
    for _ in range(1000):
        outlet.put(line)
    assert outlet.crowded
    missed = outlet.take_lost()
    assert missed > 500
    assert outlet.take_lost() == 0
    drain.open()
    outlet.close(10)
    assert len(drain.taken) == 1000 - missed
    assert not outlet.crowded


def test_a_drain_that_fails_is_known_to_fail_until_it_takes_a_line_again() -> None:
    drain = Broken()
    turned = threading.Event()

    def remind() -> None:
        turned.set()

    outlet = Outlet(drain, remind)
    outlet.put(b"a\n")
    assert turned.wait(10)
    assert (outlet.failing, outlet.lost) == (True, 1)
    drain.mended = True
    outlet.put(b"b\n")
    outlet.close(10)
    assert (outlet.failing, drain.taken) == (False, [b"b\n"])


def test_closing_waits_no_longer_than_it_is_told_for_a_pipe_nobody_reads() -> None:
    drain = Shut()
    outlet = Outlet(drain, nothing)
    outlet.put(b"never\n")
    outlet.close(0.05)
    assert drain.taken == []
    outlet.put(b"too late\n")
    assert outlet.take_lost() == 1
    drain.open()
    outlet.close(10)


def test_a_reminder_comes_when_it_was_asked_for() -> None:
    calls = iter([0.01, None])
    reminded = threading.Semaphore(0)

    def remind() -> float | None:
        reminded.release()
        return next(calls, None)

    outlet = Outlet(Lines(), remind)
    outlet.call()
    assert reminded.acquire(timeout=10)
    assert reminded.acquire(timeout=10), "it was asked for again, after a hundredth of a second"
    outlet.close(10)


def test_a_stream_is_written_whole_though_a_pipe_takes_less_at_once() -> None:
    read, write = os.pipe()
    line = b"y" * 200_000 + b"\n"
    reader = threading.Thread(target=lambda: found.append(_all(read)))
    found: list[bytes] = []
    reader.start()
    assert Stream(write).write([line, b"end\n"]) == 0
    os.close(write)
    reader.join(10)
    os.close(read)
    assert found == [line + b"end\n"]


def test_a_stream_says_how_many_lines_it_could_not_write() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert Stream(full).write([b"a\n", b"b\n"]) == 2
    finally:
        os.close(full)


def _all(descriptor: int) -> bytes:
    content = b""
    while piece := os.read(descriptor, 65536):
        content += piece
    return content
