"""What users store under a name, and the deliveries that waited for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import AUTO, DeliveryState, JobState
from pushd.store import deliveries
from pushd.telemetry.events import CREDENTIAL_REMOVED, CREDENTIAL_STORED, DELIVERY_HELD, DELIVERY_REQUEUED
from tests.unit.store.samples import NEEDY, NOON, PLENTY, SHUT_OUT, THROTTLED, after, claimed, sealed, submission

if TYPE_CHECKING:
    from pushd.job import Delivery, Job
    from pushd.store import Store
    from pushd.telemetry.events import Event

HOURS = after(36_000)


async def the(store: Store, name: str = "job1") -> Job:
    job = await store.get(name)
    assert job is not None
    return job


async def first(store: Store, name: str = "job1") -> Delivery:
    return (await the(store, name)).deliveries[0]


async def needy(store: Store, *destinations: str, name: str = "job1", uid: int = 1000, credential: str = AUTO) -> None:
    """Bring a job to where all of it waits for a credential."""
    await store.submit(submission(name, *destinations, uid=uid, credential=credential), limit=PLENTY)
    for _ in destinations or ("the one there is",):
        await store.hold(await claimed(store), HOURS, NEEDY)


async def log_in(store: Store, scope: str = "registry.test", *, name: str = "ci", uid: int = 1000) -> int:
    return await store.store_login(uid, name, sealed(scope), NOON, limit=9)


# ------------------------------------------------------------------------------------------------------------- the rows


async def test_a_login_is_listed_to_its_owner_alone_by_name(store: Store, published: list[Event]) -> None:
    await log_in(store, "registry.test/team", name="web")
    await log_in(store, name="app")
    await log_in(store, name="app", uid=7)
    assert [(login.name, login.sealed.scope) for login in await store.logins(1000)] == [
        ("app", "registry.test"),
        ("web", "registry.test/team"),
    ]
    event = published[0]
    assert (event.kind, event.uid, event.job) == (CREDENTIAL_STORED, 1000, None)
    assert event.fields == {"uid": 1000, "name": "web", "registry": "registry.test"}


async def test_one_of_the_same_name_takes_the_place_with_a_number_of_its_own(store: Store) -> None:
    await log_in(store)
    (old,) = await store.logins(1000)
    await store.store_login(1000, "ci", sealed("other.test", b"new", at=after(5), until=after(9)), after(5), limit=9)
    (new,) = await store.logins(1000)
    assert (new.sealed.scope, new.sealed.secret) == ("other.test", b"new")
    assert (new.sealed.created_at, new.sealed.expires_at) == (after(5), after(9))
    assert new.sealed.number > old.sealed.number


async def test_a_user_has_so_many_logins_and_no_more_but_may_replace_them(store: Store) -> None:
    for name in ("a", "b"):
        await store.store_login(1000, name, sealed(), NOON, limit=2)
    with pytest.raises(RequestError) as refused:
        await store.store_login(1000, "c", sealed(), NOON, limit=2)
    assert refused.value.code is Code.REQUEST_LIMIT
    await store.store_login(1000, "b", sealed(), NOON, limit=2)
    await store.store_login(7, "c", sealed(), NOON, limit=2)
    assert [login.name for login in await store.logins(1000)] == ["a", "b"]


async def test_what_is_handed_over_with_jobs_counts_as_no_login(store: Store) -> None:
    await store.submit(submission(credentials=(sealed("a.test"), sealed("b.test"))), limit=PLENTY)
    await store.store_login(1000, "a", sealed(), NOON, limit=1)
    assert len(await store.logins(1000)) == 1


async def test_a_login_is_removed_by_its_owner(store: Store, published: list[Event]) -> None:
    await log_in(store)
    assert not await store.remove_login(7, "ci", NOON)
    assert await store.remove_login(1000, "ci", after(5))
    assert not await store.remove_login(1000, "ci", NOON)
    assert await store.logins(1000) == ()
    event = published[-1]
    assert (event.kind, event.at, event.uid) == (CREDENTIAL_REMOVED, after(5), 1000)
    assert event.fields == {"uid": 1000, "name": "ci", "registry": "registry.test"}


# --------------------------------------------------------------------------------------------------- what goes on by it


async def test_what_waits_for_a_credential_goes_on_when_its_owner_logs_in(store: Store, published: list[Event]) -> None:
    await needy(store, "registry.test/a:1", "registry.test/b:1")
    told = len(published)
    assert await log_in(store) == 2
    job = await the(store)
    assert job.state is JobState.QUEUED
    assert {(one.state, one.failure, one.not_before) for one in job.deliveries} == {(DeliveryState.QUEUED, None, None)}
    assert [event.kind for event in published[told:]] == [CREDENTIAL_STORED, DELIVERY_REQUEUED, DELIVERY_REQUEUED]
    assert (await claimed(store)).tries == 2


@pytest.mark.parametrize(
    ("scope", "destination", "goes_on"),
    [
        ("registry.test", "registry.test/team/app:1", True),
        ("Registry.Test", "registry.test/team/app:1", True),
        ("registry.test/team", "registry.test/team/app:1", True),
        ("registry.test/team/app", "registry.test/team/app:1", True),
        ("registry.test/te", "registry.test/team/app:1", False),
        ("registry.test/team/app/x", "registry.test/team/app:1", False),
        ("registry.test:5000", "registry.test/team/app:1", False),
        ("registry.test", "registry.test:5000/team/app:1", False),
        ("other.test", "registry.test/team/app:1", False),
    ],
)
async def test_only_what_a_login_is_for_goes_on_by_it(
    store: Store, scope: str, destination: str, goes_on: bool
) -> None:
    await needy(store, destination)
    assert await log_in(store, scope) == goes_on
    assert (await first(store)).state is (DeliveryState.QUEUED if goes_on else DeliveryState.HELD)


async def test_nobody_goes_on_by_the_login_of_another(store: Store) -> None:
    await needy(store)
    assert await log_in(store, uid=7) == 0
    assert (await first(store)).state is DeliveryState.HELD


async def test_a_job_that_asked_for_a_login_by_its_name_goes_on_by_that_alone(store: Store) -> None:
    await needy(store, credential="ci")
    assert await log_in(store, name="web") == 0
    assert await log_in(store, name="ci") == 1


async def test_what_is_held_for_something_else_is_left_where_it_is(store: Store) -> None:
    await store.submit(submission(), limit=PLENTY)
    await store.hold(await claimed(store), HOURS, THROTTLED)
    assert await log_in(store) == 0
    assert (await first(store)).failure == THROTTLED


async def test_what_is_paused_waits_on_until_it_is_resumed(store: Store) -> None:
    await needy(store)
    await store.pause("job1", NOON, by=1000)
    assert await log_in(store) == 0
    assert (await first(store)).state is DeliveryState.PAUSED
    await store.resume("job1", NOON, by=1000)
    assert (await first(store)).state is DeliveryState.QUEUED


async def test_what_is_handed_over_lets_its_own_job_go_on_and_no_other(store: Store) -> None:
    await needy(store)
    await needy(store, name="job2")
    assert await store.retry("job1", NOON, by=1000, handed=[sealed()]) == 1
    assert (await first(store, "job1")).state is DeliveryState.QUEUED
    assert (await first(store, "job2")).state is DeliveryState.HELD


async def test_several_scopes_that_take_in_one_delivery_let_it_go_on_once(store: Store) -> None:
    await needy(store)
    assert await store.retry("job1", NOON, by=1000, handed=[sealed(), sealed("registry.test/team")]) == 1


async def test_a_retry_with_a_credential_lets_go_on_what_waits_as_well_as_what_failed(store: Store) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    await store.hold(await claimed(store), HOURS, NEEDY)
    assert await store.retry("job1", NOON, by=1000) == 0
    assert (await first(store)).state is DeliveryState.HELD
    assert await store.retry("job1", NOON, by=1000, handed=[sealed()]) == 1
    assert (await first(store)).state is DeliveryState.QUEUED


# --------------------------------------------------------------------------------------------- for where it is read

SOURCE = "docker://base.test/os/app:1"


async def shut_out(store: Store, name: str = "job1", *, uid: int = 1000, credential: str = AUTO) -> None:
    """Bring a job to where it waits for a credential to read its source with."""
    await store.submit(submission(name, source=SOURCE, uid=uid, credential=credential), limit=PLENTY)
    await store.hold(await claimed(store), HOURS, SHUT_OUT)


@pytest.mark.parametrize(
    ("scope", "goes_on"),
    [
        ("base.test", True),
        ("Base.Test", True),
        ("base.test/os", True),
        ("base.test/o", False),
        ("registry.test", False),
    ],
)
async def test_what_waits_to_read_goes_on_by_a_login_for_its_source_and_not_its_destination(
    store: Store, scope: str, goes_on: bool
) -> None:
    await shut_out(store)
    assert await log_in(store, scope) == goes_on
    assert (await first(store)).state is (DeliveryState.QUEUED if goes_on else DeliveryState.HELD)


async def test_what_waits_to_push_does_not_go_on_by_a_login_for_its_source(store: Store) -> None:
    await store.submit(submission(source=SOURCE), limit=PLENTY)
    await store.hold(await claimed(store), HOURS, NEEDY)
    assert await log_in(store, "base.test") == 0
    assert await log_in(store) == 1


async def test_what_waits_to_read_is_its_submitters_to_help_alone(store: Store) -> None:
    await shut_out(store)
    assert await log_in(store, "base.test", uid=7) == 0
    assert await store.retry("job1", NOON, by=1000, handed=[sealed("base.test")]) == 1


async def test_a_login_chosen_by_its_name_for_the_destination_leaves_any_to_read_with(store: Store) -> None:
    await shut_out(store, credential="ci")
    assert await log_in(store, "base.test", name="web") == 1


async def test_a_job_that_uses_nothing_stored_goes_on_by_what_is_handed_over_for_its_source(store: Store) -> None:
    await shut_out(store, credential="handed")
    assert await log_in(store, "base.test") == 0
    assert await store.retry("job1", NOON, by=1000, handed=[sealed("base.test")]) == 1


async def test_what_came_to_read_with_while_it_ran_helps_at_once(store: Store) -> None:
    await store.submit(submission(source=SOURCE), limit=PLENTY)
    claim = await claimed(store)
    await log_in(store, "base.test")
    await store.hold(claim, HOURS, SHUT_OUT)
    assert (await first(store)).state is DeliveryState.QUEUED
    await store.hold(await claimed(store), HOURS, SHUT_OUT)
    assert (await first(store)).state is DeliveryState.HELD


async def test_what_waits_to_read_counts_as_what_waits_for_a_credential(store: Store) -> None:
    await shut_out(store)
    assert (await store.backlog())["registry.test"].needing == 1
    await log_in(store, "base.test")
    assert (await store.backlog())["registry.test"].needing == 0


# ------------------------------------------------------------------------------------- a login while a delivery runs


async def test_what_finds_out_that_it_lacked_a_credential_after_one_came_goes_on_at_once(
    store: Store, published: list[Event]
) -> None:
    await store.submit(submission(), limit=PLENTY)
    claim = await claimed(store)
    assert await log_in(store) == 0
    told = len(published)
    await store.hold(claim, HOURS, NEEDY)
    delivery = await first(store)
    assert (delivery.state, [one.code for one in delivery.history]) == (DeliveryState.QUEUED, [NEEDY.code])
    assert [event.kind for event in published[told:]] == [DELIVERY_REQUEUED]
    await store.hold(await claimed(store), HOURS, NEEDY)  # it did not help
    assert (await first(store)).state is DeliveryState.HELD
    assert published[-1].kind is DELIVERY_HELD


async def test_what_was_there_when_it_was_claimed_does_not_help(store: Store) -> None:
    await log_in(store)
    await store.submit(submission(credentials=(sealed(),)), limit=PLENTY)
    await store.hold(await claimed(store), HOURS, NEEDY)
    assert (await first(store)).state is DeliveryState.HELD


async def test_what_is_handed_over_while_it_runs_helps_at_once(store: Store) -> None:
    await store.submit(submission(credentials=(sealed(),)), limit=PLENTY)
    claim = await claimed(store)
    await store.retry("job1", NOON, by=1000, handed=[sealed()])
    await store.hold(claim, HOURS, NEEDY)
    assert (await first(store)).state is DeliveryState.QUEUED


async def test_what_came_and_was_spent_or_removed_meanwhile_does_not_help(store: Store) -> None:
    await store.submit(submission(), limit=PLENTY)
    claim = await claimed(store)
    await log_in(store, name="refused")
    (login,) = await store.logins(1000)
    await store.spend(login.sealed.number, NOON)
    await log_in(store, name="removed")
    await store.remove_login(1000, "removed", NOON)
    await store.store_login(1000, "expired", sealed(until=after(-1)), NOON, limit=9)
    await store.hold(claim, HOURS, NEEDY)
    assert (await first(store)).state is DeliveryState.HELD


@pytest.mark.parametrize(
    ("credential", "name", "scope", "uid"),
    [
        (AUTO, "ci", "registry.test", 7),
        (AUTO, "ci", "registry.test/other", 1000),
        ("ci", "web", "registry.test", 1000),
    ],
    ids=["of another", "for another place", "of another name"],
)
async def test_what_came_for_something_else_does_not_help(
    store: Store, credential: str, name: str, scope: str, uid: int
) -> None:
    await store.submit(submission(credential=credential), limit=PLENTY)
    claim = await claimed(store)
    await store.submit(submission("job2", uid=uid, credentials=(sealed(),)), limit=PLENTY)
    await log_in(store, scope, name=name, uid=uid)
    await store.hold(claim, HOURS, NEEDY)
    assert (await first(store)).state is DeliveryState.HELD


async def test_what_comes_for_a_paused_job_leaves_it_paused(store: Store) -> None:
    await store.submit(submission(), limit=PLENTY)
    claim = await claimed(store)
    await log_in(store)
    await store.pause("job1", NOON, by=1000)
    await store.hold(claim, HOURS, NEEDY)
    assert (await first(store)).state is DeliveryState.PAUSED


async def test_looking_for_what_waits_searches_the_index(store: Store) -> None:
    facts = {"uid": 1, "registry": "a", "job": None, "name": "ci"}
    plan = await store._reads.send(
        lambda connection: [
            row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {deliveries._NEEDING}", facts)
        ]
    )
    assert plan[0] == "SEARCH deliveries USING INDEX deliveries_needing (uid=? AND registry=?)"
    plan = await store._reads.send(
        lambda connection: [
            row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {deliveries._NEEDING_TO_READ}", facts)
        ]
    )
    assert plan[0] == "SEARCH deliveries USING INDEX deliveries_needing_to_read (uid=?)"
