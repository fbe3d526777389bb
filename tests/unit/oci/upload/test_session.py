"""How a blob gets into a repository while nothing breaks: the forms, the ladder between them, mounts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code
from pushd.oci.reply import Reply
from pushd.oci.upload import (
    Cancel,
    Done,
    Form,
    Head,
    Landing,
    Mount,
    Open,
    OpenIfAbsent,
    Patch,
    Put,
    Rehash,
    Save,
    Single,
    Status,
    Stream,
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
        Limits,
    )
    from tests.fakes.script import (
        Step,
    )

STREAMED = replace(CHUNKED, forms=(Form.STREAMED,))
MONOLITHIC = replace(CHUNKED, forms=(Form.MONOLITHIC,))
LADDER = replace(CHUNKED, forms=(Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC))

BEGIN: tuple[Step, ...] = ((Head(DIGEST), MISSING), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))
"""A cold start, to the point where the first byte may be sent."""


# ------------------------------------------------------------------------------------------------ the three forms


def test_a_cold_push_in_chunks_saves_every_location_and_ends_with_an_empty_put() -> None:
    session = play(
        upload(25),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), took(3, 20)),
        (Save(checkpoint(3, 20)), None),
        (Patch(at(3), 20, 25), took(4, 25)),
        (Save(checkpoint(4, 25)), None),
        (Put(at(4), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )
    assert (session.form, session.offset, session.resumed, session.interruptions) == (Form.CHUNKED, 25, 0, 0)


def test_a_blob_of_whole_chunks_ends_without_an_empty_chunk() -> None:
    play(
        upload(10),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
        (Put(at(2), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_streamed_push_sends_all_in_one_patch() -> None:
    session = play(
        upload(25, STREAMED),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0, form=Form.STREAMED)), None),
        (Stream(at(1), 0, 25), took(2, 25)),
        (Save(checkpoint(2, 25, form=Form.STREAMED)), None),
        (Put(at(2), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.form is Form.STREAMED


def test_a_monolithic_push_is_one_put_and_leaves_no_checkpoint() -> None:
    session = play(
        upload(25, MONOLITHIC),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Single(at(1), DIGEST, 25), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.form is Form.MONOLITHIC


@pytest.mark.parametrize("size", [0, 1, 20])
def test_a_small_blob_costs_three_requests(size: int) -> None:
    play(
        upload(size, replace(LADDER, single_max=20)),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Single(at(1), DIGEST, size), CREATED),
        Done(Landing.UPLOADED),
    )


@pytest.mark.parametrize("form", [Form.CHUNKED, Form.STREAMED])
def test_an_empty_blob_is_closed_without_a_byte_sent(form: Form) -> None:
    play(
        upload(0, replace(CHUNKED, forms=(form,))),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0, form=form)), None),
        (Put(at(1), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_blob_of_one_byte_is_there_when_the_range_says_0_0() -> None:
    """`0-0` is what an empty session says as well; after a byte was taken it means that byte."""
    play(
        upload(1),
        *BEGIN,
        (Patch(at(1), 0, 1), Reply(202, location=at(2), range="0-0")),
        (Save(checkpoint(2, 1)), None),
        (Put(at(2), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_closing_put_may_be_answered_with_any_plain_success(status: int) -> None:
    play(
        upload(0),
        *BEGIN,
        (Put(at(1), DIGEST), Reply(status)),
        Done(Landing.UPLOADED),
    )


@pytest.mark.parametrize("limits", [CHUNKED, MONOLITHIC])
def test_a_registry_that_stored_another_digest_fails_the_push(limits: Limits) -> None:
    session = upload(0, limits)
    while not isinstance(session.action, Put | Single):
        session.feed({Head: MISSING, Open: opened(1)}.get(type(session.action)))
    session.feed(Reply(201, digest="sha256:" + "0" * 64))
    if limits is CHUNKED:  # the session was closed, so only the disk has something to forget
        play(session, (Save(None), None))
    play(session, Fails(Code.REGISTRY_DIGEST_MISMATCH))


# ----------------------------------------------------------------------------------------------- what is there already


@pytest.mark.parametrize("length", [None, 25])
def test_a_blob_that_is_there_is_not_sent(length: int | None) -> None:
    play(upload(25), (Head(DIGEST), Reply(200, length=length)), Done(Landing.PRESENT))


def test_an_empty_blob_that_is_there_is_not_sent() -> None:
    play(upload(0), (Head(DIGEST), Reply(200, length=0)), Done(Landing.PRESENT))


@pytest.mark.parametrize("length", [1, 24, 26])
def test_a_blob_of_another_length_is_not_ours_and_is_sent(length: int) -> None:
    play(upload(25), (Head(DIGEST), Reply(200, length=length)), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))


# ------------------------------------------------------------------------- asked for and opened in one request

JOINED = replace(MONOLITHIC, joins=True, single_max=25)


def test_a_small_blob_costs_two_requests_where_a_mount_from_the_repository_itself_tells_whether_it_is_there() -> None:
    play(
        upload(25, JOINED),
        (OpenIfAbsent(DIGEST), opened(1)),
        (Single(at(1), DIGEST, 25), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_small_blob_that_is_there_costs_one() -> None:
    play(upload(25, JOINED), (OpenIfAbsent(DIGEST), Reply(201, digest=str(DIGEST))), Done(Landing.PRESENT))


def test_a_blob_that_is_believed_to_be_there_is_only_asked_for() -> None:
    play(upload(25, JOINED, expected=True), (Head(DIGEST), THERE), Done(Landing.PRESENT))
    play(upload(25, JOINED, expected=True), (Head(DIGEST), MISSING), (Open(), opened(1)))


def test_it_is_not_asked_for_where_the_registry_looks_itself_when_the_manifest_comes() -> None:
    play(upload(25, replace(JOINED, checks=True), expected=True), Done(Landing.PRESENT))
    play(upload(25, replace(JOINED, checks=True)), (OpenIfAbsent(DIGEST), opened(1)))


def test_a_large_blob_is_asked_for_by_itself() -> None:
    play(upload(26, JOINED), (Head(DIGEST), MISSING), (Open(), opened(1)))


@pytest.mark.parametrize("joins", [None, False])
def test_a_registry_that_is_not_known_to_answer_so_is_asked_by_itself(joins: bool | None) -> None:
    play(upload(25, replace(JOINED, joins=joins)), (Head(DIGEST), MISSING), (Open(), opened(1)))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 501])
def test_a_registry_that_refuses_it_is_asked_in_two_requests(status: int) -> None:
    session = upload(25, JOINED)
    play(session, (OpenIfAbsent(DIGEST), Reply(status)), (Head(DIGEST), MISSING), (Open(), opened(1)))


def test_a_registry_that_refuses_it_and_has_the_blob_is_sent_nothing() -> None:
    play(upload(25, JOINED), (OpenIfAbsent(DIGEST), Reply(405)), (Head(DIGEST), THERE), Done(Landing.PRESENT))


@pytest.mark.parametrize("outcome", [broken(), refused(429), refused(503)], ids=["broken", "429", "503"])
def test_one_that_could_not_be_answered_now_is_asked_again(outcome: Reply) -> None:
    session = play(upload(25, JOINED), (OpenIfAbsent(DIGEST), outcome))
    session.feed(None)  # the wait
    play(session, (OpenIfAbsent(DIGEST), Reply(201)), Done(Landing.PRESENT))


def test_a_blob_that_may_be_mounted_from_elsewhere_is_asked_for_first() -> None:
    session = upload(25, JOINED, mount_from="team/base")
    play(session, (Head(DIGEST), MISSING), (Mount(DIGEST, "team/base"), Reply(201)), Done(Landing.MOUNTED))


def test_a_blob_that_starts_over_is_only_opened() -> None:
    play(
        upload(25, replace(JOINED, forms=(Form.CHUNKED,), single_max=25)),
        (OpenIfAbsent(DIGEST), opened(1)),
        (Save(checkpoint(1, 0)), None),
        (Patch(at(1), 0, 10), GONE),
        (Save(None), None),
        (Restarts(Form.CHUNKED, Code.REGISTRY_UPLOAD_LOST), None),
        (Rehash(0), None),
        (Open(), opened(2)),
    )


# -------------------------------------------------------------------------------------------------------------- mounts


def test_a_mounted_blob_is_not_sent() -> None:
    play(
        upload(25, mount_from="team/base"),
        (Head(DIGEST), MISSING),
        (Mount(DIGEST, "team/base"), Reply(201)),
        Done(Landing.MOUNTED),
    )


def test_a_mount_that_opened_an_upload_instead_is_gone_on_with() -> None:
    play(
        upload(10, mount_from="team/base"),
        (Head(DIGEST), MISSING),
        (Mount(DIGEST, "team/base"), opened(1)),
        (Save(checkpoint(1, 0)), None),
        (Patch(at(1), 0, 10), took(2, 10)),
    )


@pytest.mark.parametrize("status", [202, 307, 400, 401, 403, 404, 405, 409, 415, 422, 500, 501])
def test_no_refusal_of_a_mount_ends_a_push(status: int) -> None:
    """Docker Hub answers 400 and 401 to a foreign `from`; others fail inside. A mount is only a hope.

    See oras-project/oras#1924 and osscontainertools/kaniko#1013.
    """
    play(
        upload(10, mount_from="team/base"),
        (Head(DIGEST), MISSING),
        (Mount(DIGEST, "team/base"), Reply(status)),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0)), None),
    )


@pytest.mark.parametrize("outcome", [broken(), refused(429), refused(503)], ids=["broken", "429", "503"])
def test_a_mount_that_could_not_be_answered_now_is_asked_for_again(outcome: Reply) -> None:
    session = play(upload(10, mount_from="team/base"), (Head(DIGEST), MISSING), (Mount(DIGEST, "team/base"), outcome))
    session.feed(None)  # the wait
    play(session, (Mount(DIGEST, "team/base"), Reply(201)), Done(Landing.MOUNTED))


def test_a_blob_that_starts_over_is_not_mounted_again() -> None:
    play(
        upload(10, mount_from="team/base"),
        (Head(DIGEST), MISSING),
        (Mount(DIGEST, "team/base"), opened(1)),
        (Save(checkpoint(1, 0)), None),
        (Patch(at(1), 0, 10), GONE),
        (Save(None), None),
        (Restarts(Form.CHUNKED, Code.REGISTRY_UPLOAD_LOST), None),
        (Rehash(0), None),
        (Open(), opened(2)),
    )


# ------------------------------------------------------------------------------------------------------ opening


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refused(401, "UNAUTHORIZED"), Code.REGISTRY_UNAUTHORIZED),
        (refused(403, "DENIED"), Code.REGISTRY_DENIED),
        (refused(404, "NAME_UNKNOWN"), Code.REGISTRY_NOT_FOUND),
        (refused(400, "NAME_INVALID"), Code.REGISTRY_NAME_INVALID),
        (Reply(307, location="https://elsewhere.example/"), Code.REGISTRY_REDIRECTED),
        (Reply(200), Code.REGISTRY_MALFORMED),
        (Reply(202), Code.REGISTRY_MALFORMED),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
def test_an_upload_that_may_not_be_opened_fails_with_what_the_registry_said(reply: Reply, code: Code) -> None:
    play(upload(10), (Head(DIGEST), MISSING), (Open(), reply), Fails(code))


@pytest.mark.parametrize(
    ("reply", "code"), [(refused(403), Code.REGISTRY_DENIED), (refused(401), Code.REGISTRY_UNAUTHORIZED)]
)
def test_a_blob_that_may_not_be_asked_for_fails_the_push(reply: Reply, code: Code) -> None:
    play(upload(10), (Head(DIGEST), reply), Fails(code))


@pytest.mark.parametrize(
    ("chunk_min", "chunk_max", "expected"), [(0, 0, 10), (5, 0, 10), (15, 0, 15), (0, 7, 7), (0, 50, 10), (12, 14, 12)]
)
def test_chunks_keep_to_what_the_registry_wants(chunk_min: int, chunk_max: int, expected: int) -> None:
    play(
        upload(40),
        (Head(DIGEST), MISSING),
        (Open(), opened(1, chunk_min=chunk_min, chunk_max=chunk_max)),
        (Save(checkpoint(1, 0, chunk_size=expected)), None),
        (Patch(at(1), 0, expected), took(2, expected)),
        (Save(checkpoint(2, expected, chunk_size=expected)), None),
        (Patch(at(2), expected, 2 * expected), took(3, 2 * expected)),
    )


def test_a_new_session_forgets_the_chunk_size_of_the_one_before() -> None:
    play(
        upload(40),
        (Head(DIGEST), MISSING),
        (Open(), opened(1, chunk_min=15)),
        (Save(checkpoint(1, 0, chunk_size=15)), None),
        (Patch(at(1), 0, 15), took(2, 15)),
        (Save(checkpoint(2, 15, chunk_size=15)), None),
        (Patch(at(2), 15, 30), GONE),
        (Save(None), None),
        (Restarts(Form.CHUNKED, Code.REGISTRY_UPLOAD_LOST), None),
        (Rehash(0), None),
        (Open(), opened(3)),
        (Save(checkpoint(3, 0, chunk_size=10)), None),
    )


# ------------------------------------------------------------------------------------------- replies to a chunk


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_chunk_may_be_answered_with_any_plain_success(status: int) -> None:
    """The spec says 202, ECR has said 201, and docker's own specification once said 204."""
    play(
        upload(20),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10, status)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), took(3, 20, status)),
    )


