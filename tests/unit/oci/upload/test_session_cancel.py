"""Cancelled may be fed in place of any outcome. What was under way then may or may not have happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError, StoreError
from pushd.oci.reply import Reply
from pushd.oci.upload import (
    Cancel,
    Cancelled,
    Done,
    Fail,
    Form,
    Head,
    Open,
    Patch,
    Put,
    Save,
)
from tests.fakes.script import (
    CHUNKED,
    CREATED,
    DELETED,
    DIGEST,
    GONE,
    MISSING,
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
    from pushd.errors import PushdError
    from pushd.oci.upload import (
        Broken,
        Checkpoint,
        Limits,
        Outcome,
        UploadSession,
    )


def stop(code: Code = Code.REQUEST_CANCELLED) -> PushdError:
    return RequestError(code, "the job", "was cancelled")


@dataclass(frozen=True)
class Scene:
    """An upload told by its outcomes alone: what the session asks for is the other tests' business."""

    outcomes: tuple[Outcome, ...]
    size: int = 20
    limits: Limits = CHUNKED
    checkpoint: Checkpoint | None = None
    mount_from: str | None = None

    def until(self, number: int) -> tuple[UploadSession, str, bool]:
        """Play the first `number` outcomes.

        Gives the session, the Location at which one is open at the registry (or empty), and whether the disk has,
        or may have, a checkpoint.
        """
        session = upload(self.size, self.limits, checkpoint=self.checkpoint, mount_from=self.mount_from)
        open_at = self.checkpoint.location if self.checkpoint is not None else ""
        saved = self.checkpoint is not None
        for outcome in self.outcomes[:number]:
            if isinstance(session.action, Save):
                saved = session.action.checkpoint is not None
            if isinstance(outcome, Reply) and not isinstance(session.action, Head):
                ended = outcome.status in (201, 404) or isinstance(session.action, Cancel)
                open_at = "" if ended else outcome.location or open_at
            session.feed(outcome)
        saving = isinstance(session.action, Save) and session.action.checkpoint is not None
        return session, open_at, saved or saving


LADDER = replace(CHUNKED, forms=(Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC))
COLD: tuple[Outcome, ...] = (MISSING, opened(1), None, took(2, 10), None, took(3, 20), None, CREATED)

SCENES = {
    "cold": Scene(COLD),
    "monolithic": Scene((MISSING, opened(1), CREATED), limits=replace(CHUNKED, forms=(Form.MONOLITHIC,))),
    "hard to open": Scene((broken(), None, MISSING, refused(503), None, opened(1), None)),
    "mount": Scene((MISSING, refused(403), opened(1), None), mount_from="team/base"),
    "broken chunk": Scene((*COLD[:5], broken(), None, broken(), None, stands(3, 13), None, None, took(4, 20), None)),
    "stuck range": Scene((*COLD[:5], took(3, 10), None, None, stands(4, 10), None, None)),
    "refused form": Scene((*COLD[:3], refused(416), DELETED, None, None, None, opened(2), None), limits=LADDER),
    "lost session": Scene((*COLD[:5], GONE, None, None, None, opened(5), None)),
    "doubted put": Scene((*COLD[:7], broken(), None, MISSING, stands(5, 20), None, None, CREATED)),
    "earlier life": Scene((MISSING, stands(8, 10), None, None, took(9, 20), None), checkpoint=checkpoint(7, 10)),
    "refused for good": Scene((*COLD[:5], refused(403), DELETED, None)),
    "digest mismatch": Scene((*COLD[:7], Reply(201, digest="sha256:" + "0" * 64), None)),
}

MOMENTS = [
    pytest.param(scene, number, id=f"{name}, after {number}")
    for name, scene in SCENES.items()
    for number in range(len(scene.outcomes))
]


