from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from pushd.errors import Code, RegistryError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.reply import Reply
from pushd.oci.upload import Limits, Open
from pushd.push.gate import Gate, Gated, Gates
from pushd.telemetry.events import REGISTRY_THROTTLED
from pushd.work import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.reply import Stored
    from pushd.oci.upload import Request
    from pushd.push.ports.emit import Emit
    from pushd.push.ports.registry import Body, Stream
    from pushd.telemetry.events import Event


def gate(luck: float = 1.0, emit: Emit = lambda _: None) -> Gate:
    return Gate("registry.example.com", rng=lambda: luck, emit=emit)


async def shut(it: Gate) -> bool:
    """Whether a request would have to wait now."""
    with anyio.move_on_after(0.01):
        async with it.passage():
            return False
    return True


async def test_a_door_nobody_shut_is_open_to_any_number() -> None:
    it = gate()
    async with anyio.create_task_group() as group:
        inside = anyio.Event()

        async def enter() -> None:
            async with it.passage():
                await inside.wait()

        for _ in range(200):
            group.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        assert not await shut(it)
        inside.set()


async def test_shut_for_as_long_as_the_registry_said() -> None:
    it = gate()
    it.refused(0.05)
    assert 0 < it.shut_for <= 0.05
    assert await shut(it)
    await anyio.sleep(0.05)
    assert not await shut(it)


async def test_where_no_time_is_named_each_refusal_doubles_the_pause() -> None:
    it = gate()
    it.refused(None)
    assert it.shut_for == pytest.approx(1.0, abs=0.05)
    it.refused(None)
    assert it.shut_for == pytest.approx(1.0, abs=0.05), "a request that was under way says nothing new"


async def test_a_shorter_time_never_opens_a_door_that_is_shut_for_longer() -> None:
    it = gate()
    it.refused(10)
    it.refused(1)
    assert it.shut_for == pytest.approx(10, abs=0.1)


async def test_who_would_wait_long_is_sent_away_with_the_time() -> None:
    it = gate()
    it.refused(100)
    with pytest.raises(RegistryError) as refused:
        async with it.passage():
            pytest.fail("the door is shut")
    assert refused.value.code is Code.REGISTRY_THROTTLED
    assert refused.value.retry_after == pytest.approx(100, abs=1)


async def test_it_opens_to_one_then_two_then_four() -> None:
    it = gate()
    it.refused(0.01)
    await anyio.sleep(0.02)
    for width in (1, 2, 4):
        async with anyio.create_task_group() as group:
            leave = anyio.Event()

            async def enter(leave: anyio.Event = leave) -> None:
                async with it.passage():
                    await leave.wait()

            for _ in range(width):
                group.start_soon(enter)
            await anyio.wait_all_tasks_blocked()
            assert await shut(it), f"{width} and no more"
            leave.set()
        it.answered()


async def test_an_answer_from_before_it_was_shut_does_not_widen_it() -> None:
    it = gate()
    it.refused(0.05)
    it.answered()
    await anyio.sleep(0.06)
    async with it.passage():
        assert await shut(it)


async def test_who_waits_before_a_narrow_door_goes_in_when_another_leaves() -> None:
    it = gate()
    it.refused(0.0)
    order: list[str] = []

    async def enter(name: str) -> None:
        async with it.passage():
            order.append(name)
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(enter, name)
    assert sorted(order) == ["a", "b", "c"]


async def test_a_door_that_shuts_is_told_once_with_for_how_long() -> None:
    told: list[Event] = []
    it = gate(emit=told.append)
    it.refused(0.05)
    it.refused(0.03)  # was under way
    (event,) = told
    assert event.kind is REGISTRY_THROTTLED
    assert event.fields == {"registry": "registry.example.com", "seconds": 0.05, "asked": True}
    await anyio.sleep(0.06)
    it.refused(None)
    assert [event.fields["asked"] for event in told] == [True, False], "it shut once more"


async def test_doors_are_each_their_own() -> None:
    gates = Gates(lambda: 1.0, lambda _: None)
    gates.of("a").refused(10)
    assert await shut(gates.of("a"))
    assert not await shut(gates.of("b"))
    assert gates.shut().keys() == {"a"}
    assert gates.of("a") is gates.of("a")


