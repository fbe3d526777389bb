"""What an upload session does when something breaks, and how it takes up where an earlier life left it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RegistryError
from pushd.oci.reply import Reply
from pushd.oci.upload import (
    Broken,
    Cancel,
    Done,
    Fail,
    Form,
    Head,
    Landing,
    Open,
    Patch,
    Put,
    Rehash,
    Save,
    Single,
    Status,
    Stream,
    Wait,
)
from tests.fakes.script import (
    CHUNKED,
    CREATED,
    DELETED,
    DIGEST,
    GONE,
    MISSING,
    SUBJECT,
    THERE,
    Fails,
    Restarts,
    Waits,
    at,
    broken,
    checkpoint,
    opened,
    play,
    refused,
    stands,
    took,
    upload,
)

if TYPE_CHECKING:
    from pushd.oci.upload import (
        Action,
        Outcome,
        UploadSession,
    )
    from tests.fakes.script import (
        Step,
    )

STREAMED = replace(CHUNKED, forms=(Form.STREAMED,))
MONOLITHIC = replace(CHUNKED, forms=(Form.MONOLITHIC,))
LADDER = replace(CHUNKED, forms=(Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC))

BEGIN: tuple[Step, ...] = ((Head(DIGEST), MISSING), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))
FIRST_CHUNK: tuple[Step, ...] = (*BEGIN, (Patch(at(1), 0, 10), took(2, 10)), (Save(checkpoint(2, 10)), None))
"""A cold start, and the first ten bytes."""


def over_again(form: Form = Form.CHUNKED, code: Code = Code.REGISTRY_UPLOAD_LOST) -> tuple[Step, ...]:
    """The session was lost: the disk forgets it, and the blob starts over."""
    return ((Save(None), None), (Restarts(form, code), None), (Rehash(0), None))


# ------------------------------------------------------------------------------------------------ a broken chunk


@pytest.mark.parametrize("got", [10, 13, 20], ids=["nothing of it", "part of it", "all of it"])
def test_after_a_break_the_registry_says_where_it_goes_on(got: int) -> None:
    session = play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED, 1.0), None),
        (Status(at(2)), stands(3, got)),
        (Save(checkpoint(3, got)), None),
        (Rehash(got), None),
        (Patch(at(3), got, min(got + 10, 30)), took(4, min(got + 10, 30))),
    )
    assert session.interruptions == 1


def test_a_streamed_upload_goes_on_in_the_middle() -> None:
    play(
        upload(30, STREAMED),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0, form=Form.STREAMED)), None),
        (Stream(at(1), 0, 30), broken(Code.REGISTRY_STALLED)),
        (Waits(Code.REGISTRY_STALLED, 1.0), None),
        (Status(at(1)), stands(2, 17)),
        (Save(checkpoint(2, 17, form=Form.STREAMED)), None),
        (Rehash(17), None),
        (Stream(at(2), 17, 30), took(3, 30)),
        (Save(checkpoint(3, 30, form=Form.STREAMED)), None),
        (Put(at(3), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_status_that_came_too_early_is_corrected_by_the_416_that_follows() -> None:
    """distribution 3.x says too little while it still drains the broken request."""
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED, 1.0), None),
        (Status(at(2)), stands(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Patch(at(3), 10, 20), refused(416)),
        (Waits(Code.REGISTRY_REFUSED, 2.0), None),
        (Status(at(3)), stands(4, 16)),
        (Save(checkpoint(4, 16)), None),
        (Rehash(16), None),
        (Patch(at(4), 16, 26), took(5, 26)),
    )


def test_a_416_that_brings_a_new_location_is_asked_about_there_once_that_is_saved() -> None:
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), Reply(416, location=at(3), range="0-15")),
        (Save(checkpoint(3, 10)), None),
        (Waits(Code.REGISTRY_REFUSED, 1.0), None),
        (Status(at(3)), stands(4, 16)),
        (Save(checkpoint(4, 16)), None),
        (Rehash(16), None),
        (Patch(at(4), 16, 26), took(5, 26)),
    )


@pytest.mark.parametrize("status", [400, 404, 416])
def test_a_session_that_did_not_survive_the_break_is_replaced(status: int) -> None:
    """distribution 2.8 accepts no Location any more, zot has deleted the session."""
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Status(at(2)), refused(status, "BLOB_UPLOAD_UNKNOWN")),
        *over_again(),
        (Open(), opened(5)),
        (Save(checkpoint(5, 0)), None),
        (Patch(at(5), 0, 10), took(6, 10)),
    )


@pytest.mark.parametrize(
    "reply",
    [GONE, refused(404), refused(404, "BLOB_UPLOAD_INVALID"), refused(400, "BLOB_UPLOAD_INVALID")],
    ids=["unknown", "bare 404", "invalid 404", "invalid 400"],
)
def test_a_session_that_is_unknown_to_a_chunk_is_replaced(reply: Reply) -> None:
    """Replicas that do not share their secret say 404; ACR says BLOB_UPLOAD_INVALID to a chunk sent again."""
    play(upload(30), *FIRST_CHUNK, (Patch(at(2), 10, 20), reply), *over_again(), (Open(), opened(5)))


def test_a_session_unknown_to_its_very_first_chunk_is_replaced_when_there_is_no_other_form() -> None:
    play(upload(30), *BEGIN, (Patch(at(1), 0, 10), GONE), *over_again(), (Open(), opened(5)))


def test_a_session_unknown_to_its_first_chunk_after_a_break_is_not_taken_for_a_refusal_of_the_form() -> None:
    play(
        upload(30, LADDER),
        *BEGIN,
        (Patch(at(1), 0, 10), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Status(at(1)), stands(2, 0)),
        (Save(checkpoint(2, 0)), None),
        (Rehash(0), None),
        (Patch(at(2), 0, 10), GONE),
        *over_again(Form.CHUNKED),
    )


@pytest.mark.parametrize("header", [None, "nonsense", "0-30", "0-999"])
def test_a_status_that_cannot_be_true_makes_the_blob_start_over(header: str | None) -> None:
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Status(at(2)), Reply(204, location=at(3), range=header)),
        (Cancel(at(3)), DELETED),
        *over_again(),
        (Open(), opened(5)),
    )


def test_a_token_that_ended_while_the_body_travelled_costs_one_chunk() -> None:
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), refused(401, "UNAUTHORIZED")),
        (Waits(Code.REGISTRY_UNAUTHORIZED, 1.0), None),
        (Status(at(2)), stands(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Patch(at(3), 10, 20), took(4, 20)),
    )


def test_a_401_to_a_question_is_final() -> None:
    """It has no body, so the client has already asked again with a fresh token.

    The session stays where it is: another credential may be brought, and goes on with it.
    """
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), refused(401)),
        (Waits(Code.REGISTRY_UNAUTHORIZED), None),
        (Status(at(2)), refused(401)),
        Fails(Code.REGISTRY_UNAUTHORIZED),
    )


def test_chunks_that_are_unauthorized_again_and_again_are_final() -> None:
    session = play(upload(30), *FIRST_CHUNK)
    for pause in (1.0, 2.0, 4.0):
        play(
            session,
            (Patch(at(2), 10, 20), refused(401)),
            (Waits(Code.REGISTRY_UNAUTHORIZED, pause), None),
            (Status(at(2)), stands(2, 10)),
            (Save(checkpoint(2, 10)), None),
            (Rehash(10), None),
        )
    play(
        session,
        (Patch(at(2), 10, 20), refused(401)),
        Fails(Code.REGISTRY_UNAUTHORIZED),
    )


def test_an_error_that_cannot_pass_ends_it_and_leaves_nothing_behind() -> None:
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), broken(Code.REGISTRY_TLS)),
        (Cancel(at(2)), broken(Code.REGISTRY_TLS)),
        (Save(None), None),
        Fails(Code.REGISTRY_TLS),
    )


def test_the_only_byte_of_a_blob_that_may_or_may_not_be_there_is_settled_by_a_new_session() -> None:
    """`Range: 0-0` tells nothing then; what disagrees for ever is not gone on with, nor left for the next attempt.

    That is about the session, not about the form, which stays.
    """
    session = play(upload(1, replace(LADDER, retries=2)), *BEGIN)
    doubt: tuple[Step, ...] = (
        (Status(at(1)), stands(1, 0)),
        (Save(checkpoint(1, 0)), None),
        (Rehash(0), None),
    )
    play(
        session,
        (Patch(at(1), 0, 1), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        *doubt,
        (Patch(at(1), 0, 1), refused(416)),
        (Waits(Code.REGISTRY_REFUSED), None),
        *doubt,
        (Patch(at(1), 0, 1), refused(416)),
        (Cancel(at(1)), DELETED),
        *over_again(code=Code.REGISTRY_REFUSED),
        (Open(), opened(2)),
        (Save(checkpoint(2, 0)), None),
        (Patch(at(2), 0, 1), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
    )


# ------------------------------------------------------------------------------------------------------- patience


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (broken(), Code.REGISTRY_INTERRUPTED),
        (broken(Code.REGISTRY_UNREACHABLE), Code.REGISTRY_UNREACHABLE),
        (refused(500), Code.REGISTRY_UNAVAILABLE),
        (refused(503), Code.REGISTRY_UNAVAILABLE),
        (refused(429, "TOOMANYREQUESTS"), Code.REGISTRY_THROTTLED),
        (refused(408), Code.REGISTRY_UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("asked", [Head, Open, Status])
def test_a_question_that_was_not_answered_is_asked_again_with_growing_pauses_and_in_the_end_left(
    asked: type[Action], outcome: Outcome, code: Code
) -> None:
    session = upload(30)
    if asked is Open:
        session.feed(MISSING)
    if asked is Status:
        session = play(upload(30, checkpoint=checkpoint(2, 10)), (Head(DIGEST), MISSING))
    for pause in (1.0, 2.0, 4.0):
        assert isinstance(session.action, asked)
        session.feed(outcome)
        play(session, (Waits(code, pause), None))
    assert isinstance(session.action, asked)
    session.feed(outcome)
    play(session, Fails(code))


def test_a_chunk_is_tried_so_often_and_then_session_and_checkpoint_are_left_for_the_next_attempt() -> None:
    session = play(upload(30), *FIRST_CHUNK)
    for pause in (1.0, 2.0, 4.0):
        play(
            session,
            (Patch(at(2), 10, 20), refused(503)),
            (Waits(Code.REGISTRY_UNAVAILABLE, pause), None),
            (Status(at(2)), stands(2, 10)),
            (Save(checkpoint(2, 10)), None),
            (Rehash(10), None),
        )
    play(session, (Patch(at(2), 10, 20), refused(503)), Fails(Code.REGISTRY_UNAVAILABLE))


def test_a_byte_of_progress_renews_the_patience() -> None:
    session = play(upload(30), *FIRST_CHUNK)
    for got in range(10, 16):
        play(
            session,
            (Patch(at(2), got, got + 10), broken()),
            (Waits(Code.REGISTRY_INTERRUPTED, 1.0), None),
            (Status(at(2)), stands(2, got + 1)),
            (Save(checkpoint(2, got + 1)), None),
            (Rehash(got + 1), None),
        )


def test_a_byte_of_progress_in_a_new_session_renews_the_patience_as_well() -> None:
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED, 1.0), None),
        (Status(at(2)), GONE),
        *over_again(),
        (Open(), opened(5)),
        (Save(checkpoint(5, 0)), None),
        (Patch(at(5), 0, 10), took(6, 10)),
        (Save(checkpoint(6, 10)), None),
        (Patch(at(6), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED, 1.0), None),
    )


def test_bytes_that_were_there_before_are_no_progress() -> None:
    """A registry of two minds, each of which has other bytes, is not gone on with for ever."""
    session = play(upload(30), *FIRST_CHUNK)
    for _ in range(3):
        play(
            session,
            (Patch(at(2), 10, 20), took(2, 5)),
            (Save(checkpoint(2, 5)), None),
            (Waits(Code.REGISTRY_UPLOAD_LOST), None),
            (Status(at(2)), stands(2, 10)),
            (Save(checkpoint(2, 10)), None),
            (Rehash(10), None),
        )
    play(
        session,
        (Patch(at(2), 10, 20), took(2, 5)),
        (Save(checkpoint(2, 5)), None),
        (Cancel(at(2)), DELETED),
        *over_again(),
    )


@pytest.mark.parametrize(("rng", "pauses"), [(0.0, (1.0, 2.0, 3.0)), (0.5, (1.5, 3.0, 4.5))])
def test_pauses_double_are_spread_and_stay_below_the_longest(rng: float, pauses: tuple[float, ...]) -> None:
    session = upload(30, replace(CHUNKED, pause_max=6.0), rng=rng)
    for pause in pauses:
        play(session, (Head(DIGEST), broken()), (Waits(Code.REGISTRY_INTERRUPTED, pause), None))


def test_a_registry_that_names_a_time_is_left_alone_so_long() -> None:
    play(
        upload(30),
        (Head(DIGEST), refused(429, retry_after=17.0)),
        (Waits(Code.REGISTRY_THROTTLED, 17.0), None),
        (Head(DIGEST), refused(503, retry_after=0.0)),
        (Waits(Code.REGISTRY_UNAVAILABLE, 2.0), None),
        (Head(DIGEST), refused(503, retry_after=60.0)),
        (Waits(Code.REGISTRY_UNAVAILABLE, 60.0), None),
        (Head(DIGEST), MISSING),
    )


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_names_a_time_too_far_off_ends_the_attempt_with_it_and_keeps_the_session(status: int) -> None:
    session = play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), refused(status, retry_after=61.0)),
    )
    assert isinstance(session.action, Fail)
    assert session.action.error.retryable
    assert session.action.error.retry_after == 61.0


def test_a_throttled_put_is_waited_for_and_not_repeated_blindly() -> None:
    play(
        upload(10),
        *FIRST_CHUNK,
        (Put(at(2), DIGEST), refused(429, retry_after=5.0)),
        (Waits(Code.REGISTRY_THROTTLED, 5.0), None),
        (Head(DIGEST), MISSING),
        (Status(at(2)), stands(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Put(at(3), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


# --------------------------------------------------------------------------------------------- a put in doubt


@pytest.mark.parametrize(
    "lost",
    [broken(), refused(404), refused(416), refused(500), refused(401), refused(400, "BLOB_UPLOAD_INVALID")],
    ids=["broken", "404", "416", "500", "401", "400 invalid"],
)
def test_a_put_whose_reply_was_lost_or_odd_may_have_been_done(lost: Reply | Broken) -> None:
    """Nexus answers 400 BLOB_UPLOAD_INVALID when one digest goes to two repositories at once."""
    session = play(upload(10), *FIRST_CHUNK, (Put(at(2), DIGEST), lost))
    assert isinstance(session.action, Wait)
    session.feed(None)
    play(session, (Head(DIGEST), THERE), Done(Landing.UPLOADED))
    assert session.interruptions == 1


def test_a_session_in_doubt_is_left_alone_as_long_as_the_registry_asks() -> None:
    play(
        upload(10),
        *FIRST_CHUNK,
        (Put(at(2), DIGEST), refused(503, "BLOB_UPLOAD_INVALID", retry_after=9.0)),
        (Waits(Code.REGISTRY_UPLOAD_LOST, 9.0), None),
        (Head(DIGEST), THERE),
        Done(Landing.UPLOADED),
    )


def test_a_put_that_was_not_done_is_repeated_once_the_registry_has_all_bytes() -> None:
    play(
        upload(10),
        *FIRST_CHUNK,
        (Put(at(2), DIGEST), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), MISSING),
        (Status(at(2)), stands(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Put(at(3), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_put_that_shows_bytes_missing_gets_them_sent() -> None:
    play(
        upload(10),
        *FIRST_CHUNK,
        (Put(at(2), DIGEST), refused(500)),
        (Waits(Code.REGISTRY_UNAVAILABLE), None),
        (Head(DIGEST), MISSING),
        (Status(at(2)), stands(3, 6)),
        (Save(checkpoint(3, 6)), None),
        (Rehash(6), None),
        (Patch(at(3), 6, 10), took(4, 10)),
        (Save(checkpoint(4, 10)), None),
        (Put(at(4), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_put_after_which_neither_blob_nor_session_is_there_starts_over() -> None:
    play(
        upload(10),
        *FIRST_CHUNK,
        (Put(at(2), DIGEST), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), MISSING),
        (Status(at(2)), GONE),
        *over_again(),
        (Open(), opened(5)),
    )


def test_a_put_that_never_succeeds_though_all_is_there_is_given_up() -> None:
    session = play(upload(10), *FIRST_CHUNK)
    for _ in range(3):
        play(session, (Put(at(2), DIGEST), refused(500)))
        assert isinstance(session.action, Wait)
        session.feed(None)
        play(
            session,
            (Head(DIGEST), MISSING),
            (Status(at(2)), stands(2, 10)),
            (Save(checkpoint(2, 10)), None),
            (Rehash(10), None),
        )
    play(session, (Put(at(2), DIGEST), refused(500)), Fails(Code.REGISTRY_UNAVAILABLE))


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_digest_the_registry_does_not_agree_with_starts_the_blob_over(status: int) -> None:
    """Our hash was right, so it was damaged there or on the way. distribution keeps the session."""
    play(
        upload(10, LADDER),
        *FIRST_CHUNK,
        (Put(at(2), DIGEST), refused(status, "DIGEST_INVALID")),
        (Cancel(at(2)), DELETED),
        *over_again(code=Code.REGISTRY_DIGEST_MISMATCH),
        (Open(), opened(5)),
    )


def test_a_digest_the_registry_never_agrees_with_fails_the_push() -> None:
    session = play(upload(0), (Head(DIGEST), MISSING))
    for life in range(2):
        play(
            session,
            (Open(), opened(life)),
            (Save(checkpoint(life, 0)), None),
            (Put(at(life), DIGEST), refused(400, "DIGEST_INVALID")),
            (Cancel(at(life)), DELETED),
            *over_again(code=Code.REGISTRY_DIGEST_MISMATCH),
        )
    play(
        session,
        (Open(), opened(9)),
        (Save(checkpoint(9, 0)), None),
        (Put(at(9), DIGEST), refused(400, "DIGEST_INVALID")),
        (Cancel(at(9)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_DIGEST_MISMATCH),
    )


@pytest.mark.parametrize("status", [403, 413])
def test_a_put_that_is_refused_for_good_fails_the_push(status: int) -> None:
    session = play(
        upload(10), *FIRST_CHUNK, (Put(at(2), DIGEST), refused(status)), (Cancel(at(2)), DELETED), (Save(None), None)
    )
    assert isinstance(session.action, Fail)
    assert not session.action.error.retryable


# --------------------------------------------------------------------------------------- a monolithic put in doubt

WHOLE: tuple[Step, ...] = ((Head(DIGEST), MISSING), (Open(), opened(1)))


@pytest.mark.parametrize("lost", [broken(), refused(500), refused(401)], ids=["broken", "500", "401"])
def test_a_monolithic_put_in_doubt_may_have_been_done(lost: Reply | Broken) -> None:
    session = play(upload(10, MONOLITHIC), *WHOLE, (Single(at(1), DIGEST, 10), lost))
    assert isinstance(session.action, Wait)
    session.feed(None)
    play(session, (Head(DIGEST), THERE), Done(Landing.UPLOADED))


def test_a_monolithic_put_that_was_not_done_is_sent_whole_in_a_new_session() -> None:
    """What arrived of it cannot be gone on with: registries append whatever follows."""
    play(
        upload(10, MONOLITHIC),
        *WHOLE,
        (Single(at(1), DIGEST, 10), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), MISSING),
        (Cancel(at(1)), DELETED),
        (Restarts(Form.MONOLITHIC, Code.REGISTRY_INTERRUPTED), None),
        (Rehash(0), None),
        (Open(), opened(2)),
        (Single(at(2), DIGEST, 10), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_monolithic_put_with_a_damaged_body_is_sent_again_in_the_same_form() -> None:
    play(
        upload(10, replace(LADDER, single_max=10)),
        *WHOLE,
        (Single(at(1), DIGEST, 10), refused(400, "DIGEST_INVALID")),
        (Cancel(at(1)), DELETED),
        (Restarts(Form.MONOLITHIC, Code.REGISTRY_DIGEST_MISMATCH), None),
        (Rehash(0), None),
        (Open(), opened(2)),
    )


# ------------------------------------------------------------------------------------------------------ restarts


def test_a_session_that_is_lost_again_and_again_is_given_up_and_may_be_tried_later() -> None:
    """404 is about the session here, not about the repository: a person is not sent to check its name."""
    session = play(upload(30), (Head(DIGEST), MISSING))
    for life in range(2):
        play(
            session,
            (Open(), opened(life)),
            (Save(checkpoint(life, 0)), None),
            (Patch(at(life), 0, 10), refused(404)),
            *over_again(),
        )
    play(
        session,
        (Open(), opened(9)),
        (Save(checkpoint(9, 0)), None),
        (Patch(at(9), 0, 10), refused(404)),
        (Save(None), None),
        Fails(Code.REGISTRY_UPLOAD_LOST),
    )


def test_a_session_that_is_of_no_use_is_not_left_for_the_next_attempt() -> None:
    session = play(upload(30, replace(CHUNKED, restarts=0)), *FIRST_CHUNK)
    play(
        session,
        (Patch(at(2), 10, 20), took(3, 25)),
        (Cancel(at(3)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_UPLOAD_LOST),
    )


def test_a_repository_that_vanished_is_found_out_when_the_blob_starts_over() -> None:
    play(
        upload(30),
        *FIRST_CHUNK,
        (Patch(at(2), 10, 20), refused(404, "NAME_UNKNOWN")),
        *over_again(),
        (Open(), refused(404, "NAME_UNKNOWN")),
        Fails(Code.REGISTRY_NOT_FOUND),
    )


# ------------------------------------------------------------------------------------- taking up an earlier life


def test_an_earlier_session_is_gone_on_with_where_the_registry_says() -> None:
    """The saved offset is a hint; chunk size and form are the session's own."""
    session = play(
        upload(30, checkpoint=checkpoint(7, 14, chunk_size=7)),
        (Head(DIGEST), MISSING),
        (Status(at(7)), stands(8, 16)),
        (Save(checkpoint(8, 16, chunk_size=7)), None),
        (Rehash(16), None),
        (Patch(at(8), 16, 23), took(9, 23)),
        (Save(checkpoint(9, 23, chunk_size=7)), None),
        (Patch(at(9), 23, 30), took(10, 30)),
        (Save(checkpoint(10, 30, chunk_size=7)), None),
        (Put(at(10), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.resumed == 16


def test_an_earlier_session_keeps_its_form() -> None:
    session = play(
        upload(30, checkpoint=checkpoint(7, 14, form=Form.STREAMED)),
        (Head(DIGEST), MISSING),
        (Status(at(7)), stands(8, 14)),
        (Save(checkpoint(8, 14, form=Form.STREAMED)), None),
        (Rehash(14), None),
        (Stream(at(8), 14, 30), took(9, 30)),
    )
    assert session.form is Form.STREAMED


def test_an_earlier_session_that_has_all_bytes_is_closed_once_they_went_through_the_hash() -> None:
    play(
        upload(30, checkpoint=checkpoint(7, 20)),
        (Head(DIGEST), MISSING),
        (Status(at(7)), stands(8, 30)),
        (Save(checkpoint(8, 30)), None),
        (Rehash(30), None),
        (Put(at(8), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_the_session_of_a_blob_that_landed_before_the_restart_is_put_away() -> None:
    session = play(
        upload(30, checkpoint=checkpoint(7, 20)),
        (Head(DIGEST), THERE),
        (Cancel(at(7)), DELETED),
        (Save(None), None),
        Done(Landing.PRESENT),
    )
    assert session.resumed == 0


def test_an_earlier_session_that_has_expired_is_replaced() -> None:
    session = play(
        upload(30, checkpoint=checkpoint(7, 20, chunk_size=7), mount_from="team/base"),
        (Head(DIGEST), MISSING),
        (Status(at(7)), GONE),
        *over_again(),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0)), None),
        (Patch(at(1), 0, 10), took(2, 10)),
    )
    assert session.resumed == 0


def test_an_earlier_session_with_more_than_the_blob_is_replaced() -> None:
    play(
        upload(30, checkpoint=checkpoint(7, 20)),
        (Head(DIGEST), MISSING),
        (Status(at(7)), stands(8, 31)),
        (Cancel(at(8)), DELETED),
        *over_again(),
    )


def test_an_earlier_session_that_now_refuses_its_form_is_replaced_by_the_next_form() -> None:
    play(
        upload(30, LADDER, checkpoint=checkpoint(7, 0)),
        (Head(DIGEST), MISSING),
        (Status(at(7)), stands(8, 0)),
        (Save(checkpoint(8, 0)), None),
        (Rehash(0), None),
        (Patch(at(8), 0, 10), refused(413)),
        (Cancel(at(8)), DELETED),
        *over_again(Form.STREAMED, Code.REGISTRY_REFUSED),
    )


def test_an_earlier_session_in_a_form_no_longer_allowed_falls_nowhere() -> None:
    play(
        upload(30, MONOLITHIC, checkpoint=checkpoint(7, 0)),
        (Head(DIGEST), MISSING),
        (Status(at(7)), stands(8, 0)),
        (Save(checkpoint(8, 0)), None),
        (Rehash(0), None),
        (Patch(at(8), 0, 10), refused(413)),
        (Cancel(at(8)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_REFUSED),
    )


def test_an_earlier_session_that_cannot_be_asked_now_is_left_as_it_is() -> None:
    session: UploadSession = upload(30, replace(CHUNKED, retries=0), checkpoint=checkpoint(7, 20))
    play(session, (Head(DIGEST), MISSING), (Status(at(7)), broken()), Fails(Code.REGISTRY_INTERRUPTED))


def test_what_is_over_deletes_an_earlier_session_it_never_came_to_ask_for() -> None:
    play(
        upload(30, checkpoint=checkpoint(7, 20)),
        (Head(DIGEST), refused(403)),
        (Cancel(at(7)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_DENIED),
    )


def test_the_error_of_a_broken_connection_ends_it_unchanged() -> None:
    error = RegistryError(Code.REGISTRY_UNREACHABLE, SUBJECT, "nobody listens", retry_after=100.0)
    session = play(upload(30), (Head(DIGEST), Broken(error)))
    assert isinstance(session.action, Fail)
    assert session.action.error is error
