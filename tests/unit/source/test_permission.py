from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushd.source.permission import Peer, Right
from tests.unit.source.acls import ATTRIBUTE, NOBODY, Tag, acl, packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNER, GROUP = 1000, 2000
OTHER_GROUP = 2001
ALICE, BOB = 1001, 1002


def status(mode: int, uid: int = OWNER, gid: int = GROUP) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


def may(peer: Peer, mode: int, listed: bytes | None = None, right: Right = Right.READ) -> bool:
    return peer.may(right, status(mode), listed)


@pytest.mark.parametrize(
    ("uid", "gids", "mode", "reads", "searches"),
    [
        (OWNER, {GROUP}, 0o400, True, False),
        (OWNER, {GROUP}, 0o100, False, True),
        (OWNER, {GROUP}, 0o077, False, False),  # the owner's own bits alone, though others may
        (ALICE, {GROUP}, 0o040, True, False),
        (ALICE, {OTHER_GROUP, GROUP}, 0o010, False, True),
        (ALICE, {GROUP}, 0o707, False, False),  # the group's alone
        (ALICE, {OTHER_GROUP}, 0o004, True, False),
        (ALICE, set(), 0o001, False, True),
        (ALICE, set(), 0o770, False, False),
        (ALICE, set(), 0o1777, True, True),  # sticky changes nothing
        (ALICE, set(), 0o7000, False, False),
        (0, set(), 0o000, True, True),  # root passes
        (ALICE, {0}, 0o700, False, False),  # root's group does not
    ],
)
def test_the_mode_decides_by_the_first_class_one_is_of(
    uid: int, gids: set[int], mode: int, *, reads: bool, searches: bool
) -> None:
    peer = Peer(uid, frozenset(gids))
    assert may(peer, mode) is reads
    assert may(peer, mode, right=Right.SEARCH) is searches


@pytest.mark.parametrize(
    ("uid", "gids", "listed", "reads"),
    [
        (ALICE, set(), acl(users={ALICE: 4}, mask=7), True),
        (ALICE, set(), acl(users={ALICE: 4}, mask=3), False),  # the mask bounds a user
        (ALICE, {GROUP}, acl(users={ALICE: 0}, group=7, mask=7, other=7), False),  # named, so nothing else counts
        (BOB, set(), acl(users={ALICE: 4}, mask=7), False),
        (BOB, set(), acl(users={ALICE: 0}, mask=0, other=4), True),  # the mask does not bound others
        (ALICE, {GROUP}, acl(group=4, mask=7), True),
        (ALICE, {GROUP}, acl(group=4, mask=3), False),  # it does bound the owning group
        (ALICE, {GROUP}, acl(group=4), True),
        (ALICE, {OTHER_GROUP}, acl(groups={OTHER_GROUP: 4}, mask=4), True),
        (ALICE, {OTHER_GROUP}, acl(groups={OTHER_GROUP: 4}, mask=0), False),
        (ALICE, {GROUP, OTHER_GROUP}, acl(group=0, groups={OTHER_GROUP: 4}, mask=4), True),  # one group suffices
        (ALICE, {GROUP}, acl(group=0, groups={OTHER_GROUP: 4}, mask=4, other=4), False),  # a group, so not others
        (ALICE, set(), acl(other=4), True),
        (OWNER, set(), acl(user=0, users={OWNER: 4}, mask=4), False),  # the owner is not looked up by name
        (0, set(), acl(), True),
    ],
)
def test_a_list_decides_where_there_is_one(uid: int, gids: set[int], listed: bytes, *, reads: bool) -> None:
    assert may(Peer(uid, frozenset(gids)), 0o000, listed) is reads


def test_with_a_list_the_group_bits_of_the_mode_are_its_mask_and_not_the_groups() -> None:
    listed = acl(group=0, users={ALICE: 4}, mask=4)
    assert not may(Peer(BOB, frozenset({GROUP})), 0o040, listed)


WHOLE = [(Tag.USER_OBJ, 7, NOBODY), (Tag.GROUP_OBJ, 7, NOBODY), (Tag.OTHER, 7, NOBODY)]


@pytest.mark.parametrize(
    "listed",
    [
        b"",
        b"\2\0\0",
        packed(),
        packed(*WHOLE, version=1),
        packed(*WHOLE)[:-1],
        packed(*WHOLE) + b"\0",
        packed(*WHOLE[1:]),
        packed(*WHOLE[:2]),
        packed(*WHOLE, WHOLE[0]),
        packed(*WHOLE, WHOLE[2]),
        packed(*WHOLE, (Tag.USER, 7, ALICE)),  # without a mask
        packed(*WHOLE, (Tag.GROUP, 7, GROUP)),
        packed(*WHOLE, (Tag.MASK, 7, NOBODY), (Tag.MASK, 7, NOBODY)),
        packed(*WHOLE, (0x40, 7, NOBODY)),
        packed(*WHOLE[:2], (Tag.OTHER, 8 | 4, NOBODY)),
    ],
)
def test_a_list_that_cannot_be_understood_allows_nothing(listed: bytes) -> None:
    for gids in (frozenset[int](), frozenset({GROUP})):
        assert not may(Peer(ALICE, gids), 0o777, listed)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"\2\0\0\0" + rest))