@pytest.mark.parametrize("header", [None, "", "all of it", "5-9"])
def test_a_chunk_whose_reply_has_no_usable_range_was_taken_whole(header: str | None) -> None:
    play(
        upload(20),
        *BEGIN,
        (Patch(at(1), 0, 10), Reply(202, location=at(2), range=header)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), took(3, 20)),
    )


def test_a_reply_without_a_location_leaves_the_one_before() -> None:
    play(
        upload(20),
        *BEGIN,
        (Patch(at(1), 0, 10), Reply(202, range="0-9")),
        (Save(checkpoint(1, 10)), None),
        (Patch(at(1), 10, 20), took(2, 20)),
    )


def test_a_chunk_taken_in_part_is_gone_on_with_from_there() -> None:
    """Range is the truth, and the hash goes back to it."""
    play(
        upload(30),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 7)),
        (Save(checkpoint(2, 7)), None),
        (Rehash(7), None),
        (Patch(at(2), 7, 17), took(3, 17)),
        (Save(checkpoint(3, 17)), None),
        (Patch(at(3), 17, 27), took(4, 27)),
        (Save(checkpoint(4, 27)), None),
        (Patch(at(4), 27, 30), took(5, 30)),
    )


def test_a_registry_that_miscounts_the_first_chunk_is_offered_the_next_form_in_a_session_of_its_own() -> None:
    """Gitea has said one byte too many; the newest Location is the one that still can be deleted."""
    play(
        upload(20, LADDER),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 11)),
        (Cancel(at(2)), DELETED),
        (Save(None), None),
        (Restarts(Form.STREAMED, Code.REGISTRY_UPLOAD_LOST), None),
        (Rehash(0), None),
        (Open(), opened(3)),
    )


