from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError, RequestError
from pushd.job import ANONYMOUS, AUTO, DAEMON
from pushd.principal import User
from pushd.store import open_store
from pushd.vault import Found, Keyring, Seal
from pushd.vault.key import Key
from pushd.vault.keyring import LOGINS
from pushd.work import Asker, Handed, Login
from tests.unit.store.samples import PLENTY, claimed, submission

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pushd.push.ports import vault
    from pushd.telemetry.events import Event
    from pushd.work import Sealed

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
UID = 1000
HOST, REPOSITORY = "registry.test", "team/app"
CANARIES = ("canary-password", "canary-identity", "canary-token", "canary-user")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def clock() -> datetime:
    return NOON


def credential(password: str) -> Credential:
    return Credential("caller", "alice", password)


def handed(scope: str = HOST, password: str = "open", until: datetime | None = None) -> Handed:
    return Handed(scope=scope, credential=credential(password), expires_at=until)


@dataclass
class Shelf:
    """Rows in memory, each written as the store would."""

    of_jobs: dict[str, list[Sealed]] = field(default_factory=dict)
    stored: dict[int, dict[str, Sealed]] = field(default_factory=dict)
    spent: list[tuple[int, datetime]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    number: int = 0

    async def handed(self, job_id: str) -> Sequence[Sealed]:
        self.asked.append(f"handed {job_id}")
        return tuple(self.of_jobs.get(job_id, ()))

    async def logins(self, uid: int) -> Sequence[Login]:
        self.asked.append(f"logins {uid}")
        return tuple(Login(name=name, sealed=one) for name, one in sorted(self.stored.get(uid, {}).items()))

    async def store_login(self, uid: int, name: str, sealed: Sealed, now: datetime, *, limit: int) -> int:
        self.limits.append(limit)
        self.stored.setdefault(uid, {})[name] = self._numbered(sealed)
        return 3

    async def remove_login(self, uid: int, name: str, now: datetime) -> bool:
        return self.stored.get(uid, {}).pop(name, None) is not None

    async def spend(self, number: int, now: datetime) -> None:
        self.spent.append((number, now))

    def give(self, job_id: str, sealed: Sealed) -> int:
        self.of_jobs.setdefault(job_id, []).append(self._numbered(sealed))
        return self.number

    def _numbered(self, sealed: Sealed) -> Sealed:
        self.number += 1
        return replace(sealed, number=self.number)


class Bench:
    """A keyring over a shelf."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.seal = Seal(lambda: Key(b"k" * 32, "/key"))
        self.keyring = Keyring(self.shelf, self.seal, clock)

    async def hand_over(
        self, scope: str = HOST, password: str = "job", *, until: datetime | None = None, spent: bool = False
    ) -> int:
        sealed = await self.keyring.seal(handed(scope, password, until), UID, NOON)
        return self.shelf.give("job1", replace(sealed, secret=None) if spent else sealed)

    async def log_in(
        self,
        name: str = "ci",
        scope: str = HOST,
        password: str = "login",
        *,
        until: datetime | None = None,
        spent: bool = False,
        uid: int = UID,
    ) -> int:
        await self.keyring.store(name, handed(scope, password, until), uid=uid)
        if spent:
            self.shelf.stored[uid][name] = replace(self.shelf.stored[uid][name], secret=None)
        return self.shelf.number

    async def find(
        self, *, choice: str = AUTO, job: bool = False, at_hand: tuple[Handed, ...] = (), uid: int = UID
    ) -> Found | None:
        user = User(uid=uid, gids=frozenset(), administrator=False)
        asker = Asker(user=user, choice=choice, job_id="job1" if job else None, handed=at_hand)
        return await self.keyring.find(HOST, REPOSITORY, asker)

    async def password(
        self, *, choice: str = AUTO, job: bool = False, at_hand: tuple[Handed, ...] = ()
    ) -> tuple[str, int]:
        found = await self.find(choice=choice, job=job, at_hand=at_hand)
        assert found is not None
        return found.credential.password, found.number

    async def needs(self, *, choice: str = AUTO, job: bool = False) -> RegistryError:
        with pytest.raises(RegistryError) as raised:
            await self.find(choice=choice, job=job)
        assert (raised.value.code, raised.value.subject) == (Code.REGISTRY_NEEDS_CREDENTIAL, HOST)
        assert raised.value.retryable
        return raised.value


def as_the_engine_sees_it(keyring: Keyring) -> vault.Keyring:
    """Hold the class to the engine's port: mypy refuses this function when a method differs."""
    return keyring


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --------------------------------------------------------------------------------------------------- what is the user's


async def test_who_brought_nothing_has_nothing_and_the_key_is_never_asked_for(bench: Bench) -> None:
    assert await bench.find() is None
    assert await bench.find(job=True) is None
    assert not bench.seal.ready


@pytest.mark.parametrize("choice", [DAEMON, ANONYMOUS])
async def test_who_chose_the_daemons_or_none_gets_none_of_their_own(bench: Bench, choice: str) -> None:
    await bench.hand_over()
    await bench.log_in()
    bench.shelf.asked.clear()
    assert await bench.find(choice=choice, job=True, at_hand=(handed(),)) is None
    assert bench.shelf.asked == []


async def test_what_is_at_hand_goes_first(bench: Bench) -> None:
    await bench.hand_over()
    await bench.log_in()
    assert await bench.password(job=True, at_hand=(handed(),)) == ("open", 0)


async def test_what_is_at_hand_is_given_as_it_is(bench: Bench) -> None:
    one = Handed(scope=HOST, credential=Credential("caller", "alice", "x", where="/home/alice/.docker/config.json"))
    found = await bench.find(at_hand=(one,))
    assert found is not None
    assert found.credential is one.credential


async def test_what_came_with_the_job_goes_before_what_is_stored(bench: Bench) -> None:
    number = await bench.hand_over()
    await bench.log_in(scope=f"{HOST}/{REPOSITORY}")
    found = await bench.find(job=True)
    assert found is not None
    assert (found.credential, found.number) == (Credential("caller", "alice", "job"), number)


async def test_what_is_stored_serves_jobs_that_nothing_came_with(bench: Bench) -> None:
    number = await bench.log_in()
    found = await bench.find()
    assert found == Found(Credential("login", "alice", "login"), number)
    assert found.credential.where == "ci"
    assert bench.shelf.asked == [f"logins {UID}"]


async def test_nobody_is_given_what_is_anothers(bench: Bench) -> None:
    await bench.log_in(uid=7)
    assert await bench.find() is None
    with pytest.raises(RequestError) as refused:
        await bench.find(choice="ci")
    assert refused.value.code is Code.REQUEST_NOT_FOUND


# ----------------------------------------------------------------------------------------------------------- its scope


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ("registry.test", True),
        ("REGISTRY.Test", True),
        ("registry.test/team", True),
        ("registry.test/team/app", True),
        ("registry.test/team/ap", False),
        ("registry.test/te", False),
        ("registry.test/team/app/deeper", False),
        ("registry.test:443", False),
        ("test", False),
    ],
)
async def test_a_scope_takes_in_whole_components_of_a_path_and_a_host_in_any_case(
    bench: Bench, scope: str, fits: bool
) -> None:
    await bench.log_in(scope=scope)
    assert (await bench.find() is not None) == fits
    assert (await bench.find(at_hand=(handed(scope),)) is not None) == fits