def test_no_list_whatsoever_raises(listed: bytes) -> None:
    may(Peer(ALICE, frozenset({GROUP})), 0o777, listed)


# ------------------------------------------------------------------------------------------- any list, any peer

bits = st.integers(0, 7)
ids = st.sampled_from([OWNER, ALICE, BOB])
groups = st.sampled_from([GROUP, OTHER_GROUP, 2002])
peers = st.builds(Peer, st.sampled_from([OWNER, ALICE, BOB, 1003]), st.frozensets(groups | st.just(2003)))


@st.composite
def lists(draw: st.DrawFn) -> dict[str, Any]:
    given = {
        "user": draw(bits),
        "group": draw(bits),
        "other": draw(bits),
        "users": draw(st.dictionaries(ids, bits)),
        "groups": draw(st.dictionaries(groups, bits)),
    }
    needed = given["users"] or given["groups"]
    return {**given, "mask": draw(bits if needed else bits | st.none())}


def granted(peer: Peer, of: dict[str, Any]) -> int:
    """Say what acl(5), "ACCESS CHECK ALGORITHM", says, in its order and its words."""
    mask = 7 if of["mask"] is None else of["mask"]
    if peer.uid == OWNER:
        return int(of["user"])
    if peer.uid in of["users"]:
        return int(of["users"][peer.uid]) & mask
    entries = [of["group"]] if GROUP in peer.gids else []
    entries += [value for gid, value in of["groups"].items() if gid in peer.gids]
    if entries:
        return sum({bit for bit in (1, 2, 4) if any(entry & bit for entry in entries)}) & mask
    return int(of["other"])


def as_mode(of: dict[str, Any]) -> int:
    middle = of["group"] if of["mask"] is None else of["mask"]
    return int(of["user"]) << 6 | int(middle) << 3 | int(of["other"])


@given(peers, lists(), st.sampled_from(Right))
def test_what_is_decided_is_what_the_standard_says(peer: Peer, of: dict[str, Any], right: Right) -> None:
    assert may(peer, as_mode(of), acl(**of), right) is bool(granted(peer, of) & right.value)


@given(peers, bits, bits, bits, st.sampled_from(Right))
def test_a_list_that_says_no_more_than_the_mode_decides_as_the_mode_does(
    peer: Peer, user: int, group: int, other: int, right: Right
) -> None:
    mode = user << 6 | group << 3 | other
    assert may(peer, mode, None, right) is may(peer, mode, acl(user=user, group=group, other=other), right)


# ----------------------------------------------------------------------------------------- as the kernel has it


@contextlib.contextmanager
def being(peer: Peer) -> Iterator[None]:
    """Be somebody else for a while, which only root can."""
    before = os.getgroups()
    os.setgroups(sorted(peer.gids))
    os.setegid(next(iter(peer.gids), 65534))
    os.seteuid(peer.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(peer=peers, of=lists(), listed=st.booleans())
def test_what_is_decided_is_what_the_kernel_does(
    passable: Path, peer: Peer, of: dict[str, Any], *, listed: bool
) -> None:
    if not peer.gids:
        peer = Peer(peer.uid, frozenset({65534}))  # the kernel knows nobody without a group
    path = passable / "file"
    path.unlink(missing_ok=True)
    path.write_bytes(b"content")
    os.chown(path, OWNER, GROUP)
    path.chmod(as_mode(of))
    if listed:
        try:
            os.setxattr(path, ATTRIBUTE, acl(**of))
        except OSError:
            pytest.skip("the filesystem has no access control lists")
    found = path.stat()
    attribute = os.getxattr(path, ATTRIBUTE) if listed and ATTRIBUTE in os.listxattr(path) else None
    with being(peer):
        reads = os.access(path, os.R_OK, effective_ids=True)
        searches = os.access(path, os.X_OK, effective_ids=True)

    # Linux does not read a list whose mask is empty, and takes those it names for others (fs/namei.c,
    # acl_permission_check). The standard does not, so nor do we: that denies more, never less.
    strict = attribute is not None and not as_mode(of) & 0o070
    for right, allowed in ((Right.READ, reads), (Right.SEARCH, searches)):
        decided = peer.may(right, found, attribute)
        assert decided is allowed or (strict and not decided)