def test_a_registry_that_claims_more_than_was_sent_later_on_makes_the_blob_start_over() -> None:
    play(
        upload(20, LADDER),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), took(3, 30)),
        (Cancel(at(3)), DELETED),
        (Save(None), None),
        (Restarts(Form.CHUNKED, Code.REGISTRY_UPLOAD_LOST), None),
        (Rehash(0), None),
        (Open(), opened(4)),
    )


def test_a_chunk_without_effect_is_asked_about_at_the_new_location_once_that_is_saved() -> None:
    session = play(
        upload(20),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), took(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Waits(Code.REGISTRY_UPLOAD_LOST, 1.0), None),
        (Status(at(3)), stands(4, 20)),
        (Save(checkpoint(4, 20)), None),
        (Rehash(20), None),
        (Put(at(4), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.interruptions == 1


def test_a_registry_that_lost_bytes_gets_them_again() -> None:
    play(
        upload(20),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), took(3, 5)),
        (Save(checkpoint(3, 5)), None),
        (Waits(Code.REGISTRY_UPLOAD_LOST, 1.0), None),
        (Status(at(3)), stands(4, 5)),
        (Save(checkpoint(4, 5)), None),
        (Rehash(5), None),
        (Patch(at(4), 5, 15), took(5, 15)),
        (Save(checkpoint(5, 15)), None),
        (Patch(at(5), 15, 20), took(6, 20)),
    )