async def test_of_several_the_one_with_the_longest_scope_is_taken(bench: Bench) -> None:
    scopes = (HOST, f"{HOST}/team/app", f"{HOST}/team", f"{HOST}/other/and/longer")
    for number, scope in enumerate(scopes):
        await bench.log_in(f"login{number}", scope, password=scope)
    assert (await bench.password())[0] == f"{HOST}/team/app"
    for scope in scopes:
        await bench.hand_over(scope, password=f"job {scope}")
    assert (await bench.password(job=True))[0] == f"job {HOST}/team/app"
    assert (await bench.password(at_hand=tuple(handed(one, one) for one in scopes)))[0] == f"{HOST}/team/app"


async def test_of_equal_scopes_the_newest_is_taken(bench: Bench) -> None:
    await bench.log_in("z", password="old")
    await bench.log_in("a", password="new")
    assert (await bench.password())[0] == "new"


# -------------------------------------------------------------------------------------------------- spent and expired


@pytest.mark.parametrize(("until", "spent"), [(NOON, False), (later(-1), True), (None, True)])
async def test_a_login_stands_in_for_what_came_with_the_job_and_cannot_be_used(
    bench: Bench, until: datetime | None, spent: bool
) -> None:
    await bench.hand_over(until=until, spent=spent)
    number = await bench.log_in()
    assert await bench.password(job=True) == ("login", number)