def clean_up(session: UploadSession) -> list[Cancel | Save]:
    """Carry out what follows, and give it."""
    steps: list[Cancel | Save] = []
    while not isinstance(session.action, Done | Fail):
        assert isinstance(session.action, Cancel | Save), "only clean-up may follow"
        steps.append(session.action)
        session.feed(DELETED if isinstance(session.action, Cancel) else None)
        assert len(steps) <= 2, "clean-up has two steps at most"
    return steps


def expected(open_at: str, saved: bool) -> list[Cancel | Save]:
    steps: list[Cancel | Save] = [Cancel(open_at)] if open_at else []
    return [*steps, Save(None)] if saved else steps


@pytest.mark.parametrize(("scene", "number"), MOMENTS)
def test_cancelled_at_any_moment_deletes_the_session_forgets_the_checkpoint_and_ends_with_that_error(
    scene: Scene, number: int
) -> None:
    session, open_at, saved = scene.until(number)
    error = stop()
    session.feed(Cancelled(error))
    assert clean_up(session) == expected(open_at, saved)
    assert session.action == Fail(error)


@pytest.mark.parametrize(("scene", "number"), MOMENTS)
def test_cancelled_once_more_while_cleaning_up_repeats_the_step_that_was_cut_short(scene: Scene, number: int) -> None:
    first, open_at, saved = scene.until(number)
    steps = expected(open_at, saved)
    for done in range(len(steps)):
        session, _, _ = scene.until(number)
        session.feed(Cancelled(stop()))
        for _ in range(done):
            session.feed(DELETED if isinstance(session.action, Cancel) else None)
        last = stop(Code.REQUEST_DEADLINE)
        session.feed(Cancelled(last))
        assert clean_up(session) == steps[done:]
        assert session.action == Fail(last)
    first.feed(Cancelled(stop()))  # and however often it is cancelled, it comes to an end
    for _ in range(3):
        if not isinstance(first.action, Fail):
            first.feed(Cancelled(stop()))
    assert isinstance(first.action, Fail)


def test_cancelled_for_a_reason_that_may_pass_leaves_the_session_for_the_next_attempt() -> None:
    """A full disk costs nothing of what has arrived."""
    session = play(upload(20), (Head(DIGEST), MISSING), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))
    error = StoreError(Code.STORE_FULL, "the disk", "is full")
    session.feed(Cancelled(error))
    assert session.action == Fail(error)


def test_cancelled_for_a_reason_that_may_pass_while_cleaning_up_does_not_stop_the_clean_up() -> None:
    session = play(upload(20), (Head(DIGEST), MISSING), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))
    session.feed(Cancelled(stop()))
    session.feed(Cancelled(StoreError(Code.STORE_FULL, "the disk", "is full")))
    assert clean_up(session) == [Cancel(at(1)), Save(None)]


@pytest.mark.parametrize(
    "outcome", [broken(), refused(500), refused(404), refused(405)], ids=["broken", "500", "404", "405"]
)
def test_whatever_the_registry_says_to_the_deletion_the_session_is_abandoned(outcome: Reply | Broken) -> None:
    session = play(upload(20), (Head(DIGEST), MISSING), (Open(), opened(1)), (Save(checkpoint(1, 0)), None))
    session.feed(Cancelled(stop()))
    play(session, (Cancel(at(1)), outcome), (Save(None), None))
    assert isinstance(session.action, Fail)


def test_cancelled_while_the_blob_is_closed_deletes_a_session_that_may_still_be_there() -> None:
    session = play(
        upload(10),
        (Head(DIGEST), MISSING),
        (Open(), opened(1)),
        (Save(checkpoint(1, 0)), None),
        (Patch(at(1), 0, 10), took(2, 10)),
        (Save(checkpoint(2, 10)), None),
    )
    assert session.action == Put(at(2), DIGEST)
    session.feed(Cancelled(stop()))
    assert clean_up(session) == [Cancel(at(2)), Save(None)]


def test_nothing_can_be_cancelled_after_the_end() -> None:
    session = upload(20)
    session.feed(Cancelled(stop()))
    assert isinstance(session.action, Fail)
    with pytest.raises(ValueError, match="has ended"):
        session.feed(Cancelled(stop()))