def test_a_range_that_never_moves_ends_the_session_and_the_next_form_is_tried() -> None:
    """ECR's and Aliyun's Range may stay where it is; one request for all of it leaves nothing to disagree about."""
    limits = replace(LADDER, retries=1)
    session = play(upload(20, limits), *BEGIN, (Patch(at(1), 0, 10), took(2, 10)), (Save(checkpoint(2, 10)), None))
    play(
        session,
        (Patch(at(2), 10, 20), took(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Waits(Code.REGISTRY_UPLOAD_LOST), None),
        (Status(at(3)), stands(4, 10)),
        (Save(checkpoint(4, 10)), None),
        (Rehash(10), None),
        (Patch(at(4), 10, 20), took(5, 10)),
        (Save(checkpoint(5, 10)), None),
        (Cancel(at(5)), DELETED),
        (Save(None), None),
        (Restarts(Form.STREAMED, Code.REGISTRY_UPLOAD_LOST), None),
        (Rehash(0), None),
        (Open(), opened(6)),
        (Save(checkpoint(6, 0, form=Form.STREAMED)), None),
        (Stream(at(6), 0, 20), took(7, 20)),
    )


# --------------------------------------------------------------------------------------------------- the ladder


@pytest.mark.parametrize("status", [400, 404, 405, 411, 413, 415, 416, 501])
def test_a_form_refused_at_its_first_request_makes_room_for_the_next(status: int) -> None:
    """GHCR answers 416 to a PATCH over 4 MiB, proxies 413, registries without chunks 404 or 405."""
    session = play(
        upload(25, LADDER),
        *BEGIN,
        (Patch(at(1), 0, 10), refused(status)),
        (Cancel(at(1)), DELETED),
        (Save(None), None),
    )
    assert session.action.form is Form.STREAMED  # type: ignore[union-attr]  # a Restart, as the next step asserts
    session.feed(None)
    play(
        session,
        (Rehash(0), None),
        (Open(), opened(2)),
        (Save(checkpoint(2, 0, form=Form.STREAMED)), None),
        (Stream(at(2), 0, 25), refused(status)),
        (Cancel(at(2)), DELETED),
        (Save(None), None),
    )
    session.feed(None)
    play(
        session,
        (Rehash(0), None),
        (Open(), opened(3)),
        (Single(at(3), DIGEST, 25), CREATED),
        Done(Landing.UPLOADED),
    )


@pytest.mark.parametrize("status", [400, 404, 405, 411, 413, 415, 416, 501])
def test_a_monolithic_put_that_is_refused_makes_room_for_chunks(status: int) -> None:
    """Artifactory has answered 404 to it, some tiers of ACR 413."""
    session = play(
        upload(20, replace(LADDER, single_max=20)),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Single(at(1), DIGEST, 20), refused(status)),
        (Cancel(at(1)), DELETED),
    )
    assert session.action.form is Form.CHUNKED  # type: ignore[union-attr]  # a Restart, as the next step asserts
    session.feed(None)
    play(session, (Rehash(0), None), (Open(), opened(2)), (Save(checkpoint(2, 0)), None))