async def test_what_expires_later_is_used_until_then(bench: Bench) -> None:
    await bench.hand_over(until=later(0.001))
    assert (await bench.password(job=True))[0] == "job"


async def test_what_came_anew_with_a_shorter_scope_stands_in_for_what_is_spent(bench: Bench) -> None:
    await bench.hand_over(f"{HOST}/{REPOSITORY}", spent=True)
    await bench.hand_over(HOST, password="anew")
    assert (await bench.password(job=True))[0] == "anew"


async def test_a_shorter_login_stands_in_for_one_that_is_spent(bench: Bench) -> None:
    await bench.log_in("narrow", f"{HOST}/team", spent=True)
    await bench.log_in("wide", HOST)
    assert (await bench.password())[0] == "login"


async def test_a_job_whose_credential_is_spent_needs_another(bench: Bench) -> None:
    await bench.hand_over(spent=True)
    error = await bench.needs(job=True)
    assert error.detail.startswith("the credential handed over with the job was refused")
    assert error.hint == "`pushctl login registry.test` brings another"


async def test_a_job_whose_credential_has_expired_needs_another(bench: Bench) -> None:
    await bench.hand_over(until=NOON)
    assert (await bench.needs(job=True)).detail == "the credential handed over with the job has expired"


async def test_a_login_that_is_spent_and_the_only_one_needs_another(bench: Bench) -> None:
    await bench.log_in(spent=True)
    await bench.log_in("elsewhere", "other.test")
    assert (await bench.needs()).detail == "the login 'ci' was refused by the registry"


async def test_what_is_for_another_place_needs_nothing_when_it_is_spent(bench: Bench) -> None:
    await bench.hand_over("other.test", spent=True)
    await bench.log_in(scope="other.test", spent=True)
    assert await bench.find(job=True) is None


async def test_what_was_sealed_with_another_key_counts_as_spent_and_is_left_alone(bench: Bench) -> None:
    await bench.hand_over()
    await bench.log_in()
    changed = Keyring(bench.shelf, Seal(lambda: Key(b"K" * 32, "/key")), clock)
    bench.keyring = changed
    assert "cannot be opened" in (await bench.needs(job=True)).detail
    assert bench.shelf.spent == []


async def test_a_row_moved_to_another_user_counts_as_spent(bench: Bench) -> None:
    await bench.log_in(uid=7)
    bench.shelf.stored[UID] = bench.shelf.stored.pop(7)
    assert "cannot be opened" in (await bench.needs()).detail


# ------------------------------------------------------------------------------------------------------------ by name


async def test_a_login_chosen_by_its_name_is_used_and_nothing_else(bench: Bench) -> None:
    await bench.hand_over()
    await bench.log_in("web", f"{HOST}/{REPOSITORY}", password="longer")
    number = await bench.log_in("ci")
    assert await bench.password(choice="ci", job=True, at_hand=(handed(),)) == ("login", number)


async def test_a_name_that_is_not_there_is_told_with_how_to_bring_it(bench: Bench) -> None:
    with pytest.raises(RequestError) as refused:
        await bench.find(choice="ci")
    assert (refused.value.code, refused.value.subject) == (Code.REQUEST_NOT_FOUND, "login 'ci'")
    assert "pushctl login registry.test --name ci" in refused.value.hint


async def test_a_login_chosen_for_another_place_is_refused(bench: Bench) -> None:
    await bench.log_in(scope=f"{HOST}/other")
    with pytest.raises(RequestError) as refused:
        await bench.find(choice="ci")
    assert refused.value.code is Code.REQUEST_FORBIDDEN
    assert refused.value.detail == "is for registry.test/other, and not for registry.test/team/app"


