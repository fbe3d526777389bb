"""Credentials as the store keeps them: it never sees one, only sealed bytes."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState
from pushd.store import credentials, expiry, logins, open_store, schema
from pushd.telemetry.events import CREDENTIAL_SPENT
from pushd.work import Retention
from tests.unit.store.samples import FAILED, NOON, PLENTY, after, claimed, sealed, submission, succeeded

if TYPE_CHECKING:
    from pushd.store import Store
    from pushd.telemetry.events import Event
    from pushd.work import Sealed

CANARY = b"sealed-canary-0123456789"
TWO = ("registry.test/a:1", "registry.test/b:1")


async def secrets(store: Store, job_id: str = "job1") -> list[bytes | None]:
    return [one.secret for one in await store.handed(job_id)]


async def state(store: Store) -> list[DeliveryState]:
    job = await store.get("job1")
    assert job is not None
    return [delivery.state for delivery in job.deliveries]


# --------------------------------------------------------------------------------------------- handed over with a job


async def test_what_is_handed_over_is_kept_with_the_job(store: Store) -> None:
    handed = (sealed("registry.test", b"1", until=after(60)), sealed("registry.test/team", b"2"))
    await store.submit(submission(credentials=handed), limit=PLENTY)
    first, second = await store.handed("job1")
    assert (first.scope, first.secret, first.created_at, first.expires_at) == ("registry.test", b"1", NOON, after(60))
    assert (second.scope, second.secret, second.created_at, second.expires_at) == (
        "registry.test/team",
        b"2",
        NOON,
        None,
    )
    assert 0 < first.number < second.number


async def test_a_job_that_nothing_was_handed_over_with_has_none(store: Store) -> None:
    await store.submit(submission(), limit=PLENTY)
    assert await store.handed("job1") == ()
    assert (await claimed(store)).handed_at is None


async def test_a_claim_tells_the_choice_and_when_something_was_handed_over_last(store: Store) -> None:
    handed = (sealed("a.test", at=after(-5)), sealed("b.test", at=after(-3)))
    await store.submit(submission(credential="ci", credentials=handed), limit=PLENTY)
    claim = await claimed(store)
    assert (claim.credential, claim.handed_at) == ("ci", after(-3))
    assert (claim.asker.choice, claim.asker.job_id) == ("ci", "job1")


async def test_a_repeated_submission_leaves_the_credentials_as_they_are(store: Store) -> None:
    first = submission(idempotency_key="key", credentials=(sealed(secret=b"1"),))
    again = submission("job2", idempotency_key="key", credentials=(sealed(secret=b"2"),))
    await store.submit(first, limit=PLENTY)
    assert (await store.submit(again, limit=PLENTY)).id == "job1"
    assert await secrets(store) == [b"1"]


async def test_a_submission_that_is_refused_leaves_no_credential(store: Store) -> None:
    with pytest.raises(RequestError):
        await store.submit(submission(credentials=(sealed(),)), limit=0)
    assert await everything(store) == []


async def everything(store: Store) -> list[tuple[object, ...]]:
    return await store._reads.send(
        lambda connection: [tuple(row) for row in connection.execute("SELECT * FROM credentials")]
    )


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from pushd.store import open_store
from tests.unit.store.samples import NOON, sealed, submission

async def main():
    store = await open_store(Path(sys.argv[1]), publish=lambda events: None)
    await store.submit(submission("job1", credentials=(sealed(secret=b"kept"),)), limit=9)
    await store.store_login(1000, "ci", sealed(secret=b"stored"), NOON, limit=9)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_handed_over_and_stored_survives_a_kill_before_its_use(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, tmp_path, cwd=root)
    assert await killed.wait() == -signal.SIGKILL
    store = await open_store(tmp_path, publish=lambda _: None)
    assert await secrets(store) == [b"kept"]
    assert [(login.name, login.sealed.secret) for login in await store.logins(1000)] == [("ci", b"stored")]
    await store.close()


# ---------------------------------------------------------------------------------------------------- when a job ends


async def test_the_secret_goes_with_the_end_of_the_job_and_leaves_a_trace_that_there_was_one(store: Store) -> None:
    await store.submit(submission("job1", *TWO, credentials=(sealed(),)), limit=PLENTY)
    await store.finish(await claimed(store), succeeded(), NOON)
    assert await secrets(store) == [b"sealed"]
    await store.finish(await claimed(store), FAILED, NOON)
    assert await secrets(store) == [None]


async def test_the_secret_goes_when_the_job_is_cancelled_or_runs_out_of_time(store: Store) -> None:
    await store.submit(submission("job1", credentials=(sealed(),)), limit=PLENTY)
    await store.submit(submission("job2", deadline=10, credentials=(sealed(),)), limit=PLENTY)
    await store.cancel("job1", NOON)
    await store.expire(after(10))
    assert (await secrets(store, "job1"), await secrets(store, "job2")) == ([None], [None])


async def test_the_end_of_one_job_takes_nothing_from_another_nor_from_what_is_stored(store: Store) -> None:
    await store.submit(submission("job1", credentials=(sealed(),)), limit=PLENTY)
    await store.submit(submission("job2", credentials=(sealed(),)), limit=PLENTY)
    await store.store_login(1000, "ci", sealed(), NOON, limit=9)
    await store.cancel("job1", NOON)
    assert await secrets(store, "job2") == [b"sealed"]
    assert (await store.logins(1000))[0].sealed.secret == b"sealed"


async def test_the_trace_goes_when_the_job_is_pruned(store: Store) -> None:
    await store.submit(submission("job1", credentials=(sealed(),)), limit=PLENTY)
    await store.cancel("job1", NOON)
    await store.prune(after(100), Retention(job_age=1, job_count=0, event_age=1000, event_count=1000))
    assert await store.get("job1") is None
    assert await everything(store) == []


async def test_nothing_of_a_secret_is_left_in_the_database_once_it_is_gone(tmp_path: Path) -> None:
    store = await open_store(tmp_path, publish=lambda _: None)
    await store.submit(submission("job1", credentials=(sealed(secret=CANARY),)), limit=PLENTY)
    await store.submit(submission("job2", credentials=(sealed(secret=CANARY, until=after(9)),)), limit=PLENTY)
    for number, name in enumerate(("removed", "replaced", "refused")):
        await store.store_login(1000, name, sealed(secret=CANARY + str(number).encode()), NOON, limit=9)
    await store.close()
    assert CANARY in (tmp_path / "pushd.db").read_bytes()
    store = await open_store(tmp_path, publish=lambda _: None)
    await store.cancel("job1", NOON)
    await store.expire(after(9))
    await store.remove_login(1000, "removed", NOON)
    await store.store_login(1000, "replaced", sealed(secret=b"another"), NOON, limit=9)
    (refused,) = [login for login in await store.logins(1000) if login.name == "refused"]
    await store.spend(refused.sealed.number, NOON)
    await store.close()
    assert CANARY not in (tmp_path / "pushd.db").read_bytes()


# ------------------------------------------------------------------------------------------------------ spent, expired


async def test_what_was_refused_is_spent_once_and_told_without_its_secret(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", credentials=(sealed("registry.test/team", CANARY),)), limit=PLENTY)
    (one,) = await store.handed("job1")
    await store.spend(one.number, after(1))
    await store.spend(one.number, after(2))
    assert await secrets(store) == [None]
    (event,) = [event for event in published if event.kind is CREDENTIAL_SPENT]
    assert (event.at, event.job, event.uid) == (after(1), "job1", 1000)
    assert event.fields == {
        "uid": 1000,
        "name": None,
        "registry": "registry.test",
        "reason": "was refused by the registry",
    }
    assert event.message == "a credential of uid 1000 for registry.test was refused by the registry, and is forgotten"


async def test_spending_what_is_not_there_changes_nothing(store: Store, published: list[Event]) -> None:
    await store.spend(7, NOON)
    assert published == []


async def test_one_that_came_in_place_of_another_is_not_spent_with_it(store: Store) -> None:
    await store.submit(submission("job1", credentials=(sealed(secret=b"old"),)), limit=PLENTY)
    (old,) = await store.handed("job1")
    await store.retry("job1", NOON, by=1000, handed=[sealed(secret=b"new")])
    await store.spend(old.number, NOON)
    assert await secrets(store) == [b"new"]


async def test_what_has_expired_is_spent_by_the_round_and_told(store: Store, published: list[Event]) -> None:
    handed = (sealed("a.test", until=after(10)), sealed("b.test", until=after(11)), sealed("c.test"))
    await store.submit(submission("job1", credentials=handed), limit=PLENTY)
    await store.store_login(1000, "ci", sealed(until=after(10)), NOON, limit=9)
    assert await store.expire(after(9.9)) == 0
    assert await store.expire(after(10)) == 2
    assert await store.expire(after(10)) == 0
    assert await secrets(store) == [None, b"sealed", b"sealed"]
    assert [login.sealed.secret for login in await store.logins(1000)] == [None]
    told = [event for event in published if event.kind is CREDENTIAL_SPENT]
    assert [(event.job, event.uid, event.fields["name"]) for event in told] == [
        ("job1", 1000, None),
        (None, 1000, "ci"),
    ]
    assert {event.fields["reason"] for event in told} == {"has expired"}


async def test_no_more_than_a_round_expires_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_ROUND", 2)
    handed = tuple(sealed(f"r{number}.test", until=after(10 - number)) for number in range(3))
    await store.submit(submission("job1", credentials=handed), limit=PLENTY)
    assert await store.expire(after(10)) == 2
    assert await secrets(store) == [b"sealed", None, None]
    assert await store.expire(after(10)) == 1


# ----------------------------------------------------------------------------------------------------- handed over anew


async def test_what_is_handed_over_anew_takes_the_place_of_the_same_scope_alone(store: Store) -> None:
    handed = (sealed("registry.test", b"1"), sealed("registry.test/team", b"2"))
    await store.submit(submission("job1", credentials=handed), limit=PLENTY)
    await store.retry("job1", after(5), by=1000, handed=[sealed("registry.test", b"3", at=after(5))])
    assert {one.scope: one.secret for one in await store.handed("job1")} == {
        "registry.test": b"3",
        "registry.test/team": b"2",
    }
    assert (await claimed(store, 5)).handed_at == after(5)


async def test_nobody_hands_over_credentials_for_somebody_elses_job(store: Store) -> None:
    await store.submit(submission("job1", *TWO), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, NOON)
    with pytest.raises(RequestError) as refused:
        await store.retry("job1", NOON, by=0, handed=[sealed()])
    assert refused.value.code is Code.REQUEST_FORBIDDEN
    assert await store.handed("job1") == ()
    assert await state(store) == [DeliveryState.FAILED, DeliveryState.QUEUED]


async def test_a_job_that_has_ended_is_given_no_credential(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.finish(await claimed(store), succeeded(), NOON)
    assert await store.retry("job1", NOON, by=1000, handed=[sealed()]) == 0
    assert await everything(store) == []


async def test_a_retry_brings_credentials_in_place_of_those_that_went(store: Store) -> None:
    await store.submit(submission("job1", credentials=(sealed(secret=b"old"),)), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, after(1))
    assert await store.retry("job1", after(2), by=1000, handed=[sealed(secret=b"new", at=after(2))]) == 1
    assert await secrets(store) == [b"new"]
    assert (await claimed(store, 2)).handed_at == after(2)


async def test_a_retry_that_is_refused_leaves_no_credential(store: Store) -> None:
    await store.submit(submission("job1", spool="entry"), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, after(1))
    with pytest.raises(RequestError):
        await store.retry("job1", after(2), by=1000, handed=[sealed()])
    assert await everything(store) == []


# ------------------------------------------------------------------------------------------------------------ the table


def test_a_row_is_of_a_job_or_of_a_name_and_never_of_both() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, schema.migrations())
        for job, name in ((1, "ci"), (None, None)):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(
                    "INSERT INTO credentials (uid, job, name, scope, created_at) VALUES (1, ?, ?, 'a', 0.0)",
                    (job, name),
                )


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (credentials._OVERDUE, (0.0, 1)),
        (credentials._HANDED, ("job1",)),
        (credentials._LOGINS, (1,)),
        (credentials._SPEND, (1,)),
        (credentials._FORGET, (1,)),
        (credentials._CAME, {"newest": 0, "now": 0.0, "job": 1, "uid": 1, "choice": "auto", "reads": False}),
        (logins._OTHERS, (1, "ci")),
        (logins._REMOVE, (1, "ci")),
    ],
    ids=["overdue", "handed", "logins", "spend", "forget", "came", "others", "remove"],
)
async def test_every_question_has_its_index(store: Store, query: str, parameters: Any) -> None:
    plan = await store._writes.send(
        lambda transaction: [
            row["detail"] for row in transaction.connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters)
        ]
    )
    assert plan
    assert [step for step in plan if "SCAN" in step] == []


def test_a_secret_is_in_no_repr() -> None:
    kept: Sealed = sealed(secret=CANARY)
    assert "canary" not in repr(kept)