@pytest.mark.parametrize("status", [400, 405, 411, 413, 415, 501])
@pytest.mark.parametrize("form", list(Form))
def test_the_last_form_refused_fails_the_push_and_leaves_no_session(form: Form, status: int) -> None:
    limits = replace(CHUNKED, forms=(form,))
    first: dict[Form, Step] = {
        Form.CHUNKED: (Patch(at(1), 0, 10), refused(status)),
        Form.STREAMED: (Stream(at(1), 0, 25), refused(status)),
        Form.MONOLITHIC: (Single(at(1), DIGEST, 25), refused(status)),
    }
    saved: tuple[Step, ...] = ((Save(checkpoint(1, 0, form=form)), None),) if form is not Form.MONOLITHIC else ()
    forgets: tuple[Step, ...] = ((Save(None), None),) if saved else ()
    play(
        upload(25, limits),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        *saved,
        first[form],
        (Cancel(at(1)), DELETED),
        *forgets,
        Fails(Code.REGISTRY_REFUSED),
    )


def test_a_form_is_refused_even_when_the_upload_was_hard_to_open() -> None:
    play(
        upload(25, LADDER),
        (Head(DIGEST), MISSING),
        (Open(), refused(503)),
        (Waits(Code.REGISTRY_UNAVAILABLE), None),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0)), None),
        (Patch(at(1), 0, 10), refused(416)),
        (Cancel(at(1)), DELETED),
        (Save(None), None),
        (Restarts(Form.STREAMED, Code.REGISTRY_REFUSED), None),
    )


