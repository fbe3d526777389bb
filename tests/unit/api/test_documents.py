from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from pushd.api.documents import encode, event_document
from pushd.job import JobSpec
from pushd.telemetry.events import CATALOGUE, JOB_FINISHED, TRANSFER_PROGRESS, Event
from tests.fakes.jobs import NOON, FakeJobs

if TYPE_CHECKING:
    from pushd.telemetry.events import Kind, Value

COMMON = {"seq", "at", "event", "level", "message", "job", "delivery"}


def test_a_job_is_its_fields_under_their_names_with_times_in_utc() -> None:
    spec = JobSpec(source="oci:/x", destinations=("a/b:1",), labels=MappingProxyType({"build": "1"}))

    document = json.loads(encode(FakeJobs().add("job000000000", spec)))

    assert document["created_at"] == "2026-07-01T12:00:00Z"
    assert (document["state"], document["finished_at"], document["labels"]) == ("queued", None, {"build": "1"})
    assert document["deliveries"][0]["transfers"][0] == {
        "digest": f"sha256:{'ab' * 32}",
        "media_type": "x/y",
        "size": 10,
        "state": "pending",
        "done": 0,
        "sent": 0,
        "resumed": 0,
    }


def test_an_event_is_one_line_with_its_fields_flat() -> None:
    fields: dict[str, Value] = {"state": "succeeded", "seconds": 1.5, "size": 10}

    line = event_document(Event(JOB_FINISHED, NOON, job="j", fields=fields, seq=7))

    assert b"\n" not in line
    assert json.loads(line) == {
        "seq": 7,
        "at": "2026-07-01T12:00:00Z",
        "event": "job.finished",
        "level": "info",
        "message": "job j succeeded in 1.5 s",
        "job": "j",
        "delivery": None,
        "state": "succeeded",
        "seconds": 1.5,
        "size": 10,
    }


def test_progress_has_no_number() -> None:
    progress = Event(TRANSFER_PROGRESS, NOON, job="j", delivery=1, fields={"digest": "d", "done": 1, "size": 2})

    assert "seq" not in json.loads(event_document(progress))


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_no_field_of_the_catalogue_hides_a_common_one(kind: Kind) -> None:
    assert not COMMON & kind.fields


def test_text_that_utf8_cannot_carry_is_shown_all_the_same() -> None:
    document = {"\udc80": ["\udcff", MappingProxyType({"a": "\ud800"})], "n": 1, "at": NOON}

    assert json.loads(encode(document)) == {"?": ["?", {"a": "?"}], "n": 1, "at": "2026-07-01T12:00:00Z"}


def test_what_has_no_form_in_json_is_a_defect_not_a_guess() -> None:
    with pytest.raises(TypeError, match="object has no form in JSON"):
        encode(object())
