from __future__ import annotations

import json

from pushd.api.lines import PIECE, Lines, ndjson, sse
from pushd.telemetry.events import JOB_SUBMITTED, STREAM_BOOKMARK, TRANSFER_PROGRESS, Event
from tests.fakes.jobs import NOON


def submitted(seq: int, source: str = "oci:/x") -> Event:
    return Event(JOB_SUBMITTED, NOON, job="a", seq=seq, fields={"source": source, "destinations": 1, "size": 2})


def test_ndjson_is_an_object_a_line() -> None:
    line = ndjson(submitted(7, "a\nb\r"))

    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert (json.loads(line)["seq"], json.loads(line)["source"]) == (7, "a\nb\r")


def test_a_server_sent_event_has_its_number_its_name_and_the_same_object() -> None:
    event = submitted(7, "a\nb\r")

    number, name, data, *end = sse(event).split(b"\n")

    assert (number, name, end) == (b"id: 7", b"event: job.submitted", [b"", b""])
    assert data.startswith(b"data: ")
    assert json.loads(data[6:]) == json.loads(ndjson(event))


def test_progress_moves_no_readers_last_id_but_a_bookmark_does() -> None:
    progress = Event(TRANSFER_PROGRESS, NOON, job="j", delivery=1, fields={"digest": "d", "done": 1, "size": 2})

    assert sse(progress).startswith(b"event: transfer.progress\ndata: ")
    assert sse(Event(STREAM_BOOKMARK, NOON, seq=9, fields={"stream": "s"})).startswith(b"id: 9\nevent: stream.bookmark")


def test_an_event_is_encoded_once_for_all_who_read_it() -> None:
    encoded: list[Event] = []

    def form(event: Event) -> bytes:
        encoded.append(event)
        return ndjson(event)

    lines, events = Lines(form), [submitted(1), submitted(2)]

    first, second = (b"".join(lines.pieces(events)) for _ in range(2))

    assert first == second == ndjson(events[0]) + ndjson(events[1])
    assert encoded == events


def test_only_the_last_few_are_kept_and_none_is_taken_for_another() -> None:
    lines = Lines(ndjson)

    for number in range(5000):
        event = submitted(number)  # freed at once: but for what is kept, the next one has its identity
        assert b"".join(lines.pieces([event])) == ndjson(event)

    assert len(lines._kept) <= 1024


def test_a_few_events_are_one_piece_and_many_are_pieces_of_a_bounded_size() -> None:
    few, many = ([submitted(number, "x" * 1000) for number in range(count)] for count in (10, 200))

    assert len(list(Lines(ndjson).pieces(few))) == 1
    pieces = list(Lines(ndjson).pieces(many))
    assert b"".join(pieces) == b"".join(map(ndjson, many))
    assert all(PIECE // 2 < len(piece) <= PIECE for piece in pieces[:-1])


def test_an_event_larger_than_a_piece_is_one_of_its_own() -> None:
    large = submitted(1, "x" * (2 * PIECE))

    assert [len(piece) > PIECE for piece in Lines(ndjson).pieces([submitted(0), large, submitted(2)])] == [
        False,
        True,
        False,
    ]
    assert list(Lines(ndjson).pieces([])) == []