async def test_a_login_chosen_that_is_spent_needs_another_of_its_name(bench: Bench) -> None:
    await bench.log_in(spent=True)
    await bench.log_in("web")
    assert (await bench.needs(choice="ci")).hint == "`pushctl login registry.test --name ci` brings another"


# --------------------------------------------------------------------------------------------------- storing, spending


async def test_what_is_stored_is_sealed_and_tells_how_many_go_on(bench: Bench) -> None:
    assert (
        await as_the_engine_sees_it(bench.keyring).store("ci", handed(password="canary", until=later(60)), uid=UID) == 3
    )
    (login,) = await bench.keyring.list(UID)
    assert (login.name, login.sealed.scope) == ("ci", HOST)
    assert (login.sealed.created_at, login.sealed.expires_at) == (NOON, later(60))
    assert login.sealed.secret is not None
    assert b"canary" not in login.sealed.secret
    assert bench.shelf.limits == [LOGINS]


async def test_what_is_removed_is_gone(bench: Bench) -> None:
    await bench.log_in()
    assert await bench.keyring.remove("ci", UID)
    assert await bench.keyring.list(UID) == ()
    assert not await bench.keyring.remove("ci", UID)


async def test_what_is_refused_is_spent_by_its_number_and_what_is_at_hand_is_nobodys_to_spend(bench: Bench) -> None:
    await bench.keyring.spend(7)
    await bench.keyring.spend(0)
    assert bench.shelf.spent == [(7, NOON)]


async def test_many_that_come_first_at_once_all_have_the_same_key(bench: Bench) -> None:
    await bench.log_in()
    bench.keyring = Keyring(bench.shelf, Seal(lambda: Key(b"k" * 32, "/key")), clock)
    found = await asyncio.gather(*(bench.find() for _ in range(20)))
    assert {one.credential.password for one in found if one is not None} == {"login"}
    assert None not in found


# ------------------------------------------------------------------------------------------------------ with the store


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


async def test_no_secret_and_no_user_name_is_in_the_database_its_log_or_an_event(tmp_path: Path) -> None:
    told: list[Event] = []
    store = await open_store(tmp_path, publish=told.extend, clock=clock)
    keyring = Keyring(store, Seal(lambda: Key(b"k" * 32, "/key")), clock)
    everything = Credential("caller", CANARIES[3], CANARIES[0], identity_token=CANARIES[1], registry_token=CANARIES[2])
    sealed = await keyring.seal(Handed(scope=HOST, credential=everything), UID, NOON)
    await store.submit(submission("job1", credentials=(sealed,)), limit=PLENTY)
    await keyring.store("ci", Handed(scope=HOST, credential=everything), uid=UID)
    claim = await claimed(store)
    found = await keyring.find(HOST, REPOSITORY, claim.asker)
    assert found is not None
    assert found.credential == everything
    live = all_bytes(tmp_path)
    await keyring.spend(found.number)
    assert "login" in str(await keyring.find(HOST, REPOSITORY, claim.asker))
    await keyring.remove("ci", UID)
    await store.close()
    kept = all_bytes(tmp_path)
    for canary in CANARIES:
        assert canary.encode() not in live + kept
        assert canary not in repr(told) + repr(sealed)
    assert sealed.secret is not None
    assert sealed.secret in live
    assert sealed.secret not in kept


async def test_a_job_goes_on_with_a_login_once_what_came_with_it_is_spent(tmp_path: Path) -> None:
    store = await open_store(tmp_path, publish=lambda _: None, clock=clock)
    keyring = Keyring(store, Seal(lambda: Key(b"k" * 32, "/key")), clock)
    sealed = await keyring.seal(handed(password="job"), UID, NOON)
    await store.submit(submission("job1", credentials=(sealed,)), limit=PLENTY)
    claim = await claimed(store)
    found = await keyring.find(HOST, REPOSITORY, claim.asker)
    assert found is not None
    await keyring.spend(found.number)
    with pytest.raises(RegistryError):
        await keyring.find(HOST, REPOSITORY, claim.asker)
    await keyring.store("ci", handed(password="login"), uid=UID)
    found = await keyring.find(HOST, REPOSITORY, claim.asker)
    assert found is not None
    assert found.credential.password == "login"
    await store.close()
