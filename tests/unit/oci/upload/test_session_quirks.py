"""How a blob gets into a repository of a registry that is known to do something differently."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code
from pushd.oci.reply import Reply
from pushd.oci.upload import (
    Cancel,
    Done,
    Fail,
    Form,
    Head,
    Landing,
    Open,
    Patch,
    Put,
    Ranges,
    Rehash,
    Restart,
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
    from pushd.oci.upload import Limits, UploadSession
    from tests.fakes.script import Step

UNRELIABLE = replace(CHUNKED, ranges=Ranges.UNRELIABLE)
OF_CHUNK = replace(CHUNKED, ranges=Ranges.OF_CHUNK)
LAST_IN_PUT = replace(CHUNKED, last_in_put=True)
NO_RESUMPTION = replace(CHUNKED, resumable=False)
LADDER = replace(CHUNKED, forms=(Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC))

BEGIN: tuple[Step, ...] = ((Head(DIGEST), MISSING), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))
ONE_CHUNK: tuple[Step, ...] = (*BEGIN, (Patch(at(1), 0, 10), took(2, 10)), (Save(checkpoint(2, 10)), None))


# ------------------------------------------------------------------------------------------- what Range counts


def test_where_range_stays_at_the_first_chunk_what_was_taken_is_trusted() -> None:
    """ECR: aws/containers-roadmap#2831."""
    session = play(
        upload(25, UNRELIABLE),
        *ONE_CHUNK,
        (Patch(at(2), 10, 20), took(3, 10, 201)),
        (Save(checkpoint(3, 20)), None),
        (Patch(at(3), 20, 25), took(4, 10, 201)),
        (Save(checkpoint(4, 25)), None),
        (Put(at(4), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.interruptions == 0


@pytest.mark.parametrize("limits", [UNRELIABLE, OF_CHUNK], ids=["unreliable", "of the chunk"])
def test_where_range_does_not_say_where_a_session_stands_it_goes_on_from_what_was_acknowledged(limits: Limits) -> None:
    play(
        upload(25, limits),
        *ONE_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Status(at(2)), stands(3, 3)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Patch(at(3), 10, 20), took(4, 10)),
        (Save(checkpoint(4, 20)), None),
    )


@pytest.mark.parametrize("limits", [UNRELIABLE, OF_CHUNK], ids=["unreliable", "of the chunk"])
def test_and_an_earlier_life_is_taken_up_where_its_checkpoint_says(limits: Limits) -> None:
    session = play(
        upload(25, limits, checkpoint=checkpoint(1, 20)),
        (Head(DIGEST), MISSING),
        (Status(at(1)), stands(2, 10)),
        (Save(checkpoint(2, 20)), None),
        (Rehash(20), None),
        (Patch(at(2), 20, 25), took(3, 10)),
    )
    assert session.resumed == 20


@pytest.mark.parametrize("limits", [UNRELIABLE, OF_CHUNK], ids=["unreliable", "of the chunk"])
def test_and_a_registry_that_disagrees_cannot_say_about_what_so_the_blob_starts_over(limits: Limits) -> None:
    """The chunk whose reply was lost had been stored."""
    play(
        upload(25, limits),
        *ONE_CHUNK,
        (Patch(at(2), 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Status(at(2)), stands(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Patch(at(3), 10, 20), refused(416)),
        (Cancel(at(3)), DELETED),
        (Save(None), None),
        (Restarts(Form.CHUNKED, Code.REGISTRY_REFUSED), None),
        (Rehash(0), None),
        (Open(), opened(4)),
    )


def test_where_range_counts_the_chunk_it_says_how_much_of_it_was_taken() -> None:
    """Aliyun: regclient#627."""
    play(
        upload(30, OF_CHUNK),
        *ONE_CHUNK,
        (Patch(at(2), 10, 20), took(3, 7)),
        (Save(checkpoint(3, 17)), None),
        (Rehash(17), None),
        (Patch(at(3), 17, 27), took(4, 10)),
        (Save(checkpoint(4, 27)), None),
        (Patch(at(4), 27, 30), took(5, 3)),
        (Save(checkpoint(5, 30)), None),
        (Put(at(5), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


@pytest.mark.parametrize(
    "limits", [OF_CHUNK, NO_RESUMPTION], ids=["range counts the chunk", "sessions are not resumed"]
)
def test_a_chunk_without_effect_that_cannot_be_asked_about_makes_room_for_the_next_form(limits: Limits) -> None:
    session = upload(25, replace(limits, forms=(Form.CHUNKED, Form.STREAMED)))
    play(session, (Head(DIGEST), MISSING), (Open(), opened(1)))
    while not isinstance(session.action, Restart):
        session.feed(took(2, 0) if isinstance(session.action, Patch) else None)
    assert session.action.form is Form.STREAMED
    assert session.interruptions == 1


def test_a_registry_that_disagrees_with_one_session_after_the_other_is_offered_the_next_form() -> None:
    """As one does that is taken to count the blob and counts the chunk."""
    session = upload(25, replace(LADDER, retries=1))
    forms: list[Form] = []
    while not forms or forms[-1] is not Form.STREAMED:
        match session.action:
            case Restart(form):
                forms.append(form)
                session.feed(None)
            case Head():
                session.feed(MISSING)
            case Open():
                session.feed(opened(1))
            case Patch(start=start):
                session.feed(took(2, 10) if start == 0 else refused(416))
            case Status():
                session.feed(stands(3, 10))
            case Cancel():
                session.feed(DELETED)
            case _:
                session.feed(None)
    assert forms == [Form.CHUNKED, Form.STREAMED]


def test_where_range_counts_the_chunk_one_byte_looks_like_none() -> None:
    play(
        upload(11, OF_CHUNK),
        *ONE_CHUNK,
        (Patch(at(2), 10, 11), Reply(202, location=at(3), range="0-0")),
        (Save(checkpoint(3, 11)), None),
        (Put(at(3), DIGEST), CREATED),
    )


def test_where_range_is_to_count_the_chunk_a_count_over_the_blob_is_understood_as_well() -> None:
    play(upload(25, OF_CHUNK), *ONE_CHUNK, (Patch(at(2), 10, 20), took(3, 20)), (Save(checkpoint(3, 20)), None))


# ------------------------------------------------------------------------------------------ the last data in the PUT


@pytest.mark.parametrize(("size", "last"), [(11, 10), (20, 10), (25, 20)])
def test_the_last_chunk_travels_in_the_put(size: int, last: int) -> None:
    """ECR has answered an empty PUT with 500."""
    session = play(upload(size, LAST_IN_PUT), *ONE_CHUNK)
    if last == 20:
        play(session, (Patch(at(2), 10, 20), took(2, 20)), (Save(checkpoint(2, 20)), None))
    play(session, (Put(at(2), DIGEST, last, size), CREATED), Done(Landing.UPLOADED))


@pytest.mark.parametrize("size", [1, 10])
def test_a_blob_of_one_chunk_travels_in_the_put_alone(size: int) -> None:
    play(upload(size, LAST_IN_PUT), *BEGIN, (Put(at(1), DIGEST, 0, size), CREATED), Done(Landing.UPLOADED))


def test_an_empty_blob_has_nothing_to_put_there() -> None:
    play(upload(0, LAST_IN_PUT), *BEGIN, (Put(at(1), DIGEST), CREATED), Done(Landing.UPLOADED))


def test_a_streamed_push_has_nothing_left_for_the_put() -> None:
    limits = replace(LAST_IN_PUT, forms=(Form.STREAMED,))
    play(
        upload(25, limits),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0, form=Form.STREAMED)), None),
        (Stream(at(1), 0, 25), took(2, 25)),
        (Save(checkpoint(2, 25, form=Form.STREAMED)), None),
        (Put(at(2), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


@pytest.mark.parametrize("outcome", [broken(), refused(500), refused(401)], ids=["broken", "500", "401"])
def test_a_last_chunk_that_did_not_arrive_is_put_again_from_where_the_session_stands(outcome: Reply) -> None:
    session = play(upload(20, LAST_IN_PUT), *ONE_CHUNK, (Put(at(2), DIGEST, 10, 20), outcome))
    session.feed(None)  # the wait
    play(
        session,
        (Head(DIGEST), MISSING),
        (Status(at(2)), stands(3, 10)),
        (Save(checkpoint(3, 10)), None),
        (Rehash(10), None),
        (Put(at(3), DIGEST, 10, 20), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.interruptions == 1


def test_of_a_last_chunk_that_arrived_in_part_the_rest_is_put() -> None:
    play(
        upload(20, LAST_IN_PUT),
        *ONE_CHUNK,
        (Put(at(2), DIGEST, 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), MISSING),
        (Status(at(2)), stands(3, 14)),
        (Save(checkpoint(3, 14)), None),
        (Rehash(14), None),
        (Put(at(3), DIGEST, 14, 20), CREATED),
        Done(Landing.UPLOADED),
    )


def test_of_a_last_chunk_that_arrived_whole_only_the_digest_is_put_again() -> None:
    play(
        upload(20, LAST_IN_PUT),
        *ONE_CHUNK,
        (Put(at(2), DIGEST, 10, 20), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), MISSING),
        (Status(at(2)), stands(3, 20)),
        (Save(checkpoint(3, 20)), None),
        (Rehash(20), None),
        (Put(at(3), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_put_with_the_whole_blob_that_is_refused_makes_room_for_the_next_form() -> None:
    play(
        upload(10, replace(LAST_IN_PUT, forms=(Form.CHUNKED, Form.STREAMED))),
        *BEGIN,
        (Put(at(1), DIGEST, 0, 10), refused(404)),
        (Cancel(at(1)), DELETED),
        (Save(None), None),
        (Restarts(Form.STREAMED, Code.REGISTRY_UPLOAD_LOST), None),
    )


@pytest.mark.parametrize("status", [404, 416])
def test_a_session_that_will_not_be_closed_is_not_left_for_a_later_attempt_to_fail_with(status: int) -> None:
    """It was taken up, so that the refusal is about the session; in one of its own it is about the form."""
    limits = replace(LAST_IN_PUT, forms=(Form.CHUNKED, Form.STREAMED), retries=0)
    code = {404: Code.REGISTRY_UPLOAD_LOST, 416: Code.REGISTRY_REFUSED}[status]
    play(
        upload(10, limits, checkpoint=checkpoint(1, 0)),
        (Head(DIGEST), MISSING),
        (Status(at(1)), stands(2, 0)),
        (Save(checkpoint(2, 0)), None),
        (Rehash(0), None),
        (Put(at(2), DIGEST, 0, 10), refused(status)),
        *(() if status == 404 else ((Cancel(at(2)), DELETED),)),  # there is nothing to delete then
        (Save(None), None),
        (Restarts(Form.CHUNKED, code), None),
        (Rehash(0), None),
        (Open(), opened(3)),
        (Save(checkpoint(3, 0)), None),
        (Put(at(3), DIGEST, 0, 10), refused(status)),
        (Cancel(at(3)), DELETED),
        (Save(None), None),
        (Restarts(Form.STREAMED, code), None),
    )


def test_a_put_with_the_last_chunk_that_is_refused_fails_the_push() -> None:
    play(
        upload(20, replace(LAST_IN_PUT, forms=(Form.CHUNKED, Form.STREAMED))),
        *ONE_CHUNK,
        (Put(at(2), DIGEST, 10, 20), refused(413)),
        (Cancel(at(2)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_REFUSED),
    )


# -------------------------------------------------------------------------------------- sessions without resumption


@pytest.mark.parametrize("outcome", [broken(), refused(503), refused(401)], ids=["broken", "503", "401"])
def test_where_no_session_can_be_gone_on_with_the_blob_starts_over_without_a_question(outcome: Reply) -> None:
    """ACR answers a retried chunk with 404."""
    session = play(
        upload(20, NO_RESUMPTION),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Patch(at(1), 0, 10), took(2, 10)),
        (Patch(at(2), 10, 20), outcome),
    )
    session.feed(None)  # the wait
    play(session, (Cancel(at(2)), DELETED))
    session.feed(None)  # the restart
    play(session, (Rehash(0), None), (Open(), opened(3)), (Patch(at(3), 0, 10), took(4, 10)))
    assert session.interruptions == 1


def test_and_after_a_put_without_an_answer_only_the_blob_is_asked_for() -> None:
    play(
        upload(10, NO_RESUMPTION),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Patch(at(1), 0, 10), took(2, 10)),
        (Put(at(2), DIGEST), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), THERE),
        Done(Landing.UPLOADED),
    )


def test_and_it_starts_over_when_it_is_not_there() -> None:
    play(
        upload(10, NO_RESUMPTION),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Patch(at(1), 0, 10), took(2, 10)),
        (Put(at(2), DIGEST), broken()),
        (Waits(Code.REGISTRY_INTERRUPTED), None),
        (Head(DIGEST), MISSING),
        (Cancel(at(2)), DELETED),
        (Restarts(Form.CHUNKED, Code.REGISTRY_INTERRUPTED), None),
        (Rehash(0), None),
        (Open(), opened(3)),
    )


def test_a_session_of_an_earlier_life_is_deleted_there_and_not_asked_about() -> None:
    session = play(
        upload(10, NO_RESUMPTION, checkpoint=checkpoint(1, 5)),
        (Head(DIGEST), MISSING),
        (Cancel(at(1)), GONE),
        (Save(None), None),
        (Open(), opened(2)),
        (Patch(at(2), 0, 10), took(3, 10)),
    )
    assert session.resumed == 0


@pytest.mark.parametrize("limits", [NO_RESUMPTION, replace(CHUNKED, forms=(Form.MONOLITHIC,))], ids=["acr", "one put"])
def test_an_attempt_that_ends_deletes_a_session_that_no_other_could_take_up(limits: Limits) -> None:
    session = upload(10, replace(limits, retries=0))
    play(session, (Head(DIGEST), MISSING), (Open(), opened(1)))
    assert isinstance(session.action, Patch | Single)
    session.feed(broken())
    play(session, (Cancel(at(1)), DELETED), Fails(Code.REGISTRY_INTERRUPTED))


# ------------------------------------------------------------------------------------------- mounts, and what is absent


def test_where_mounts_fail_none_is_asked_for() -> None:
    """ECR Public."""
    limits = replace(CHUNKED, mounts=False)
    play(upload(10, limits, mount_from="team/base"), (Head(DIGEST), MISSING), (Open(), opened(1)))


def test_where_a_registry_says_forbidden_of_what_is_not_there_the_blob_is_sent() -> None:
    """Artifactory; whether pushing is allowed, the next request tells."""
    limits = replace(CHUNKED, absent=frozenset({403, 404}))
    play(upload(10, limits), (Head(DIGEST), refused(403)), (Open(), refused(403)), Fails(Code.REGISTRY_DENIED))


# --------------------------------------------------------------------------------------- what a fall-back advises


def restart_of(session: UploadSession) -> Restart:
    """Go on to the restart a refusal leads to."""
    while not isinstance(session.action, Restart):
        session.feed(DELETED if isinstance(session.action, Cancel) else None)
    return session.action


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (refused(404), 'upload = "streamed"'),
        (refused(416), 'upload = "streamed"'),
        (refused(413), 'chunk_size = "16MiB"'),
    ],
)
def test_a_fall_to_the_next_form_names_the_setting_that_avoids_it(reply: Reply, advice: str) -> None:
    session = upload(100 << 20, replace(LADDER, chunk_size=32 << 20))
    play(session, (Head(DIGEST), MISSING), (Open(), opened(1)))
    session.feed(None)
    session.feed(reply)
    restart = restart_of(session)
    assert restart.advice == advice
    assert f"`{advice}` for this registry avoids it" in str(restart.error)


@pytest.mark.parametrize(
    ("chunk_size", "advice"), [(3000, 'chunk_size = "1KiB"'), (10, 'chunk_size = "5"'), (1, 'upload = "streamed"')]
)
def test_the_chunk_size_it_names_is_smaller_and_readable(chunk_size: int, advice: str) -> None:
    session = play(upload(5000, replace(LADDER, chunk_size=chunk_size)), (Head(DIGEST), MISSING), (Open(), opened(1)))
    session.feed(None)
    session.feed(refused(413))
    assert restart_of(session).advice == advice


def test_a_registry_that_miscounts_is_advised_about_as_well() -> None:
    session = play(upload(20, LADDER), *BEGIN, (Patch(at(1), 0, 10), took(2, 11)))
    assert restart_of(session).advice == 'upload = "streamed"'


def test_a_blob_that_starts_over_in_the_same_form_is_no_reason_to_change_a_setting() -> None:
    session = play(upload(20, LADDER), *ONE_CHUNK, (Patch(at(2), 10, 20), GONE))
    restart = restart_of(session)
    assert restart.advice == ""
    assert "for this registry" not in str(restart.error)


@pytest.mark.parametrize("form", list(Form))
def test_a_body_too_large_in_every_form_points_to_the_size_of_chunks(form: Form) -> None:
    session = upload(25, replace(CHUNKED, forms=(form,)))
    play(session, (Head(DIGEST), MISSING), (Open(), opened(1)))
    if isinstance(session.action, Save):
        session.feed(None)
    session.feed(refused(413))
    while not isinstance(session.action, Fail):
        session.feed(DELETED if isinstance(session.action, Cancel) else None)
    assert "`chunk_size`" in session.action.error.hint


# ------------------------------------------------------------------------------------------- bytes sent elsewhere


def elsewhere(status: int = 307) -> Reply:
    return Reply(status, location="https://storage.example/there?sig=x")


@pytest.mark.parametrize("status", [307, 308])
def test_a_chunk_that_is_sent_elsewhere_goes_there_whole_and_the_session_stays_where_it_is(status: int) -> None:
    # The storage says nothing of locations and ranges.
    session = play(
        upload(10, CHUNKED),
        *BEGIN,
        (Patch(at(1), 0, 10), elsewhere(status)),
        (Rehash(0), None),
        (Patch(at(1), 0, 10, "https://storage.example/there?sig=x"), Reply(200)),
        (Save(checkpoint(1, 10)), None),
        (Put(at(1), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )
    assert session.interruptions == 0


def test_the_next_chunk_is_asked_for_at_the_registry_again() -> None:
    play(
        upload(15, CHUNKED),
        *BEGIN,
        (Patch(at(1), 0, 10), elsewhere()),
        (Rehash(0), None),
        (Patch(at(1), 0, 10, "https://storage.example/there?sig=x"), Reply(200)),
        (Save(checkpoint(1, 10)), None),
        (Patch(at(1), 10, 15), elsewhere()),
        (Rehash(10), None),
        (Patch(at(1), 10, 15, "https://storage.example/there?sig=x"), Reply(200)),
        (Save(checkpoint(1, 15)), None),
        (Put(at(1), DIGEST), CREATED),
        Done(Landing.UPLOADED),
    )


def test_a_blob_in_one_piece_may_be_sent_elsewhere_as_well() -> None:
    play(
        upload(10, replace(CHUNKED, forms=(Form.MONOLITHIC,))),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Single(at(1), DIGEST, 10), elsewhere()),
        (Rehash(0), None),
        (Single(at(1), DIGEST, 10, redirect="https://storage.example/there?sig=x"), Reply(200)),
        Done(Landing.UPLOADED),
    )


def test_a_registry_that_sends_us_in_a_circle_is_told_so() -> None:
    again = Patch(at(1), 0, 10, "https://storage.example/there?sig=x")
    play(
        upload(10, CHUNKED),
        *BEGIN,
        (Patch(at(1), 0, 10), elsewhere()),
        *((Rehash(0), None), (again, elsewhere())) * 3,
        (Cancel(at(1)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_REDIRECTED),
    )


def test_a_redirect_that_leads_nowhere_is_a_refusal() -> None:
    play(
        upload(10, CHUNKED),
        *BEGIN,
        (Patch(at(1), 0, 10), Reply(307)),
        (Cancel(at(1)), DELETED),
        (Save(None), None),
        Fails(Code.REGISTRY_REDIRECTED),
    )