def test_a_413_that_first_came_as_a_broken_pipe_is_still_a_refusal_of_the_form() -> None:
    play(
        upload(25, LADDER),
        *BEGIN,
        (Patch(at(1), 0, 10), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Status(at(1)), stands(2, 0)),
        (Save(checkpoint(2, 0)), None),
        (Rehash(0), None),
        (Patch(at(2), 0, 10), refused(413)),
        (Cancel(at(2)), DELETED),
        (Save(None), None),
        (Restarts(Form.STREAMED, Code.REGISTRY_REFUSED), None),
    )


@pytest.mark.parametrize(
    ("reply", "code"), [(refused(403, "DENIED"), Code.REGISTRY_DENIED), (refused(413), Code.REGISTRY_REFUSED)]
)
def test_a_chunk_refused_after_others_were_taken_fails_the_push(reply: Reply, code: Code) -> None:
    play(
        upload(25, LADDER),
        *BEGIN,
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
        (Patch(at(2), 10, 20), reply),
        (Cancel(at(2)), DELETED),
        (Save(None), None),
        Fails(code),
    )


# ------------------------------------------------------------------------------------------------------- the end


def test_nothing_can_be_told_to_a_session_that_has_ended() -> None:
    session = play(upload(25), (Head(DIGEST), THERE), Done(Landing.PRESENT))
    with pytest.raises(ValueError, match="has ended"):
        session.feed(None)
    failed = play(upload(25), (Head(DIGEST), refused(403)), Fails(Code.REGISTRY_DENIED))
    with pytest.raises(ValueError, match="has ended"):
        failed.feed(THERE)


def test_a_request_is_answered_with_a_reply_and_nothing_else() -> None:
    session = upload(25)
    with pytest.raises(TypeError, match="Head wants a reply"):
        session.feed(None)


def test_errors_name_the_blob_and_where_it_goes() -> None:
    session = play(upload(25), (Head(DIGEST), refused(403)))
    assert session.action.error.subject == SUBJECT  # type: ignore[union-attr]  # a Fail, as other tests assert