class Scripted:
    """A registry that answers what it is told to."""

    name = "registry.example.com"
    credential = "anonymous"
    borrowed = False
    accepted = False
    limits = Limits()

    def __init__(self, *answers: Reply | RegistryError) -> None:
        self._answers = list(answers)

    async def perform(self, repository: str, request: Request, body: Body | bytes | None = None) -> Reply:
        answer = self._answers.pop(0)
        assert isinstance(answer, Reply)
        return answer

    async def head_manifest(self, repository: str, reference: str) -> Digest | None:
        self._fail()
        return None

    async def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Stored:
        self._fail()
        raise AssertionError

    async def find_manifest(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        self._fail()
        raise AssertionError

    async def get_referrers(self, repository: str, subject: Digest) -> Sequence[bytes] | None:
        self._fail()
        raise AssertionError

    async def get_manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        self._fail()
        raise AssertionError

    async def has_blob(self, repository: str, blob: Descriptor) -> bool:
        self._fail()
        raise AssertionError

    async def get_blob(self, repository: str, blob: Descriptor, offset: int) -> Stream:
        self._fail()
        raise AssertionError

    async def verify(self) -> bool | None:
        self._fail()
        return None

    async def diagnose(self, repository: str | None) -> Sequence[Check]:
        return [Check(check="api", ok=True, detail=str(repository))]

    def _fail(self) -> None:
        answer = self._answers.pop(0)
        if isinstance(answer, RegistryError):
            raise answer


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [(Reply(429, retry_after=7), 7), (Reply(503, retry_after=9), 9), (Reply(429), 1), (Reply(503), 0), (Reply(202), 0)],
)
async def test_a_reply_shuts_the_door_when_it_asks_for_patience(reply: Reply, seconds: float) -> None:
    it = gate()
    assert await Gated(Scripted(reply), it).perform("app", Open()) is reply
    assert it.shut_for == pytest.approx(seconds, abs=0.1)


async def test_doors_that_tell_nothing_are_not_kept_for_ever() -> None:
    gates = Gates(lambda: 0.5, lambda _: None)
    gates.of("shut.example").refused(60)
    async with gates.of("busy.example").passage():
        busy = gates.of("busy.example")
        for number in range(2000):
            gates.of(f"{number}.example")
        assert len(gates._gates) <= 512
        assert gates.of("busy.example") is busy
    assert "shut.example" in gates.shut()


async def test_a_diagnosis_is_made_though_the_door_is_shut() -> None:
    it = gate()
    it.refused(60)
    (check,) = await Gated(Scripted(), it).diagnose("team/app")
    assert check.detail == "team/app"


async def test_a_refused_manifest_shuts_it_too() -> None:
    it = gate()
    error = RegistryError(Code.REGISTRY_THROTTLED, "app", "said no", retry_after=5)
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).head_manifest("app", "1")
    assert it.shut_for == pytest.approx(5, abs=0.1)
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).put_manifest("app", "1", b"", "")
    assert it.shut_for == pytest.approx(5, abs=0.1)


async def test_so_does_one_that_is_asked_for_and_a_blob() -> None:
    error = RegistryError(Code.REGISTRY_THROTTLED, "app", "said no", retry_after=5)
    blob = Descriptor("a/b", Digest.of(b""), 0)
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).get_manifest("app", "1")
    assert it.shut_for == pytest.approx(5, abs=0.1)
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).find_manifest("app", "1")
    assert it.shut_for == pytest.approx(5, abs=0.1)
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).get_referrers("app", blob.digest)
    assert it.shut_for == pytest.approx(5, abs=0.1)
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).has_blob("app", blob)
    assert it.shut_for == pytest.approx(5, abs=0.1)
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(error), it).get_blob("app", blob, 0)
    assert it.shut_for == pytest.approx(5, abs=0.1)


async def test_a_broken_connection_says_nothing_about_patience() -> None:
    it = gate()
    with pytest.raises(RegistryError):
        await Gated(Scripted(RegistryError(Code.REGISTRY_INTERRUPTED, "app", "broke")), it).head_manifest("app", "1")
    assert it.shut_for == 0
